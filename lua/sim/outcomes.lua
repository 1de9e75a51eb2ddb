-- SPDX-License-Identifier: Apache-2.0
--- What can become of a verb: what a caller may do in it, and what else may happen. Pure.
---
--- An outcome: { label =, steps = what the caller does, acts = true when he does anything, transfer = what becomes of it,
---   ai = what the AI of his conversation does, fail = { code, text }, hangup = true }. The first of a list is the common one; `idle` marks the one without the caller's doing.
local outcomes = {}

local DIGITS = "1234567890"
local TRANSFERS = { "answered", "busy", "no_answer", "rejected", "limit", "failed" }
local FAILED = { code = "failed", text = "it could not be done" }
local HANGS_UP = { label = "hangs up", hangup = true, acts = true }

local of = {}

local function heard(args)
  local list = { { label = "listens", idle = true } }
  if (args[2] or {}).interrupt then list[2] = { label = "presses a key meanwhile", steps = { { key = "1", interrupt = true } }, acts = true } end
  list[#list + 1] = HANGS_UP
  return list
end
of.say, of.play = heard, heard

function of.gather(args, digits)
  if #digits > 0 then return { { label = "has pressed keys before", acts = true }, HANGS_UP } end
  local options = args[1]
  local list = { { label = "enters all keys", steps = { { keys = DIGITS:rep(7):sub(1, options.digits) } }, acts = true } }
  if options.digits > 1 and options.finish ~= "" then
    list[2] = { label = "enters one key", steps = { { keys = "1" .. options.finish } }, acts = true }
  end
  list[#list + 1] = { label = "is silent", steps = { { silence = options.timeout } }, idle = true }
  list[#list + 1] = HANGS_UP
  return list
end

function of.menu(args, digits)
  local options, list, keys = args[1], {}, {}
  if #digits > 0 then return { { label = "has pressed keys before", acts = true }, HANGS_UP } end
  for key in pairs(options) do
    if #key == 1 then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for i, key in ipairs(keys) do list[i] = { label = "presses " .. key, steps = { { key = key } }, acts = true } end
  local silence = {}
  for i = 0, options.repeats do silence[i + 1] = { silence = options.timeout } end
  list[#list + 1] = { label = "is silent", steps = silence, idle = true }
  list[#list + 1] = HANGS_UP
  return list
end

function of.record(args)
  local options = args[1]
  local list = {
    { label = "leaves a message", steps = { { say = "Please call me back." }, { silence = options.silence } }, acts = true },
    { label = "is silent", steps = { { silence = 2 + options.silence } }, idle = true },
  }
  if options.finish ~= "" then list[3] = { label = "ends with a key", steps = { { key = options.finish } }, acts = true } end
  list[#list + 1] = { label = "nothing can be recorded", fail = FAILED }
  list[#list + 1] = HANGS_UP
  return list
end

function of.transfer()
  local list = {}
  for i, outcome in ipairs(TRANSFERS) do list[i] = { label = "transfer: " .. outcome, transfer = outcome, idle = i == 3 } end
  list[#list + 1] = HANGS_UP
  return list
end

local SAMPLES = { string = "Ann", number = 40, integer = 4, boolean = true }
local QUESTION, HOURS = { say = "What are your opening hours?" }, { say = "We are open from eight to six." }

-- What a model might give to a tool of the script's own.
local function sample(tool)
  local given = {}
  for name, parameter in pairs(tool.parameters) do given[name] = parameter.enum and parameter.enum[1] or SAMPLES[parameter.type] end
  return given
end

function of.converse(args)
  local list = {
    { label = "asks and is answered", steps = { QUESTION, { silence = 30 } }, ai = { HOURS }, acts = true },
    { label = "asks for a human", steps = { { say = "I want to speak to a human." } }, acts = true },
    { label = "is silent", steps = { { silence = 30 } }, idle = true },
    { label = "no conversation is possible", fail = FAILED },
  }
  for _, tool in ipairs((args[1] or {}).tools or {}) do
    if type(tool) == "table" then
      list[#list + 1] = { label = "the AI uses " .. tool.name, steps = { QUESTION, { silence = 30 } }, ai = { { tool = tool.name, given = sample(tool) }, HOURS }, acts = true }
    end
  end
  list[#list + 1] = HANGS_UP
  return list
end

function of.wait()
  return { { label = "waits", idle = true }, HANGS_UP }
end

function of.create_lead()
  return { { label = "the lead is stored", idle = true }, { label = "the lead is not stored", fail = FAILED } }
end

-- Whether a list has the error already: asked for, or made by what the caller or the other side does.
local made = { gather = { timeout = true } }
local function has(verb, list, code)
  if made[verb] and made[verb][code] then return true end
  for _, outcome in ipairs(list) do
    if outcome.transfer == code or outcome.fail and outcome.fail.code == code then return true end
  end
  return false
end

--- @param verb table    its row of the gate; each of its errors is an outcome too
--- @param args table    checked arguments
--- @param digits table  keys that were pressed and not taken
--- @return table  at least one outcome
function outcomes.of(verb, args, digits)
  local list = of[verb.name] and of[verb.name](args, digits) or { { label = verb.name, idle = true } }
  for _, err in ipairs(verb.errors or {}) do
    if not has(verb.name, list, err.code) then
      list[#list + 1] = { label = verb.name .. ": " .. err.code, fail = { code = err.code, text = err.doc or err.code } }
    end
  end
  return list
end

return outcomes
