-- SPDX-License-Identifier: Apache-2.0
--- What a bundle must be and which version a call gets, decided without I/O. Problems are { file=, line=, text= }, for the
--- script's author.
local crypto = require "core.crypto"
local gate = require "scripts.gate"
local hints = require "scripts.hints"
local hook_rules = require "scripts.hooks.rules"
local text_of = require "lib.text"
local urlencoded = require "lib.urlencoded"

local rules = {}

rules.MOST_PROBLEMS = 100  -- of a bundle that are told
local HINTED = 5           -- and of these it is looked up where they are and what helps: each takes a walk through the file

rules.MAX_BYTES = 4 * 1024 * 1024
rules.MAX_FILES = 256
rules.MAX_LUA = 64 * 1024
rules.MAX_FILE = 256 * 1024
rules.MAX_PATH = 128
rules.MAX_FLOW_PATH = 64  -- as a call's row keeps it

local function path_problem(path)
  if type(path) ~= "string" or path == "" then return "a file has no path" end
  if #path > rules.MAX_PATH then return ("the path is longer than %d characters"):format(rules.MAX_PATH) end
  if path:sub(1, 1) == "/" then return "the path is absolute; it must be relative to the bundle" end
  if path:find("[^%w%._/-]") then return "the path may only have letters, digits, and . _ / -" end
  for part in (path .. "/"):gmatch("(.-)/") do
    if part == "" or part == "." or part == ".." then return "the path leaves the bundle or has empty parts" end
  end
end

