-- SPDX-License-Identifier: Apache-2.0
--- What is written for script authors: each example is checked and run in a real cell, with a caller that is played here.
local annotations = require "scripts.annotations"
local bundle = require "core.bundle"
local cells = require "scripts.cells"
local crypto = require "core.crypto"
local flow = require "flow"
local gate = require "scripts.gate"
local guide = require "scripts.guide"
local hook_rules = require "scripts.hooks.rules"
local hooks = require "scripts.hooks.reference"
local journal = require "flow.journal"
local json = require "core.json"
local reference = require "scripts.reference"
local rules = require "scripts.rules"
local scripts = require "scripts"
local store = require "scripts.store"
local task = require "core.task"

local BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" } }\n'
local FLOW = gate.verb("say").example

-- All that is to be copied: { file =, code =, name = }.
local function examples()
  local list = {}
  for _, verb in ipairs(gate.verbs) do list[#list + 1] = { file = "flows/main.lua", code = verb.example, name = verb.name, verb = verb } end
  for _, sections in ipairs{ guide.before(), hooks.sections(), guide.behind() } do
    for _, section in ipairs(sections) do
      for _, block in ipairs(section.blocks) do
        if block.code then list[#list + 1] = { file = block.file, code = block.code, name = section.title } end
      end
    end
  end
  return list
end

local function files_with(file, code)
  local texts = { ["bundle.lua"] = BUNDLE, ["flows/main.lua"] = FLOW }
  texts[file] = code
  local files = {}
  for path, data in pairs(texts) do files[#files + 1] = { path = path, data = data } end
  table.sort(files, function(a, b) return a.path < b.path end)
  return files
end

local function problems_of(files, operators)
  local problems = rules.files(files, operators)
  if #problems > 0 then return problems end
  local result, err = cells.check(assert(bundle.pack(files)), hook_rules.files(operators))
  if not result then return { err } end
  return (rules.report(result, files, operators))
end

describe("an example of the script reference", function()
  local real, log
  before_each(function()
    real, log = { bundle_bytes = store.bundle_bytes, log = scripts.log }, {}
    scripts.log = function(_, entry) log[#log + 1] = entry end
  end)
  after_each(function() store.bundle_bytes, scripts.log = real.bundle_bytes, real.log end)

  it("is there for each verb, and uses it", function()
    for _, verb in ipairs(gate.verbs) do assert.truthy(verb.example:find("call:" .. verb.name, 1, true), verb.name) end
  end)

  it("passes the check of a bundle", function()
    for _, example in ipairs(examples()) do
      local operators = example.name:find("(the operator's bundle)", 1, true) ~= nil
      assert.same({}, problems_of(files_with(example.file, example.code), operators), example.name)
    end
  end)

  -- What a verb returns when it went well.
  local function result_of(verb, args)
    local result = verb.result
    if verb.name == "menu" then return args[1]["1"] end
    if result.type == "boolean" then return true end
    if result.type == "integer" then return 1764183600 end
    if result.enum then return result.enum[1] end
    if result.type == "string" then return "12345" end
    local fields = {}
    for name, field in pairs(result.fields) do fields[name] = field.enum and field.enum[1] or field.type == "number" and 4 or "x_1" end
    return fields
  end

  -- Runs a flow in a cell until it has ended. fails: each verb comes to its first error.
  local function run(code, fails)
    local bytes = assert(bundle.pack(files_with("flows/main.lua", code)))
    local asked, ended = {}, false
    store.bundle_bytes = function() return bytes end
    local verbs = {}
    for _, verb in ipairs(gate.verbs) do
      verbs[verb.name] = function(self, args)
        asked[verb.name] = true
        if verb.name == "hangup" then
          task.spawn(flow.ended, self, "flow")
          return nil, { code = "gone", text = "the caller has hung up" }
        elseif fails and not verb.always then
          local first = verb.errors[1] or gate.errors[1]
          return nil, { code = first.code, text = first.doc }
        end
        return result_of(verb, args)
      end
    end
    local instance = {
      id = "c-example", tenant = { id = -77, slug = "example", db = "none" }, hash = crypto.hex(crypto.sha256(bytes)), file = "flows/main.lua",
      visit = 0, data = {}, journal = journal.new(), verbs = verbs,
      info = function(self)
        return { id = self.id, from = "+12025550166", to = "+12025550100", direction = "inbound", started_us = 1764183600000000, seed = 1,
          why = self.state == "ended" and "flow" or nil, error = self.error_text }
      end,
      head = function() return {} end, keep = function() return true end, moved = function() end, visited = function() end,
      finished = function(self)
        if self.over then ended = true else flow.ended(self, "flow") end
      end,
      failed = function(self, kind, text, file, line) self.failure = ("%s: %s:%s: %s"):format(kind, file or "?", tostring(line), text) end,
    }
    local start = code:match('start = "([%w_]+)"')
    task.spawn(flow.enter, instance, start)
    for _ = 1, 500 do
      if ended or instance.failure then break end
      task.sleep(10)
    end
    flow.leave(instance)
    return instance.failure or (not ended and "it did not end in state " .. tostring(instance.state)) or nil, asked
  end

  it("runs to its end, and asks for its verb", function()
    for _, example in ipairs(examples()) do
      if example.file == "flows/main.lua" then
        local failure, asked = run(example.code)
        assert.is_nil(failure, ("%s: %s"):format(example.name, tostring(failure)))
        if example.verb and example.name ~= "record" then assert.truthy(asked[example.name], example.name) end
      end
    end
  end)

  it("runs to its end when each verb fails", function()
    for _, example in ipairs(examples()) do
      if example.file == "flows/main.lua" then
        local failure = run(example.code, true)
        assert.is_nil(failure, ("%s: %s"):format(example.name, tostring(failure)))
      end
    end
    assert.same({}, log)
  end)

  it("ends on the fallback as the reference says, where a state raised and failed has run", function()
    local failure, asked = run([[
local flow = require "flow"
return flow.define {
  start = "support",
  support = function(call) call:say(7) end,
  failed = function(call, err) call:log("told: " .. err) return "support" end,
}
]])
    assert.equal("error: flows/main.lua:4: say: text must be a string, not a number", failure)
    assert.same({ log = true }, asked)
  end)

  it("is told apart from one that does not run", function()
    assert.matches("no such verb", (run('local flow = require "flow"\nreturn flow.define {\n  start = "a",\n  a = function() error("no such verb") end,\n}\n')))
  end)
end)

-- What a script gives.
local function params_of(verb)
  local list = {}
  for _, param in ipairs(verb.params) do
    if not param.inner then list[#list + 1] = param end
  end
  return list
end

describe("the script reference", function()
  it("names each verb, parameter, field, default, error and permission in Markdown", function()
    local text = reference.markdown()
    local function says(what, where) assert.truthy(text:find(what, 1, true), ("%s: %s"):format(where, what)) end
    for _, verb in ipairs(gate.verbs) do
      says("### call:" .. verb.name .. "(", verb.name)
      says(verb.example, verb.name)
      says(verb.doc, verb.name)
      for _, param in ipairs(params_of(verb)) do
        says("`" .. param.name .. "`: ", verb.name)
        for name, field in pairs(param.fields or {}) do says(("| `%s` | "):format(name), verb.name) says(field.doc, verb.name) end
      end
      for _, err in ipairs(verb.errors) do says("| `" .. err.code .. "` | " .. err.doc, verb.name) end
    end
    for _, err in ipairs(gate.errors) do says("| `" .. err.code .. "` | " .. err.doc, "errors") end
    for _, hook in ipairs(hook_rules.list) do says(("## %s: %s"):format(hook.file, hook.name), "hooks") says(hook.doc, "hooks") end
    for name in pairs(gate.permissions) do says("| `" .. name .. "` | ", "permissions") end
    for _, field in ipairs(guide.bundle) do says("`" .. field.name .. "`", "bundle.lua") end
  end)

  it("has its figures from where they are decided", function()
    local files, entries = rules.MAX_FILES, journal.MAX_ENTRIES
    rules.MAX_FILES, journal.MAX_ENTRIES = 7001, 7002
    local text = reference.markdown()
    rules.MAX_FILES, journal.MAX_ENTRIES = files, entries
    assert.truthy(text:find("7001", 1, true))
    assert.truthy(text:find("7002", 1, true))
  end)

  it("is the same as JSON, with lists that stay lists", function()
    local whole = json.decode(json.encode(reference.table()))
    local count = 0
    for _, group in ipairs(whole.groups) do
      for _, verb in ipairs(group.verbs) do
        count = count + 1
        assert.truthy(gate.verb(verb.name))
        assert.truthy(json.is_array(verb.params) and json.is_array(verb.errors), verb.name)
      end
    end
    assert.equal(#gate.verbs, count)
  end)

  it("breaks no table of Markdown", function()
    local columns
    for line in reference.markdown():gmatch("[^\n]+") do
      if line:sub(1, 1) == "|" then
        local bars = select(2, line:gsub("\\|", ""):gsub("|", ""))
        columns = columns or bars
        assert.equal(columns, bars, line)
      else
        columns = nil
      end
    end
  end)
end)

describe("the annotations for editors", function()
  local text = annotations.text()

  it("are Lua that a bundle could hold", function()
    assert.same({}, problems_of(files_with("library/parley.lua", text)))
  end)

  it("are told apart from what is no Lua", function()
    assert.truthy(#problems_of(files_with("library/parley.lua", text .. "end")) > 0)
  end)

  it("have each verb as a method, with each parameter, field and error code", function()
    for _, verb in ipairs(gate.verbs) do
      local names = {}
      for i, param in ipairs(params_of(verb)) do names[i] = param.name end
      local method = ("function Call:%s(%s) end"):format(verb.name, table.concat(names, ", "))
      local at = text:find(method, 1, true)
      assert.truthy(at, method)
      local own = text:sub(1, at):match(".*\n\n(.-)$")
      for _, param in ipairs(params_of(verb)) do
        assert.truthy(own:find(("---@param %s%s "):format(param.name, param.optional and "?" or ""), 1, true), method)
        for name, field in pairs(param.fields or {}) do
          assert.truthy(text:find(("---@field %s? %s"):format(name, field.enum and "" or field.type), 1, true), verb.name .. "." .. name)
        end
      end
      assert.equal(verb.result.type ~= "never", own:find("---@return", 1, true) ~= nil, method)
      assert.truthy(own:find("--- " .. verb.example:match("^[^\n]+"), 1, true), method)
      for _, err in ipairs(verb.errors) do assert.truthy(text:find(('---| "%s" # %s'):format(err.code, err.doc), 1, true), err.code) end
    end
  end)

  it("use no class that they do not have", function()
    local classes = { string = true, number = true, integer = true, boolean = true, table = true, any = true, ["nil"] = true, fun = true }
    for name in text:gmatch("%-%-%-@class (%w+)") do classes[name] = true end
    for name in text:gmatch("%-%-%-@alias (%w+)") do classes[name] = true end
    for kind in text:gmatch("%-%-%-@param [%w_]+%?? ([%w|]+)") do assert.truthy(classes[kind:match("%w+")], kind) end
    for kinds in text:gmatch("%-%-%-@return ([%w|]+)") do
      for kind in kinds:gmatch("%w+") do assert.truthy(classes[kind], kind) end
    end
    for parent in text:gmatch("%-%-%-@class %w+: (%w+)") do assert.truthy(classes[parent], parent) end
    for kinds in text:gmatch("%-%-%-@field [%w_%[%]]+%?? (%u[%w|]+)") do
      for kind in kinds:gmatch("%w+") do assert.truthy(classes[kind], kind) end
    end
  end)

  it("type what require \"flow\" gives", function()
    assert.matches("^%-%-%-@meta flow\n", text)
    assert.matches("\nreturn flow\n$", text)
    assert.truthy(text:find("---@param states FlowStates\n---@return Flow\nfunction flow.define(states) end", 1, true))
  end)
end)
