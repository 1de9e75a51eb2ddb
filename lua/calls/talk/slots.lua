-- SPDX-License-Identifier: Apache-2.0
--- What a script wants to know of a caller, one thing after the other, by speech or by keys: slots of converse. With a model it is the model that
--- asks, and writes down by the tool `fill`; without one the questions are asked here, as the script wrote them. Decisions only, no I/O.
---
---   asked ── understood ──> (spoken: said back, "is that right?") ── yes ──> the next one ... all are there: the conversation is over
---     ▲  └─ not: once more; twice: left out when optional, else a human       └─ no ──┐
---     └──────────────────────────────────────────────────────────────────────────────┘
---
--- A slot, as the gate has it: { name, kind, prompt, digits, confirm, optional }. What is known: { values = name -> value, at = which is asked for,
---   pending = value that is not confirmed yet, misses, left_out = set of names that the model was told to go on without, idle = turns since all
---   was there that must be, in which nothing was written down }; never changed, for a turn may be taken back.
local escalation = require "calls.talk.escalation"
local json = require "core.json"
local sentences = require "calls.talk.sentences"
local spelling = require "ai.guard.spelling"
local text_of = require "lib.text"

local slots = {}

local TEXT_MAX, NAME_MAX, NAME_WORDS = 500, 80, 5
local PHONE_LEAST, PHONE_MOST = 7, 15
local CODE_MOST = 40
local SILENCE_MS = 12000  -- somebody looks for his number
local IDLE_MOST = 2       -- answers to one that may be left out, of which nothing was written down

--- What the model says with fill of one that it goes on without; no slot is called so.
slots.LEFT_OUT = "left_out"

local YES_NO = { kind = "yes_no" }

-- What stands in front of a name.
local LEADS = { "my name is ", "the name is ", "name is ", "this is ", "i am ", "i'm ", "it's ", "it is ", "ich heiße ", "ich heisse ", "mein name ist ", "ich bin ", "me llamo ",
  "mi nombre es ", "soy ", "je m'appelle ", "mon nom est ", "je suis ", "mi chiamo ", "sono ", "meu nome é ", "me chamo " }

