-- SPDX-License-Identifier: Apache-2.0
--- A model's text, as it streams in, as pieces to be spoken: whole sentences, the first one early. Takes any bytes, keeps little, and takes
--- time in proportion to them.
---
---   "Sure, I can do that for you. We op" "en at 9.30 on Mondays." -> "Sure, I can do that for you." | "We open at 9.30 on Mondays."
---
--- The first piece may end at a comma, so that something is heard soon; short sentences are spoken together, because each piece begins with
--- a breath. Nothing is cut inside a number, a word or an address while there is another place; marks of Markdown are not spoken.
local sentences = require "kb.sentences"
local text_of = require "lib.text"
local urlencoded = require "lib.urlencoded"

local chunks = {}
chunks.__index = chunks

local SLICE = 2048  -- bytes that are looked at together

chunks.defaults = {
  first_sentence = 12,  -- characters that the first piece has at least when it is a sentence,
  first_clause = 25,    -- or when it ends at a comma
  good = 60,            -- characters from which a piece is spoken by itself
  most = 200,           -- no piece has more
  total = 20000,        -- bytes of a whole reply; the rest is not spoken
}

--- @param options table|nil  any of the defaults
function chunks.new(options)
  local o = {}
  for name, value in pairs(chunks.defaults) do o[name] = options and options[name] or value end
  return setmetatable({ o = o, buffer = "", pending = "", tail = "", bytes = 0, pieces = 0, cut = false }, chunks)
end

local function length(text)
  return #(text:gsub("[\128-\191]", ""))
end

-- Where the text's character of that number ends.
local function byte_of(text, characters)
  local at = 0
  for stop in text:gmatch("[%z\1-\127\192-\255][\128-\191]*()") do
    characters, at = characters - 1, stop - 1
    if characters == 0 then break end
  end
  return at
end

-- -- what is not spoken -----------------------------------------------------------------------------------------------------

local function plain(text)
  text = text:gsub("!?%[([^%[%]]*)%]%([^%(%)]*%)", "%1"):gsub("^%s*[#>]+%s+", ""):gsub("^%s*[%-+*]%s+", ""):gsub("[*`|~]", " ")
  -- Underscores around words are emphasis, inside them they belong to an address.
  text = text:gsub("%f[%w_]_+(%w)", "%1"):gsub("([%w.!?])_+%f[^%w_]", "%1")
  -- Emoji, and what makes them coloured or joins them.
  text = text:gsub("\240\159[\128-\191][\128-\191]", ""):gsub("\226[\152-\158][\128-\191]", ""):gsub("\239\184\143", ""):gsub("\226\128\141", "")
  return sentences.trim((text:gsub("[%z\1-\32\127]+", " ")))
end

