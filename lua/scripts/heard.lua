-- SPDX-License-Identifier: Apache-2.0
--- What a cell may say. C has checked a message's form (core/bind/bind_cell.c); here each type has a check of its values, and texts are
--- cut and made fit for logs and terminals. Pure. Who has the cell knows whether it has a right to say it.
local text_of = require "lib.text"

local heard = {}

--- Why a cell is ended for what it said.
heard.NONSENSE = "sent a message that makes no sense"

local VERBS_AT_ONCE = 4  -- of one run: it waits for each answer, but what it had asked may be on its way twice
local NAME_MAX, NUMBER_MAX, TEXT_MAX = 128, 2 ^ 31, 2000
local REMEMBERED = 256
local PROBLEMS_MAX = 100

-- What fn says of a text, remembered: a flow's few names come again with each verb. Bounded, for a cell may send any.
local function remembered(fn)
  local known, count = {}, 0
  return function(text)
    local answer = known[text]
    if answer == nil then
      if count == REMEMBERED then known, count = {}, 0 end
      answer = fn(text)
      known[text], count = answer, count + 1
    end
    return answer
  end
end

-- Of control characters only tab and newline; a place has none at all.
local function words(text) return (text_of.clean(text, TEXT_MAX):gsub("[%z\1-\8\11-\31\127]", "?")) end
local place = remembered(function(file) return (text_of.clean(file, NAME_MAX):gsub("[^\32-\126]", "?")) end)

local function is_text(value, most) return type(value) == "string" and #value <= most end
local is_a_word = remembered(function(text) return text:find("^[%a_][%w_.]*$") ~= nil end)
local function is_word(value) return is_text(value, 64) and is_a_word(value) end
-- NaN is in no range.
local function is_integer(value, least, most) return type(value) == "number" and value >= least and value <= most and value == math.floor(value) end
-- A file of the bundle and a line, or "" and 0.
local function is_place(file, line) return is_text(file, NAME_MAX) and is_integer(line, 0, NUMBER_MAX) end
local function is_of_run(call, visit) return is_text(call, NAME_MAX) and is_integer(visit, 0, NUMBER_MAX) end

-- What went wrong, as a script's author reads it.
local function problem_of(value)
  return { kind = is_word(value.kind) and value.kind or nil, file = is_text(value.file, NAME_MAX) and place(value.file) or nil,
           line = is_integer(value.line, 0, NUMBER_MAX) and value.line or nil, text = type(value.text) == "string" and words(value.text) or "?" }
end

-- By type: true and the values, or false.
local readers = {}

function readers.pong() return true end

function readers.loaded(version, ok, text)
  if not is_text(version, NAME_MAX) or type(ok) ~= "boolean" or type(text) ~= "string" then return false end
  return true, version, ok, words(text)
end

function readers.checked(version, ok, result)
  if not is_text(version, NAME_MAX) or type(ok) ~= "boolean" or type(result) ~= "table" then return false end
  return true, version, ok, result
end

function readers.hooked(id, ok, result)
  if not is_integer(id, 1, NUMBER_MAX) or type(ok) ~= "boolean" or not ok and type(result) ~= "table" then return false end
  if ok then return true, id, ok, result end
  return true, id, ok, problem_of(result)
end

function readers.covered(path, text)
  if not is_text(path, NAME_MAX) or text ~= nil and type(text) ~= "string" then return false end
  return true, path, text
end

function readers.verb(call, visit, n, name, args, file, line)
  if not is_of_run(call, visit) or not is_integer(n, 1, NUMBER_MAX) or not is_word(name) or type(args) ~= "table" or not is_place(file, line) then
    return false
  end
  return true, call, visit, n, name, args, place(file), line
end

function readers.next(call, visit, state, data, file, line)
  if not is_of_run(call, visit) or state ~= nil and type(state) ~= "string" or not is_place(file, line) then return false end
  return true, call, visit, state, data, place(file), line
end

function readers.failed(call, visit, kind, text, file, line, trace)
  if not is_of_run(call, visit) or not is_word(kind) or type(text) ~= "string" or type(file) ~= "string"
    or not is_integer(line, 0, NUMBER_MAX) or type(trace) ~= "table" then
    return false
  end
  return true, call, visit, kind, words(text), place(file), line, trace
end

--- Reads a message: true and its values; false when it is none that a cell sends.
function heard.read(kind, ...)
  local reader = readers[kind]
  if not reader then return false end
  return reader(...)
end

--- Whether a run hears what is said in that visit. Not: it has left, is in another visit, or has ended.
function heard.is_open(run, visit)
  return run ~= nil and run.visit == visit and not run.ended
end

--- A run begins: the visit it is of.
function heard.begin(run, visit)
  run.visit, run.verbs, run.ended = visit, 0, nil
end

--- Gives VERB, NEXT or FAILED to an open run; may wait. NEXT and FAILED end it: nothing of it is heard after that.
--- False for a verb that no cell would ask for while it waits for others.
function heard.give(run, kind, ...)
  if kind ~= "verb" then
    run.ended = true
    run[kind](...)
    return true
  end
  if run.verbs >= VERBS_AT_ONCE then return false end
  run.verbs = run.verbs + 1
  run.verb(...)
  run.verbs = run.verbs - 1
  return true
end

local function words_of(list)
  local names = {}
  for i, name in ipairs(type(list) == "table" and list or {}) do names[i] = is_word(name) and name or "?" end
  return names
end

--- What CHECKED says, with everything in it what it should be. The bundle's own table is looked through by who uses it.
function heard.report(result)
  local problems, flows, files = {}, {}, {}
  for _, value in ipairs(type(result.problems) == "table" and result.problems or {}) do
    if type(value) == "table" and #problems < PROBLEMS_MAX then problems[#problems + 1] = problem_of(value) end
  end
  for path, flow in pairs(type(result.flows) == "table" and result.flows or {}) do
    if is_text(path, NAME_MAX) and type(flow) == "table" then
      flows[path] = { start = is_word(flow.start) and flow.start or nil, states = words_of(flow.states), ended = flow.ended == true or nil,
                      failed = flow.failed == true or nil }
    end
  end
  for path, file in pairs(type(result.files) == "table" and result.files or {}) do
    if is_text(path, NAME_MAX) and type(file) == "table" then
      files[path] = { type = is_word(file.type) and file.type or "?", line = is_integer(file.line, 0, NUMBER_MAX) and file.line or 1, names = words_of(file.names) }
    end
  end
  return { problems = problems, flows = flows, files = files, bundle = result.bundle }
end

return heard
