-- SPDX-License-Identifier: Apache-2.0
local gate = require "scripts.gate"

describe("the gate's table", function()
  it("fills in defaults", function()
    local args = assert(gate.check("gather", { { digits = 4 } }))
    assert.equal(4, args[1].digits)
    assert.equal(5, args[1].timeout)
    assert.equal("#", args[1].finish)
  end)

  it("names verb, parameter and what was given when a type is wrong", function()
    local args, text = gate.check("say", { 7 })
    assert.is_nil(args)
    assert.equal("say: text must be a string, not a number", text)
  end)

  it("says nothing was given where a required argument is missing", function()
    local _, text = gate.check("say", {})
    assert.equal("say: text must be a string, not nothing", text)
  end)

  it("refuses a field that is not declared and names those that are", function()
    local _, text = gate.check("record", { { secnds = 3 } })
    assert.truthy(text:find("record: options has no field 'secnds'; it takes beep, finish", 1, true))
  end)

  it("refuses numbers out of range and NaN", function()
    local _, text = gate.check("wait", { 301 })
    assert.truthy(text:find("must be between 0 and 300", 1, true))
    assert.is_nil((gate.check("wait", { 0 / 0 })))
  end)

  it("refuses more arguments than the verb has", function()
    local _, text = gate.check("answer", { 1 })
    assert.equal("answer takes 0 arguments", text)
  end)

  it("refuses a key of a menu that nobody can press", function()
    local _, text = gate.check("menu", { { prompt = "x", [1] = "a" } })
    assert.truthy(text:find('menu: options has no field 1; it takes', 1, true))
    assert.truthy(text:find('and keys as text, such as ["1"]', 1, true))
    assert.is_nil((gate.check("menu", { { promt = "x", ["1"] = "a" } })))
  end)

  it("keeps the keys of a menu", function()
    local args = assert(gate.check("menu", { { prompt = "x", ["1"] = "a", ["#"] = "b", otherwise = "c" } }))
    assert.equal("a", args[1]["1"])
    assert.equal("b", args[1]["#"])
  end)

  it("takes a list of what it knows, each once, and nothing else", function()
    local args = assert(gate.check("converse", { { tools = { "hangup", "lookup_kb", "hangup" } } }))
    assert.same({ "hangup", "lookup_kb" }, args[1].tools)
    local _, text = gate.check("converse", { { tools = { "lookup" } } })
    assert.equal("converse: options.tools holds 'lookup'; it takes book_callback, create_lead, hangup, lookup_kb, transfer, update_lead", text)
    _, text = gate.check("converse", { { tools = { first = "hangup" } } })
    assert.equal('converse: options.tools must be a list such as { "book_callback" }', text)
  end)

  local PRICE = { name = "price", description = "What a roof costs.", run = true, parameters = { size = { type = "number" }, colour = { enum = { "red" }, optional = true } } }

  -- The same with other fields; nil where they are to be left out.
  local function tool(fields, without)
    local copy = {}
    for name, value in pairs(PRICE) do copy[name] = value end
    for name, value in pairs(fields) do copy[name] = value end
    if without then copy[without] = nil end
    return gate.check("converse", { { tools = { "hangup", copy } } })
  end

  it("takes tools of a script's own among those it knows", function()
    local args = assert(tool{})
    assert.same({ "hangup", { name = "price", description = "What a roof costs.", run = true,
      parameters = { size = { type = "number", optional = false }, colour = { type = "string", enum = { "red" }, optional = true } } } }, args[1].tools)
  end)

  it("takes only what is a language", function()
    for _, language in ipairs{ "en", "de-AT", "zh-Hans" } do assert(gate.check("converse", { { language = language } })) end
    for _, language in ipairs{ "", "1", "e", "-en" } do
      assert.equal("converse: options.language must be a language such as en or de-AT", select(2, gate.check("converse", { { language = language } })))
    end
  end)

  it("refuses a tool that no model could use, and says where", function()
    local where = "converse: options.tools[2]"
    local function parameters(n)
      local list = {}
      for i = 1, n do list["p" .. i] = {} end
      return list
    end
    assert(tool{ parameters = parameters(16) })
    for text, answer in pairs{
      [where .. " lacks description"] = { tool({}, "description") }, [where .. " lacks run"] = { tool({}, "run") }, [where .. ".run must be a function"] = { tool{ run = "price" } },
      [where .. ".name must be small letters, digits and _, a letter first"] = { tool{ name = "Price!" } },
      [where .. ".name is 'hangup', which there is already"] = { tool{ name = "hangup" } },
      [where .. ".name is 'fill', which there is already"] = { tool{ name = "fill" } },
      [where .. ".parameters.size.type must be one of string, number, integer, boolean"] = { tool{ parameters = { size = { type = "float" } } } },
      [where .. ".parameters.size.enum may be there only where type is string"] = { tool{ parameters = { size = { type = "integer", enum = { "1", "2" } } } } },
      [where .. ".parameters.size.enum must hold at least 1 text"] = { tool{ parameters = { size = { enum = {} } } } },
      [where .. ".parameters: a name may have at most 64 bytes"] = { tool{ parameters = { [("x"):rep(65)] = {} } } },
      [where .. ".parameters may have at most 16 fields"] = { tool{ parameters = parameters(17) } },
      [where .. ".parameters.size must be a table, not a string"] = { tool{ parameters = { size = "number" } } },
    } do
      assert.is_nil(answer[1])
      assert.equal(text, answer[2])
    end
    local many = {}
    for i = 1, 17 do
      many[i] = {}
      for name, value in pairs(PRICE) do many[i][name] = value end
      many[i].name = "tool_" .. i
    end
    local _, text = gate.check("converse", { { tools = many } })
    assert.equal("converse: options.tools may hold at most 16 of your own, it has 17", text)
  end)

  it("fills in the defaults of a table within a table", function()
    local args = assert(gate.check("converse", {}))
    assert.same({ turns = 40, seconds = 600 }, args[1].limit)
    args = assert(gate.check("converse", { { limit = { turns = 3 } } }))
    assert.same({ turns = 3, seconds = 600 }, args[1].limit)
    local _, text = gate.check("converse", { { limit = { turns = 0 } } })
    assert.equal("converse: options.limit.turns must be between 1 and 200, it is 0", text)
  end)

  it("has one that does each verb, and declares each that is done", function()
    local verbs = require "calls.verbs"
    for _, verb in ipairs(gate.verbs) do assert.is_function(verbs.table[verb.name], verb.name) end
    for name in pairs(verbs.table) do assert.truthy(gate.verb(name), name .. " is done and not declared") end
  end)

  it("gives a script no code that its verb does not declare", function()
    assert.equal("busy", gate.code("transfer", "busy"))
    assert.equal("failed", gate.code("say", "busy"))
    assert.equal("internal", gate.code("say", "internal"))
  end)
end)

