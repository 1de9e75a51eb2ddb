-- SPDX-License-Identifier: Apache-2.0
--- What of a conversation is written down: lines of the transcript, and what whoever takes the call up needs.
--- A part of calls.talk: each function takes its conversation.
local escalation = require "calls.talk.escalation"
local history = require "calls.talk.history"
local metrics = require "core.metrics"
local sentiment = require "calls.talk.sentiment"
local timeline = require "voice.timeline"

local written = {}

--- What the caller said, or pressed, in a turn.
function written.spoken(turn) return turn.keys and "(presses " .. turn.keys .. ")" or turn.text end

local function observe(self, line)
  local report = line:report()
  timeline.observe(report, function(name, seconds, help) metrics.observe(name, nil, seconds, help) end)
  if self.world.timed then self.world.timed(report) end
end

--- A time of a reply is known.
function written.mark(self, reply, name, ms)
  local line = self.lines[reply]
  if line then return line:mark(name, ms) end
  -- That it was silent is told when the turn is written already.
  line = self.stopping[reply]
  if not line or name ~= "silent" then return end
  self.stopping[reply] = nil
  line:mark(name, ms)
  observe(self, line)
end

--- A line of the transcript.
function written.write(self, line)
  self.line = self.line + 1
  line.n = self.line
  line.began_ms, line.ended_ms = math.floor(line.began_ms - self.began), math.floor(line.ended_ms - self.began)
  self.world.transcript(line)
end

--- What whoever takes the call up goes on with.
function written.keep(self)
  if self.asks then self.asks:settle(history.has, self.leaving) end
  self.world.keep({ history = self.history:kept(), turns = self.count, numbered = self.numbered, line = self.line, desk = self.desk, lead = self.lead, greeted = true,
    expect = self.machine.expect, mood = self.mood, temper = self.temper, misses = self.misses, spent_ms = self.spent_ms + self.world.now() - self.began }, self.pressed - #self.machine.keys)
  self.pressed = #self.machine.keys
end

--- One of ours has been said, to its end or not: with it the turn that it answered is finished. Parameters as mouth.heard gives them.
function written.said(self, reply, text, all, whole)
  local turn, line, now = self.turns[reply], self.lines[reply], self.world.now()
  self.turns[reply], self.lines[reply] = nil, nil
  if turn then
    self:write{ party = "caller", text = written.spoken(turn), began_ms = turn.began, ended_ms = turn.ended, sentiment = turn.sentiment }
    if not turn.keys then self.mood = sentiment.mood(self.mood, turn.sentiment) end
    self.temper = sentiment.temper(self.temper, turn.anger)
    self.misses = escalation.missed(self.misses, not turn.unclear)
  end
  if turn then self.numbered = self.numbered + 1 end
  if line then line:is_of(turn and self.numbered or 0) end
  local report = line and line:report()
  if turn or text ~= "" then
    self:write{ party = "agent", text = whole, heard = not all and text or nil, began_ms = line and line.at.first_packet or now, ended_ms = now, timeline = report }
    self.history:add(turn and written.spoken(turn), turn and turn.steps, text, all, turn and turn.mark)
  end
  if line and line.at.stopping and not line.at.silent then self.stopping[reply] = line elseif line then observe(self, line) end
  if turn then
    self.count = self.count + 1
    metrics.count("converse_turns_total", nil, 1, "turns of conversations with callers")
  end
  self:keep()
  if turn and (self.limit_passed or self.count >= self.args.limit.turns) then self:leave("limit") end
end

return written
