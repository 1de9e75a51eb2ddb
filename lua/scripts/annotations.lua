-- SPDX-License-Identifier: Apache-2.0
--- The gate's table as a library file for the Lua language server: completion, types and documentation in an author's editor.
--- It is valid Lua and does nothing; an editor reads it, no call does.
local gate = require "scripts.gate"
local guide = require "scripts.guide"
local names = require "lib.names"

local annotations = {}

local function camel(text)
  return (text:gsub("^%l", string.upper):gsub("_(%l)", string.upper))
end

-- GatherOptions; and CreateLead, not CreateLeadLead.
local function class_of(verb, noun)
  local name = camel(verb.name)
  return name:sub(-#noun) == camel(noun) and name or name .. camel(noun)
end

local function type_of(verb, declared, noun, inner)
  if declared.fields and not inner then return class_of(verb, noun) end
  if declared.enum then
    local texts = {}
    for i, text in ipairs(declared.enum) do texts[i] = ("%q"):format(text) end
    return table.concat(texts, "|")
  end
  return declared.type == "never" and "nil" or declared.type
end

local doc_of

-- { turns = turns of the caller; 1 to 200; 40 unless given, ... }
local function inner_doc(fields)
  local list = {}
  for i, name in ipairs(names(fields)) do list[i] = name .. " = " .. doc_of(fields[name]) end
  return "{ " .. table.concat(list, ", ") .. " }"
end

-- What a field's type does not say: its range and its default.
function doc_of(declared, outer)
  local text = declared.doc
  if declared.items and declared.items[1] then text = ("%s; a list of %s"):format(text, table.concat(declared.items, ", ")) end
  if declared.own then text = ("%s; at most %d tables of your own: %s"):format(text, declared.own.max, inner_doc(declared.own.fields)) end
  if declared.each then text = ("%s: each %s"):format(text, inner_doc(declared.each.fields)) end
  if declared.unit then text = ("%s, in %s"):format(text, declared.unit) end
  if declared.type == "string" and declared.max then
    text = ("%s; at most %d byte%s"):format(text, declared.max, declared.max == 1 and "" or "s")
  elseif declared.min then
    text = ("%s; %g to %g"):format(text, declared.min, declared.max)
  end
  if declared.default ~= nil then
    text = ("%s; %s unless given"):format(text, type(declared.default) == "string" and ("%q"):format(declared.default) or tostring(declared.default))
  end
  if declared.permission then text = ("%s; needs the permission %s"):format(text, declared.permission) end
  if declared.fields and next(declared.fields) and not outer then text = text .. ": " .. inner_doc(declared.fields) end
  return text
end

-- A class for a table that goes in or comes out.
local function class(line, name, declared, verb, may_lack)
  line("")
  line(("---@class %s"):format(name))
  for _, field in ipairs(names(declared.fields)) do
    local of = declared.fields[field]
    line(("---@field %s%s %s %s"):format(field, may_lack and "?" or "", type_of(verb, of, field, true), doc_of(of)))
  end
  if declared.open then line(("---@field [string] any %s"):format(declared.keys)) end
end

local function error_name(verb) return #verb.errors > 0 and camel(verb.name) .. "Error" or "CallError" end

local function error_class(line, name, errors)
  line("")
  line(("---@alias %sCode"):format(name))
  for _, err in ipairs(errors) do line(('---| "%s" # %s %s'):format(err.code, err.doc, err.remedy)) end
  line("")
  line(name == "CallError" and "--- What went wrong in the world, the second result of a verb. A mistake of the script raises instead.\n---@class CallError"
    or ("---@class %s: CallError"):format(name))
  line(("---@field code %sCode%s for the script"):format(name, name == "CallError" and "" or "|CallErrorCode"))
  line("---@field text string for people")
end

local function comment(line, text)
  for part in (text:gsub("\n$", "") .. "\n"):gmatch("(.-)\n") do line(part == "" and "---" or "--- " .. part) end
end

local function method(line, verb)
  local given = {}
  line("")
  comment(line, verb.doc)
  line("---")
  comment(line, ("After a crash (%s): %s"):format(verb.resume, gate.resumes[verb.resume]))
  if verb.permission then comment(line, ("Needs the permission %s."):format(verb.permission)) end
  line("---")
  comment(line, "```lua\n" .. verb.example .. "```")
  for i, param in ipairs(verb.params) do
    if param.inner then break end  -- behind all that a script gives
    given[i] = param.name
    line(("---@param %s%s %s %s"):format(param.name, param.optional and "?" or "", type_of(verb, param, param.name), doc_of(param, true)))
  end
  if verb.result.type ~= "never" then
    local kind = type_of(verb, verb.result, "result")
    if verb.always then
      line(("---@return %s result %s"):format(kind, doc_of(verb.result, true)))
    else
      line(("---@return %s|nil result %s; nil when it failed"):format(kind, doc_of(verb.result, true)))
      line(("---@return %s|nil err"):format(error_name(verb)))
    end
  end
  line(("function Call:%s(%s) end"):format(verb.name, table.concat(given, ", ")))
end

local function bundle_class(line, name, fields, doc)
  line("")
  comment(line, doc)
  line(("---@class %s"):format(name))
  for _, field in ipairs(fields) do
    line(("---@field %s%s %s %s"):format(field.name, field.optional and "?" or "", field.type, field.doc))
  end
end

--- The file's text.
function annotations.text()
  local out = {}
  local function line(text) out[#out + 1] = text end
  line("---@meta flow")
  line("--- What a script may call, for the Lua language server. Made by the platform; do not change it, fetch it again.")
  line("--- Put it where the server's setting workspace.library points, and outside of what is pushed: a folder with a dot is.")
  error_class(line, "CallError", gate.errors)
  for _, verb in ipairs(gate.verbs) do
    if #verb.errors > 0 then error_class(line, error_name(verb), verb.errors) end
    for _, param in ipairs(verb.params) do
      if param.fields and not param.inner then class(line, class_of(verb, param.name), param, verb, true) end
    end
    if verb.result.fields then class(line, class_of(verb, "result"), verb.result, verb, false) end
  end
  line("")
  line("--- The call that a state is given.")
  line("---@class Call")
  for _, property in ipairs(gate.properties) do
    line(("---@field %s%s %s %s"):format(property.name, property.optional and "?" or "", type_of(nil, property), doc_of(property)))
  end
  line("local Call = {}")
  for _, verb in ipairs(gate.verbs) do method(line, verb) end
  bundle_class(line, "Fallback", guide.fallback, "What happens to a call whose flow cannot go on: say, then exactly one of the others.")
  bundle_class(line, "Bundle", guide.bundle, "What bundle.lua returns. Give it a name with ---@type Bundle above it, and return that.")
  for _, text in ipairs{
    "", "--- The end of a flow: return it from a state.", "---@class Done",
    "", "--- A state: does something with the call and returns the name of the next state, or nil or flow.done.",
    "---@alias State fun(call: Call): string|Done|nil",
    "", "--- What flow.define takes.", "---@class FlowStates",
    "---@field start string the name of the state that a call begins in",
    "---@field ended? fun(call: Call, why: string) runs once when the call is over",
    "---@field failed? fun(call: Call, err: string) runs once when a state raised an error; then the fallback is next",
    "---@field [string] State",
    "", "--- A flow, as its file returns it.", "---@class Flow",
    "", "---@class FlowLibrary", "---@field done Done the end of a flow: return it from a state", "local flow = {}",
    "", "--- Makes a flow out of its states. A flow's file returns it.",
    "---@param states FlowStates", "---@return Flow", "function flow.define(states) end",
    "", "return flow",
  } do line(text) end
  return table.concat(out, "\n") .. "\n"
end

return annotations
