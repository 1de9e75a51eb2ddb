-- SPDX-License-Identifier: Apache-2.0
--- The seam where one model goes on from what another has said: takes away what the second one says again.
--- A model that is to go on often repeats the last words, the last sentence, or all of it. A caller must hear each word once, so text is
--- held back while it may still be such a repetition. Words are compared without regard to case and punctuation. No I/O.
local overlap = {}
overlap.__index = overlap

local WORD = "[%w\128-\255']+"
local TAIL_BYTES = 8000  -- a repetition is looked for in the last words only

local function words_of(text)
  local words = {}
  for from, word, to in text:gmatch("()(" .. WORD .. ")()") do words[#words + 1] = { text = word:lower(), from = from, to = to } end
  return words
end

--- @param said string  what the caller has been told so far
function overlap.new(said)
  local tail = said:sub(-TAIL_BYTES)
  local self = setmetatable({ held = "", read = 1, new = {}, said = tail, words = words_of(tail), best = 0, alive = {} }, overlap)
  -- Where in what was said the new text may have begun.
  for at = 1, #self.words do self.alive[at] = at end
  self.open = #self.words == 0
  return self
end

-- Does the said word stand for the new one? The last that was said may have been cut within.
local function same(self, at, word)
  local mine = self.words[at].text
  if mine == word then return true end
  return at == #self.words and #self.said == self.words[at].to - 1 and #mine < #word and word:sub(1, #mine) == mine
end

-- One more word: which beginnings it still fits, and whether one of them now reaches the end of what was said.
local function compare(self, word)
  self.new[#self.new + 1] = word
  local n, last, alive = #self.new, #self.words, {}
  for _, start in ipairs(self.alive) do
    local at = start + n - 1
    if same(self, at, word.text) then
      if at == last then self.best = n else alive[#alive + 1] = start end
    end
  end
  self.alive = alive
end

-- Compares the words of the held text that were not yet; the last one may go on in the next piece, unless this is the end.
local function read(self, at_end)
  while true do
    local from, to = self.held:find(WORD, self.read)
    if not from or (to == #self.held and not at_end) or #self.alive == 0 then return end
    compare(self, { text = self.held:sub(from, to):lower(), from = from, to = to + 1 })
    self.read = to + 1
  end
end

-- What is left of the held text without the first words.
local function rest(self, new, count)
  local held = self.held
  if count == 0 then
    -- Models leave out the space that their own next token would have had.
    local meets = self.said:find("[%w\128-\255,;:]$") and held:find("^[%w\128-\255]")
    return (meets and " " or "") .. held
  end
  local repeated, mine = new[count], self.words[#self.words]
  local after = held:sub(repeated.to)
  if #repeated.text > #mine.text then return held:sub(repeated.from + #mine.text) end  -- the rest of a word that was cut
  -- Marks and space that were said after the word are not said again.
  local shown = self.said:sub(mine.to)
  while shown ~= "" and after:sub(1, 1) == shown:sub(1, 1) do after, shown = after:sub(2), shown:sub(2) end
  if shown:find("^%s*$") == nil then after = after:gsub("^%p+", "") end
  if self.said:find("%s$") then after = after:gsub("^%s+", "") end
  return after
end

local function decide(self)
  local count = self.best
  -- One word said twice is most often a repetition, but in a number it is a digit.
  if count == 1 and self.new[1].text:find("^%d+$") then count = 0 end
  local out = rest(self, self.new, count)
  self.open, self.held = true, ""
  return out
end

--- Takes the next piece of the second model's text. Returns what may be said of it: perhaps "", for the moment.
function overlap:feed(text)
  if self.open then return text end
  self.held = self.held .. text
  read(self, false)
  if #self.alive > 0 and #self.held < TAIL_BYTES then return "" end
  return decide(self)
end

--- The text is at its end: what is still to be said.
function overlap:finish()
  if self.open then return "" end
  read(self, true)
  return decide(self)
end

return overlap
