-- SPDX-License-Identifier: Apache-2.0
--- What a model says of the caller, in a word in front of its answer that nobody hears: "<negative> I am sorry to hear that." It costs a few
--- tokens and no request of its own. A model that leaves it out is not asked again: the caller's own words tell then (calls.talk.sentiment).
--- No I/O.
---
---   local reader = marks.reader(function(word) ... end)
---   reader:feed(text) -> what of it is spoken      reader:finish() -> what was held back
local marks = {}

--- To the model.
marks.RULE = "Begin each answer with one of <positive>, <neutral>, <negative>, <angry> and <unclear>: how the caller sounds, or that you can make no sense of what was said. "
  .. "It is taken out and not spoken."

local WORDS = { positive = true, neutral = true, negative = true, angry = true, unclear = true }
local MOST = 12  -- bytes of a mark

marks.__index = marks

function marks.reader(tell)
  return setmetatable({ tell = tell, held = "", begins = true }, marks)
end

-- May the text become a mark, when more of it comes?
local function may_become(text)
  if #text > MOST then return false end
  for word in pairs(WORDS) do
    local mark = "<" .. word .. ">"
    if mark:sub(1, #text) == text:lower() then return true end
  end
  return false
end

function marks:feed(text)
  if text == "\n" then  -- behind a tool it begins once more
    self.begins = true
    return text
  end
  if not self.begins then return text end
  self.held = self.held .. text
  local lead, rest = self.held:match("^(%s*)(.*)$")
  local word, behind = rest:match("^<(%a+)>%s*(.*)$")
  if word and WORDS[word:lower()] then
    self.begins, self.held = false, ""
    self.tell(word:lower())
    return behind
  end
  if rest == "" or may_become(rest) then return "" end
  self.begins, self.held = false, ""
  return lead .. rest
end

function marks:finish()
  local held = self.held
  self.held, self.begins = "", false
  return held:find("^%s*<") and "" or held
end

--- The answer as the model gave it.
--- @param word string|nil  its mark
function marks.with(word, text) return word and ("<%s> %s"):format(word, text) or text end

return marks