local function emit(self, list, text)
  text = plain(text)
  -- Some voices give no sound for marks, and would be taken for ones that cannot speak.
  if not text_of.has_words(text) then return end
  self.pieces = self.pieces + 1
  list[#list + 1] = text
end

-- -- where to cut -------------------------------------------------------------------------------------------------------------

-- The first or last place between two bytes at which a clause ends, or nil.
local function clause_end(text, least, most, is_first)
  local found
  local at = 1
  while true do
    local stop = text:find("[,;:%-\226]", at)
    if not stop or stop > most then return found end
    at = stop + 1
    local last
    if text:find("^[,;:]%s", stop) then
      -- "5, 6" is one number that is read out.
      if not (text:find("^%d", stop - 1) and text:find("^%s+%d", stop + 1)) then last = stop end
    elseif text:find("^%-%s", stop) and text:find("^%s", stop - 1) then
      last = stop - 1
    elseif text:find("^\226\128[\147\148]%s", stop) then
      last = stop + 2
    end
    if last and last >= least and last <= most then
      found = last
      if is_first then return found end
    end
  end
end

-- Where a text that is too long is cut: behind a clause, else a word, else where it must be.
local function forced_cut(text, most)
  local limit = byte_of(text, most)
  local at = clause_end(text, limit / 3, limit)
  if at then return at end
  local piece = text:sub(1, limit)
  if text:find("^%s", limit + 1) then return limit end
  local word = piece:match("^.*%S()%s")
  return word and word - 1 or limit
end

local function emit_long(self, list, text)
  while length(text) > self.o.most do
    local at = forced_cut(text, self.o.most)
    emit(self, list, text:sub(1, at))
    text = text:sub(at + 1):gsub("^%s+", "")
  end
  return text
end

local function flush_pending(self, list)
  local pending = self.pending
  self.pending = ""
  if pending ~= "" then emit(self, list, emit_long(self, list, pending)) end
end

local function least(self)
  return self.pieces == 0 and self.o.first_sentence or self.o.good
end

-- One whole sentence more.
local function add(self, list, sentence)
  local text = plain(sentence)
  if text == "" then return end
  -- A line of a list is a sentence, though it has no mark.
  if sentence:find("\n", 1, true) and text:find("[%w\128-\255)\"']$") then text = text .. "." end
  if self.pending ~= "" and length(self.pending) + 1 + length(text) > self.o.most then flush_pending(self, list) end
  self.pending = self.pending == "" and text or self.pending .. " " .. text
  if length(self.pending) >= least(self) then flush_pending(self, list) end
end

-- The first piece may be a clause.
local function early(self, list)
  if self.pieces > 0 or self.pending ~= "" then return end
  local buffer = self.buffer
  local from = byte_of(buffer, self.o.first_clause)
  local at = length(buffer) > self.o.first_clause and clause_end(buffer, from, #buffer - 2, true)
  if not at then return end
  self.buffer = buffer:sub(at + 1)
  emit(self, list, buffer:sub(1, at))
end

local function drain(self, list)
  local whole, rest = sentences.split(self.buffer)
  if whole ~= "" then
    self.buffer = rest
    for _, sentence in ipairs(sentences.pieces(whole)) do add(self, list, sentence) end
  end
  if not self.buffer:find("%S") then
    self.buffer = ""
    return
  end
  early(self, list)
  if length(self.buffer) > self.o.most then
    flush_pending(self, list)
    self.buffer = emit_long(self, list, self.buffer)
  end
end

-- -- what streams in -----------------------------------------------------------------------------------------------------------

-- The bytes at the end that may be the beginning of a character.
local function split_tail(text)
  local at = text:find("[\194-\244][\128-\191]*$")
  if not at then return text, "" end
  local lead = text:byte(at)
  local wants = lead >= 240 and 4 or lead >= 224 and 3 or 2
  if #text - at + 1 >= wants then return text, "" end
  return text:sub(1, at - 1), text:sub(at)
end

local function tidy(text)
  if not urlencoded.is_text(text) then text = text_of.clean(text, #text * 3) end
  -- A new line ends a sentence here: models write them between paragraphs and lines of lists.
  return (text:gsub("[\t\r\f\v]", " "):gsub("  +", " "):gsub("\n+", "\n\n"))
end

--- What has come: a list of pieces that can be spoken now.
function chunks:feed(text)
  local list = {}
  local room = self.o.total - self.bytes
  if #text > room then
    text = text_of.cut(text:sub(1, math.max(0, room) + 4), math.max(0, room))
    self.cut = true
  end
  self.bytes = self.bytes + #text
  text = self.tail .. text
  self.tail = ""
  local at = 1
  while at <= #text do
    local slice, tail = split_tail(text:sub(at, at + SLICE - 1))
    at = at + #slice
    self.buffer = self.buffer .. tidy(slice)
    drain(self, list)
    if at + #tail > #text then
      self.tail = tail
      break
    end
  end
  return list
end

--- Nothing has come for a while (300 to 500 ms): what can be spoken without tearing a clause apart.
function chunks:idle()
  local list = {}
  local buffer = self.buffer
  local at = buffer:find("[.!?][\"')%]]*%s*$") and #buffer or clause_end(buffer .. " ", self.o.first_clause, #buffer)
  -- "9." may go on with "30".
  if at == #buffer and buffer:find("%d%.%s*$") then at = nil end
  if at then
    self.buffer = buffer:sub(at + 1)
    add(self, list, buffer:sub(1, at))
  end
  flush_pending(self, list)
  return list
end

--- The text is over: the rest of the pieces.
function chunks:finish()
  local list = {}
  if self.tail ~= "" then self.buffer, self.tail = self.buffer .. tidy(self.tail), "" end
  drain(self, list)
  add(self, list, self.buffer)
  self.buffer = ""
  flush_pending(self, list)
  return list
end

return chunks
