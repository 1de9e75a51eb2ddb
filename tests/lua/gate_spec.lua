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

  it("has documentation, an example and a resume rule for each verb", function()
    for _, verb in ipairs(gate.verbs) do
      assert.truthy(verb.doc, verb.name)
      assert.truthy(verb.example, verb.name)
      assert.truthy(({ ["repeat"] = true, continue = true, once = true })[verb.resume], verb.name)
      assert.truthy(loadstring("local call = ... " .. verb.example) or loadstring(verb.example), verb.name .. ": the example is not Lua")
    end
  end)

  it("has something that does each verb", function()
    local verbs = require "calls.verbs"
    for _, verb in ipairs(gate.verbs) do assert.is_function(verbs.table[verb.name], verb.name) end
  end)
end)