-- The signs of all that was spelled, such as "94107" or "AB12"; "" when nothing was. And whether there is a plus.
-- @param letters boolean|nil  "a" and "i" are letters, too, and no words
local function signs_of(text, letters)
  local found, list, plus = {}, {}, false
  for _, run in ipairs(spelling.runs(text)) do
    plus = plus or run.plus ~= nil
    for _, sign in ipairs(run) do found[#found + 1] = { sign.first, #found, sign.sign } end
  end
  for at, letter in (letters and text or ""):gmatch("%f[%w]()([aAiI])%f[%W]") do found[#found + 1] = { at, 0, letter:upper() } end
  table.sort(found, function(a, b)
    if a[1] ~= b[1] then return a[1] < b[1] end
    return a[2] < b[2]
  end)
  for i, one in ipairs(found) do list[i] = one[3] end
  return table.concat(list), plus or text:find("^%s*%+") ~= nil
end

local readers = {}

function readers.digits(slot, said)
  local digits = (said.keys or signs_of(said.text)):gsub("%D", "")
  if #digits == 0 or #digits > CODE_MOST or slot.digits and #digits ~= slot.digits then return nil end
  return digits
end

function readers.phone(_, said)
  local signs, plus = said.keys, false
  if not signs then signs, plus = signs_of(said.text) end
  local digits = signs:gsub("%D", "")
  if #digits < PHONE_LEAST or #digits > PHONE_MOST then return nil end
  return (plus and "+" or "") .. digits
end

function readers.spelling(_, said)
  local signs = said.keys and said.keys:gsub("%D", "") or signs_of(said.text, true)
  return signs ~= "" and #signs <= CODE_MOST and signs or nil
end

function readers.yes_no(_, said, closed)
  local answer = closed(said)
  if answer then return answer == "yes" end
  return nil
end

function readers.name(_, said)
  if said.keys then return nil end
  local text = said.text:gsub("[%.,!%?]", " "):gsub("%s+", " "):match("^%s*(.-)%s*$")
  for _, lead in ipairs(LEADS) do
    if text:lower():sub(1, #lead) == lead then
      text = text:sub(#lead + 1)
      break
    end
  end
  -- "D O E" is Doe.
  if text:find("^%a %a[ %a]*$") and not text:find("%a%a") then
    local letters = text:gsub(" ", "")
    text = letters:sub(1, 1):upper() .. letters:sub(2):lower()
  end
  local _, gaps = text:gsub(" ", "")
  if not text:find("[%a\128-\255]") or gaps >= NAME_WORDS or #text > NAME_MAX then return nil end
  return text_of.clean(text, NAME_MAX)
end

function readers.text(_, said)
  local text = said.keys or said.text:match("^%s*(.-)%s*$")
  return text ~= "" and text_of.clean(text, TEXT_MAX) or nil
end

--- The value of a slot in what was said, or nil.
--- @param said table       { text, keys }
--- @param closed function  said -> "yes", "no" or nil
function slots.read(slot, said, closed)
  return readers[slot.kind](slot, { text = said.text or "", keys = said.keys }, closed)
end

local function with(known, changes)
  local new = {}
  for name, value in pairs(known) do new[name] = value end
  for name, value in pairs(changes) do new[name] = value end
  return new
end

-- The same with another value known.
local function filled(known, name, value) return with(known, { values = with(known.values, { [name] = value }) }) end

--- What is known at the beginning: nothing.
function slots.new() return { values = {}, at = 1, misses = 0 } end

--- What the answer to a slot's question may be: of voice.turns.
function slots.expect(slot)
  if slot.kind == "digits" then return { kind = "digits", count = slot.digits, finish = "#", silence_ms = SILENCE_MS } end
  if slot.kind == "phone" then return { kind = "digits", finish = "#", silence_ms = SILENCE_MS } end
  if slot.kind == "yes_no" then return YES_NO end
  return { kind = (slot.kind == "spelling") and "spelling" or "open" }
end

-- As it is said back: digits and letters one by one.
local function aloud(slot, value, says)
  if slot.kind == "digits" or slot.kind == "phone" or slot.kind == "spelling" then return (value:gsub("%w", "%0 "):gsub("%+", says.plus .. " "):match("^%s*(.-)%s*$")) end
  return value
end

local function is_settled(known, slot)
  return known.values[slot.name] ~= nil or known.left_out ~= nil and known.left_out[slot.name] == true
end

-- The first place from there that is not known: a model fills in what it hears, in whatever order.
local function next_at(list, known)
  local at = known.at
  while list[at] and is_settled(known, list[at]) do at = at + 1 end
  return at
end

-- Asks for the next one; or all are there.
local function go_on(list, known, says, before)
  known = with(known, { at = next_at(list, known) })
  local slot = list[known.at]
  before = before and before .. " " or ""
  if not slot then return { say = before .. says.filled, leave = "filled" }, known end
  return { say = before .. slot.prompt, expect = slots.expect(slot) }, known
end

--- What was asked, once more: { say, expect }.
function slots.asked(list, known, says)
  local slot = list[known.at]
  if known.pending ~= nil then return { say = sentences.with(says.confirm, aloud(slot, known.pending, says)), expect = YES_NO } end
  return { say = slot.prompt, expect = slots.expect(slot) }
end

--- A turn that was no answer: as slots.answer.
function slots.missed(list, known, says)
  local slot = list[known.at]
  local enough
  known = with(known, {})
  known.pending = nil
  known.misses, enough = escalation.missed(known.misses, false)
  if not enough then return { say = says.unclear_slot .. " " .. slot.prompt, expect = slots.expect(slot) }, known end
  if not slot.optional then return { say = says.human, human = "not_understood" }, known end
  return go_on(list, with(known, { at = known.at + 1, misses = 0 }), says)
end

--- Answers a turn without a model: { say, expect, leave = "filled" | nil, human = why | nil }, and what is known now.
--- @param closed function  as above
--- @param says table       of calls.talk.sentences
function slots.answer(list, known, said, closed, says)
  local slot = list[known.at]
  if known.pending ~= nil then
    local answer = closed(said)
    if answer == "yes" then
      local done = with(filled(known, slot.name, known.pending), { at = known.at + 1, misses = 0 })
      done.pending = nil
      return go_on(list, done, says)
    end
    if answer == "no" then return slots.missed(list, known, says) end
    -- Neither: it may be the value once more.
  end
  local value = slots.read(slot, said, closed)
  if value == nil then return slots.missed(list, known, says) end
  if slot.confirm and not said.keys and slot.kind ~= "yes_no" and slot.kind ~= "text" then
    known = with(known, { pending = value })
    return slots.asked(list, known, says), known
  end
  local done = with(filled(known, slot.name, value), { at = known.at + 1, misses = 0 })
  done.pending = nil
  return go_on(list, done, says)
end

--- Is a number among what is still to be told? It may be told by keys.
function slots.want_number(list, known)
  for i = known.at, #list do
    if not is_settled(known, list[i]) and slots.expect(list[i]).kind == "digits" then return true end
  end
  return false
end

--- Is there none that is still to be asked for?
function slots.are_over(list, known) return list[known.at] == nil end

--- With a model: is each of them there, or left out where it may be?
function slots.complete(list, known)
  for _, slot in ipairs(list) do
    if not is_settled(known, slot) then return false end
  end
  return true
end

-- Is all there that must be, and anything at all?
local function has_enough(list, known)
  for _, slot in ipairs(list) do
    if known.values[slot.name] == nil and not slot.optional then return false end
  end
  return next(known.values) ~= nil
end

--- A turn with a model has ended: what is known now, and whether the conversation is over. For those that may be left out it goes on as long as they are being
--- told or asked for, though the model does not say that the caller does not tell one.
function slots.turned(list, known)
  if slots.complete(list, known) then return known, true end
  if not has_enough(list, known) then return known, false end
  local open = 0
  for _, slot in ipairs(list) do open = open + (is_settled(known, slot) and 0 or 1) end
  known = with(known, { idle = (known.idle or -1) + 1 })
  return known, known.idle >= math.max(IDLE_MOST, open)
end

-- -- with a model ---------------------------------------------------------------------------------------------------------------

local SAYS = { digits = "digits", phone = "a phone number", yes_no = "true or false", name = "a name", spelling = "letters and digits, as they were spelled", text = "text" }

--- The tool that a model writes them down by.
function slots.tool(list)
  local properties, optional = {}, {}
  for _, slot in ipairs(list) do
    properties[slot.name] = { type = slot.kind == "yes_no" and "boolean" or "string", description = SAYS[slot.kind] .. (slot.digits and (", %d of them"):format(slot.digits) or "") }
    if slot.optional then optional[#optional + 1] = slot.name end
  end
  if optional[1] then
    properties[slots.LEFT_OUT] = { type = "string", enum = json.array(optional), description = "one that the caller does not want to tell, or that you did not understand twice" }
  end
  return { name = "fill", description = "Writes down what the caller has told. Call it as soon as you know something, with what is new.",
    parameters = { type = "object", properties = properties, required = json.array{}, additionalProperties = false } }
end

--- What a model is told of them.
function slots.rule(list)
  local lines, may = {}, ""
  for i, slot in ipairs(list) do
    if slot.optional then may = " Ask for what may be left out, too, once, and say with fill (" .. slots.LEFT_OUT .. ") when you go on without it." end
    lines[i] = ("- %s%s: \"%s\""):format(slot.name, slot.optional and " (may be left out)" or "", slot.prompt)
  end
  return "Find out the following, one after the other, and write it down with the tool fill. Say numbers and spelled names back before you go on; digits that the caller presses "
    .. "stand as (presses 123). When all is written down, say that in a short sentence." .. may .. "\n" .. table.concat(lines, "\n")
end

--- Writes down what a model gave: what is known now; or nil, and what it did wrong.
function slots.fill(list, known, given)
  local any, left_out = false, given[slots.LEFT_OUT]
  for _, slot in ipairs(list) do
    local value = given[slot.name]
    if value ~= nil and value ~= json.null then
      if slot.kind == "yes_no" then
        if type(value) ~= "boolean" then return nil, slot.name .. " must be true or false" end
      else
        if type(value) == "number" then value = ("%.0f"):format(value) end
        value = type(value) == "string" and slots.read(slot, { text = value }) or nil
        if value == nil then return nil, ("%s must be %s%s"):format(slot.name, SAYS[slot.kind], slot.digits and (", %d of them"):format(slot.digits) or "") end
      end
      known, any = filled(known, slot.name, value), true
    end
  end
  if left_out ~= nil and left_out ~= json.null then
    local may
    for _, slot in ipairs(list) do may = may or slot.name == left_out and slot.optional end
    if not may then return nil, slots.LEFT_OUT .. " must be the name of one that may be left out" end
    known, any = with(known, { left_out = with(known.left_out or {}, { [left_out] = true }) }), true
  end
  if not any then return nil, "nothing was given" end
  known = with(known, { at = next_at(list, known) })
  known.idle = nil
  return known
end

return slots