--- Problems of the files as they came, before anything is run.
--- @param operators boolean|nil  the operator's own bundle: it has no numbers, and so needs no bundle.lua
function rules.files(files, operators)
  local problems, seen, size = {}, {}, 0
  local function add(file, text, line) problems[#problems + 1] = { file = file, line = line, text = text } end
  if #files == 0 then add(nil, "the bundle has no files") end
  if #files > rules.MAX_FILES then add(nil, ("the bundle has %d files; at most %d are allowed"):format(#files, rules.MAX_FILES)) end
  for _, file in ipairs(files) do
    local problem = path_problem(file.path)
    local shown = tostring(file.path):gsub("[^%w%._/-]", "?"):sub(1, 128)
    if problem then
      add(shown, problem)
    elseif seen[file.path] then
      add(shown, "the file is there twice")
    elseif file.path:find("%.lua$") and #file.data > rules.MAX_LUA then
      add(shown, ("a Lua file may have at most %d bytes, this one has %d; split it and use require"):format(rules.MAX_LUA, #file.data))
    elseif file.path:find("%.lua$") and file.data:byte(1) == 27 then
      add(shown, "compiled Lua is not accepted; upload the source text", 1)
    elseif file.path:find("%.lua$") and hints.no_text(file.data) then
      add(shown, hints.no_text(file.data), 1)
    elseif #file.data > rules.MAX_FILE then
      add(shown, ("a file may have at most %d bytes, this one has %d"):format(rules.MAX_FILE, #file.data))
    end
    seen[file.path] = true
    size = size + #file.data
  end
  if size > rules.MAX_BYTES then add(nil, ("the bundle has %d bytes; at most %d are allowed"):format(size, rules.MAX_BYTES)) end
  if not seen["bundle.lua"] and not operators then
    local elsewhere = hints.paths(files, "/bundle.lua")
    add("bundle.lua", "the file is missing; it says which number runs which flow"
      .. (elsewhere and (". There is %s: upload the files of that folder"):format(elsewhere) or ""), 1)
  end
  return problems
end

--- A file as the API has it: scripts and papers as text, everything else as base64.
function rules.sent(path, data)
  if (path:find("%.lua$") or path:find("%.md$")) and urlencoded.is_text(data) then return { path = path, text = data } end
  return { path = path, base64 = crypto.b64(data) }
end

--- A fallback is data: what is said, then one way to end.
function rules.fallback_problem(fallback)
  if type(fallback) ~= "table" then return "fallback must be a table such as { say = \"Please hold.\", voicemail = true }" end
  if fallback.say ~= nil and (type(fallback.say) ~= "string" or #fallback.say > 4000) then return "fallback.say must be text of at most 4000 bytes" end
  local ways = 0
  for _, way in ipairs{ "transfer", "voicemail", "hangup" } do
    if fallback[way] then ways = ways + 1 end
  end
  if ways ~= 1 then return "fallback needs exactly one of transfer = \"+1...\", voicemail = true, hangup = true" end
  if fallback.transfer and (type(fallback.transfer) ~= "string" or not fallback.transfer:match("^%+%d+$")) then
    return "fallback.transfer must be a phone number such as \"+15550142\""
  end
  for key in pairs(fallback) do
    if key ~= "say" and key ~= "transfer" and key ~= "voicemail" and key ~= "hangup" then return "fallback has no field '" .. tostring(key) .. "'" end
  end
end

--- Problems that the check in a cell found, and what bundle.lua's table lacks.
--- @param result table  { problems, flows = { [file] = {...} }, bundle = table, files = what hook files return }
--- @param operators boolean|nil  as above
--- @return table problems, table hooks  names of those there are
function rules.report(result, files, operators)
  local problems = {}
  for i, problem in ipairs(result.problems) do problems[i] = i <= HINTED and hints.add(problem, files) or problem end
  if #problems > 0 then return problems, {} end
  local hooks, wrong = hook_rules.found(result.files, operators)
  for i, problem in ipairs(wrong) do problems[i] = problem end
  if operators then return problems, hooks end
  local function add(text, words)  -- words: where in the file to look
    local line = words and #problems < HINTED and hints.line_with(files, "bundle.lua", words) or 1
    problems[#problems + 1] = { file = "bundle.lua", line = line, text = text }
  end
  local bundle = result.bundle
  if type(bundle) ~= "table" then
    add("the file must return a table such as { numbers = { [\"+15550100\"] = \"flows/main.lua\" } }")
    return problems, hooks
  end
  local there = {}
  for _, file in ipairs(files) do there[file.path] = true end
  if type(bundle.numbers) ~= "table" or next(bundle.numbers) == nil then
    add("numbers is missing: it says which number runs which flow; \"*\" stands for every number")
  else
    for number, flow in pairs(bundle.numbers) do
      if #problems >= rules.MOST_PROBLEMS then break end
      if number ~= "*" and not (type(number) == "string" and number:match("^%+%d+$")) then
        add(("numbers: '%s' is not a number such as \"+15550100\" and not \"*\""):format(tostring(number)), tostring(number))
      end
      if type(flow) == "string" and #flow > rules.MAX_FLOW_PATH then
        add(("numbers['%s']: the path of a flow may have at most %d characters"):format(tostring(number), rules.MAX_FLOW_PATH), flow)
      elseif type(flow) ~= "string" or not there[flow] then
        local flows = hints.paths(files, ".lua", "flows/")
        add(("numbers['%s']: there is no file '%s'%s"):format(tostring(number), tostring(flow), flows and "; there is " .. flows or ""),
          type(flow) == "string" and flow or nil)
      elseif not (result.flows or {})[flow] then
        add(("numbers['%s']: '%s' is not a flow; it must lie in flows/ and return flow.define{ ... }"):format(tostring(number), flow), flow)
      end
    end
  end
  if bundle.fallback ~= nil then
    local problem = rules.fallback_problem(bundle.fallback)
    if problem then add(problem, "fallback") end
  end
  if bundle.permissions ~= nil then
    local problem = gate.permissions_problem(bundle.permissions)
    if problem then add(problem, "permissions") end
  end
  return problems, hooks
end

--- Which flow file a call to a number runs, or nil.
function rules.flow_for(bundle, number)
  return bundle.numbers[number] or bundle.numbers["*"]
end

--- What is kept of a run of specs: { passed, failed, failures = { { file, line, name, text } } }, at most fifty of them.
function rules.kept_specs(result)
  local failures = {}
  for i, failure in ipairs(result.failures or {}) do
    if i > 50 then break end
    failures[i] = { file = failure.file, line = failure.line, name = text_of.clean(tostring(failure.name), 300), text = text_of.clean(tostring(failure.text), 2000) }
  end
  return { passed = result.passed, failed = result.failed, failures = failures }
end

--- Why a version may not be published by what its own specs say: { code =, text =, problems = } | nil.
--- @param specs table|nil  { passed, failed, failures = { { file, line, name, text } } }
function rules.specs_problem(specs)
  if not specs or (specs.failed or 0) == 0 then return nil end
  local problems = {}
  for i, failure in ipairs(specs.failures or {}) do
    problems[i] = { file = failure.file, line = failure.line, text = ("%s: %s"):format(failure.name or "?", failure.text or "failed") }
  end
  local first = problems[1]
  return { code = "specs", problems = problems, text = ("%d of %d specs fail%s. Make them pass, or send skip_specs with a reason."):format(
    specs.failed, specs.failed + (specs.passed or 0), first and first.file and (", first %s:%s: %s"):format(first.file, tostring(first.line or 1), first.text) or "") }
end

--- Whether a new call is one of the canary's, by its id: always the same answer for the same id and share.
--- @param share number  thousandths of all calls
function rules.takes_canary(id, share)
  local a, b, c = crypto.sha256("canary\0" .. id):byte(1, 3)
  return ((a * 256 + b) * 256 + c) % 1000 < share
end

--- Whether so many failed calls are too many.
--- @param use table  calls, failed, min_calls, error_limit (thousandths of the calls)
function rules.canary_fails(use)
  return use.calls >= use.min_calls and use.failed * 1000 > use.error_limit * use.calls
end

-- Why a flow could not go on or a hook did not decide, where the scripts are to blame. "cell", "away" and "late" are the platform's
-- own failures.
local blamed = { error = "failed", form = "failed", no_flow = "failed", journal = "failed", diverged = "failed", strikes = "failed", died = "failed", cpu = "over_budget",
                 memory = "over_budget" }

--- What a call that went to its fallback counts as: "failed", "over_budget" (failed too) or nil.
function rules.blame(kind)
  return blamed[kind]
end

return rules
