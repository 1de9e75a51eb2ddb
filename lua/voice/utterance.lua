-- SPDX-License-Identifier: Apache-2.0
--- What a caller says in one go, as far as it has come: when there was voice, and the recogniser's text. Of any bytes; its length is bounded.
---
---   voice   ____/~~~~~\___/~~~~~~~~~\______      on_since: voice now, or quiet_since; noise: this voice went on for long without a word
---   text         finals: settled | partial: of the segment that is not settled
local reading = require "voice.reading"
local redact = require "ai.guard.redact"
local sentences = require "kb.sentences"
local text_of = require "lib.text"

local utterance = {}
utterance.__index = utterance

local MOST_BYTES = 8000
local FULL_BYTES = MOST_BYTES - 4  -- what has more was cut, or all but

--- @param at number  when it began
function utterance.new(id, at)
  return setmetatable({ id = id, began = at, run_began = at, voiced = 0, settled = "", partial = "", final = false, tries = 0, taken_back = 0, seen = {} }, utterance)
end

--- There is voice since then.
function utterance:voice(since)
  if self.on_since then return end
  self.on_since, self.run_began, self.quiet_since, self.opinion, self.noise = since, since, nil, nil, nil
end

--- There has been none since then.
function utterance:quiet(since)
  if not self.on_since then return end
  since = math.max(since, self.on_since)
  self.voiced = self.voiced + since - self.on_since
  self.on_since, self.quiet_since = nil, since
end

local function tidy(text)
  text = sentences.trim(text)
  return text_of.clean(text_of.cut(text:sub(1, MOST_BYTES + 4), MOST_BYTES), MOST_BYTES)
end

local function changed(self, now)
  self.text_at, self.opinion, self.seen = now, nil, {}
  self.joined = nil
  -- Words where no voice was noticed: a soft speaker. What counts as silence begins with them.
  if not self.on_since and not self.quiet_since then self.quiet_since = now end
end

--- The text of the segment that is not settled; each replaces the one before it.
function utterance:set_partial(text, now)
  text = tidy(text)
  if text == self.partial then return end
  self.partial, self.final = text, false
  changed(self, now)
end

--- The settled text of that segment.
function utterance:add_final(text, now)
  text = tidy(text)
  self.partial, self.stripped = "", nil
  if text ~= "" then self.settled = self.settled == "" and text or text_of.cut(self.settled .. " " .. text, MOST_BYTES) end
  self.final = self.settled ~= ""
  changed(self, now)
end

--- All of it. Of one that is full, and is over with that, no part of a number at its end.
function utterance:text()
  if not self.joined then
    local gap = self.settled ~= "" and self.partial ~= "" and " " or ""
    local text = self.settled .. gap .. self.partial
    self.joined, self.full = redact.cut(text, FULL_BYTES), #text > FULL_BYTES
  end
  return self.joined
end

function utterance:is_full()
  self:text()
  return self.full
end

-- What is asked of the text is asked again and again until it changes.
local function once(self, name, expect, language, ask)
  local key = name .. expect.kind .. (expect.count or "")
  local seen = self.seen[key]
  if not seen then
    seen = { ask(self:text(), expect, language, self.final) }
    self.seen[key] = seen
  end
  return seen[1], seen[2], seen[3]
end

--- As reading.ending and reading.wants.
function utterance:ending(expect, language) return once(self, "ending ", expect, language, reading.ending) end
function utterance:wants(expect, language) return once(self, "wants ", expect, language, reading.wants) end

--- As reading.objects.
--- @param settled boolean|nil  no more of it is waited for, though it is not final
function utterance:objects(language, handed, settled) return reading.objects(self:text(), language, settled or self.final, handed) end

function utterance:folded()
  self.seen.folded = self.seen.folded or reading.fold(self:text())
  return self.seen.folded
end

--- Is there a word in it?
function utterance:has_words() return self:folded() ~= "" end

--- Goes on with another: this one's text is settled, that one's voice and text are its end.
function utterance:join(other)
  local text = self:text()
  self.settled = other.settled == "" and text or text_of.cut(text .. (text ~= "" and " " or "") .. other.settled, MOST_BYTES)
  self.partial, self.final, self.text_at = other.partial, other.final, other.text_at or self.text_at
  if self.partial == "" and other.settled == "" then self.final = true end
  self.voiced, self.run_began, self.stripped = self.voiced + other.voiced, other.run_began, other.stripped
  self.on_since, self.quiet_since = other.on_since, other.quiet_since or (not other.on_since and self.quiet_since) or nil
  self.seen, self.joined, self.opinion = {}, nil, nil
end

return utterance