describe("a column of the gate's table", function()
  local required = {
    verb = { "name", "group", "params", "result", "errors", "doc", "example", "resume", "cost", "timeout" },
    param = { "name", "type", "doc" }, field = { "type", "doc" },
  }

  local function known(kind, declared, where)
    for name in pairs(declared) do assert.truthy(gate.columns[kind][name], ("%s: nothing says what %s means"):format(where, name)) end
    for _, name in ipairs(required[kind]) do assert.is_not_nil(declared[name], ("%s lacks %s"):format(where, name)) end
  end

  local function each(deal)
    for _, verb in ipairs(gate.verbs) do
      for i, param in ipairs(verb.params) do
        deal("param", param, verb.name .. ": " .. param.name, verb, i)
        if not param.inner then
          for name, field in pairs(param.fields or {}) do deal("field", field, verb.name .. ": " .. name, verb, i, name) end
        end
      end
    end
  end

  it("has a meaning, and is there where it is needed", function()
    for _, verb in ipairs(gate.verbs) do known("verb", verb, verb.name) end
    each(known)
    for kind, columns in pairs(gate.columns) do
      for name, meaning in pairs(columns) do assert.truthy(#meaning > 8, kind .. "." .. name) end
    end
  end)

  it("holds what it may", function()
    local groups = {}
    for _, group in ipairs(gate.groups) do groups[group.id] = true end
    for _, verb in ipairs(gate.verbs) do
      assert.truthy(groups[verb.group], verb.name)
      assert.truthy(gate.resumes[verb.resume], verb.name)
      assert.truthy(#verb.doc > 8 and #verb.result.doc > 8 and verb.result.type, verb.name)
      assert.truthy(verb.cost >= 1 and verb.cost % 1 == 0, verb.name)
      assert.truthy(verb.permission == nil or gate.permissions[verb.permission], verb.name)
      assert.truthy(not verb.always or #verb.errors == 0, verb.name)
      for _, err in ipairs(verb.errors) do assert.truthy(#err.code > 0 and #err.doc > 8 and #err.remedy > 8, verb.name) end
    end
    each(function(_, declared, where)
      if declared.type == "number" or declared.type == "integer" then assert.truthy(declared.min < declared.max, where) end
      if declared.type == "string" then assert.truthy(declared.max or declared.enum, where .. ": a text without a bound") end
      if declared.permission then assert.truthy(declared.type == "boolean" and gate.permissions[declared.permission], where) end
    end)
  end)

  -- A default out of its own range would be refused only when a script writes it down.
  it("has defaults that may also be given", function()
    each(function(kind, field, where, verb, i, name)
      if kind ~= "field" or field.default == nil then return end
      local args = {}
      for k, param in ipairs(verb.params) do args[k] = param.type == "table" and {} or param.type == "number" and param.min or "1" end
      args[i][name] = field.default
      local checked, problem = gate.check(verb.name, args)
      assert.is_nil(problem, where)
      assert.equal(field.default, checked[i][name])
    end)
  end)

  it("leaves a verb the time that its own arguments ask for", function()
    for _, verb in ipairs(gate.verbs) do
      local seconds = 0
      for _, param in ipairs(verb.params) do
        if param.unit == "seconds" then seconds = seconds + param.max end
        for _, field in pairs(param.fields or {}) do
          if field.unit == "seconds" then seconds = seconds + field.max end
        end
      end
      assert.truthy(verb.timeout > seconds, verb.name)
    end
  end)
end)

describe("a permission of bundle.lua", function()
  it("refuses the verb that needs it", function()
    assert.truthy(gate.check("transfer", { "+12025550142" }, { record = true }))
    local checked, text = gate.check("transfer", { "+12025550142" }, { dial = false })
    assert.is_nil(checked)
    assert.equal("transfer: needs the permission dial, which bundle.lua refuses (permissions.dial = false)", text)
  end)

  it("refuses a field that would go around it", function()
    local _, text = gate.check("transfer", { "+12025550142" }, { record = false })
    assert.equal("transfer: options.record needs the permission record, which bundle.lua refuses; write record = false", text)
    assert.truthy(gate.check("transfer", { "+12025550142", { record = false } }, { record = false }))
  end)

  it("refuses nothing that it does not name", function()
    for _, name in ipairs{ "answer", "say", "menu", "create_lead", "record" } do
      local args = name == "say" and { "x" } or name == "menu" and { {} } or {}
      assert.truthy(gate.check(name, args, { dial = false }), name)
    end
  end)

  it("is refused itself when it is none", function()
    assert.is_nil(gate.permissions_problem{ dial = false, record = true })
    assert.equal("permissions has no 'dail'; it takes dial, personal_data, record", gate.permissions_problem{ dail = false })
    assert.equal("permissions.dial must be true or false", gate.permissions_problem{ dial = "no" })
    assert.truthy(gate.permissions_problem("none"))
  end)
end)
