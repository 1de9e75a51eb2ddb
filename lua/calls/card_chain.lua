-- SPDX-License-Identifier: Apache-2.0
--- What one party says, as a chain of texts each of which ends in digits but the last: a card's number may be told in several of them. No clock and no I/O.
---
--- A chain is a list of looks (ai.guard.redact); card = true: there is a card's number in it.
local redact = require "ai.guard.redact"
local spelling = require "ai.guard.spelling"

local card_chain = {}

local LEAST = 13  -- digits of a card: as many that are heard are one, for a digit that is misheard spoils its check digit

local function digits_of(run)
  local count = 0
  for _, sign in ipairs(run or {}) do
    if sign.sign:find("%d") then count = count + 1 end
  end
  return count
end

local function has(looks, kind)
  for _, look in ipairs(looks) do
    for _, span in ipairs(look.spans) do
      if span[3] == kind then return true end
    end
  end
  return false
end

-- As many digits as a card has, and no phone number's 0 or + in front.
local function is_long(signs, plus)
  if plus or digits_of(signs) < LEAST then return false end
  for _, sign in ipairs(signs) do
    if sign.sign:find("%d") then return sign.sign ~= "0" end
  end
end

-- Is it a card's number of which a digit may have been misheard? Whatever was said behind it.
local function is_misheard(chain, text)
  if has(chain, "IBAN") then return false end
  for _, run in ipairs(spelling.runs(text)) do
    if is_long(run, run.plus) then return true end
  end
  if not chain[2] then return false end
  local signs = {}
  for i, look in ipairs(chain) do
    for _, sign in ipairs(i == 1 and look.tail or look.head) do signs[#signs + 1] = sign end
  end
  return is_long(signs, chain[1].tail.plus)
end

function card_chain.clear(chain)
  while chain[1] do table.remove(chain) end
  chain.card = nil
end

--- A chain that goes on by itself.
function card_chain.copy(chain)
  local copy = { card = chain.card }
  for i, look in ipairs(chain) do copy[i] = look end
  return copy
end

--- Adds a text: "card" when there is one in what was told so far, "open" when it may go on in the next, else "no". And whether what was told before
--- belongs to it; and whether the text says nothing, a noise or "yes": between the groups of a number that ends none, and it is "open" still.
--- @param by_ear boolean|nil  it is what a recogniser understood
function card_chain.add(chain, text, by_ear)
  local look = redact.look(text)
  if look.idle and chain[1] and not chain.card then return "open", true, true end
  if not look.head or chain[1] and not chain[#chain].tail then card_chain.clear(chain) end
  local goes_on = chain[1] ~= nil
  chain[#chain + 1] = look
  if #chain > 1 then
    for _ = 1, #chain - math.max(1, #redact.newest(chain)) do table.remove(chain, 1) end
    if #chain > 1 then redact.across(chain) end
  end
  chain.card = has(chain, "CARD") or by_ear and is_misheard(chain, text) or nil
  if chain.card then return "card", goes_on end
  -- One sign alone, behind other words, begins no number: "the second one".
  local open = look.tail and digits_of(look.tail) > 0 and (look.whole or #look.tail > 1)
  if not (open and look.whole) then card_chain.clear(chain) end
  if not open then return "no", false, look.idle end
  if not look.whole then chain[1] = look end
  return "open", goes_on and look.whole
end

local function written(run)
  local list = {}
  for _, sign in ipairs(run or {}) do list[#list + 1] = sign.sign:match("%d") end
  return table.concat(list)
end

--- The digits with which a text begins and ends, each "" where there are none; the same where it is nothing else: then true.
function card_chain.ends(text)
  local look = redact.look(text)
  return written(look.head), written(look.tail), look.whole or look.idle
end

--- How many digits it has.
--- @param partial string|nil  what is heard behind it, as far as that is known
function card_chain.digits(chain, partial)
  local count = 0
  for _, look in ipairs(chain) do count = count + digits_of(look.tail) end
  for _, run in ipairs(partial and spelling.runs(partial) or {}) do count = count + digits_of(run) end
  return count
end

--- May a text go on with a number of which nothing else is known? One digit alone, beside other words, is no part of it: "a table for two".
function card_chain.may_go_on(text)
  local look = redact.look(text)
  local count = digits_of(look.head) + (look.whole and 0 or digits_of(look.tail))
  return count > 1 or count == 1 and look.whole
end

return card_chain
