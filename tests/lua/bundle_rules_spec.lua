-- SPDX-License-Identifier: Apache-2.0
local rules = require "scripts.rules"

local function texts(problems)
  local out = {}
  for i, p in ipairs(problems) do out[i] = (p.file or "") .. ": " .. p.text end
  return table.concat(out, "\n")
end

describe("what a bundle must be", function()
  local good = { path = "bundle.lua", data = "return {}" }

  it("refuses paths that leave the bundle", function()
    for _, path in ipairs{ "../x.lua", "/etc/passwd", "a//b.lua", "a/./b", "a/../../b", "a\0b", "a\\b" } do
      assert.truthy(texts(rules.files{ good, { path = path, data = "" } }):find("path", 1, true), path)
    end
  end)

  it("refuses compiled Lua, files twice and files that are too large", function()
    assert.truthy(texts(rules.files{ good, { path = "a.lua", data = "\27LJ" } }):find("compiled"))
    assert.truthy(texts(rules.files{ good, { path = "a.lua", data = "" }, { path = "a.lua", data = "" } }):find("twice"))
    assert.truthy(texts(rules.files{ good, { path = "a.lua", data = ("x"):rep(70000) } }):find("65536"))
  end)

  it("misses bundle.lua by name", function()
    assert.truthy(texts(rules.files{ { path = "a.lua", data = "" } }):find("bundle.lua: the file is missing", 1, true))
  end)

  it("wants each number to run a flow that is there", function()
    local files = { good, { path = "flows/main.lua", data = "" } }
    local flows = { ["flows/main.lua"] = { start = "a", states = { "a" } } }
    assert.same({}, rules.report({ problems = {}, bundle = { numbers = { ["*"] = "flows/main.lua" } }, flows = flows }, files))
    local problems = rules.report({ problems = {}, bundle = { numbers = { ["+1555"] = "flows/none.lua", abc = "flows/main.lua" } }, flows = flows }, files)
    assert.truthy(texts(problems):find("there is no file 'flows/none.lua'", 1, true))
    assert.truthy(texts(problems):find("'abc' is not a number", 1, true))
  end)

  it("refuses a flow whose path does not fit a call's row", function()
    local path = "flows/" .. ("x"):rep(60) .. ".lua"
    local problems = rules.report({ problems = {}, bundle = { numbers = { ["*"] = path } }, flows = { [path] = { start = "a" } } },
      { good, { path = path, data = "" } })
    assert.truthy(texts(problems):find("at most 64 characters", 1, true))
  end)

  it("takes a fallback with exactly one way to end", function()
    assert.is_nil(rules.fallback_problem{ say = "Sorry.", voicemail = true })
    assert.truthy(rules.fallback_problem{ say = "Sorry." })
    assert.truthy(rules.fallback_problem{ transfer = "+1555", hangup = true })
    assert.truthy(rules.fallback_problem{ transfer = "sip:evil" })
    assert.truthy(rules.fallback_problem{ hangup = true, run = "rm" })
  end)

  it("finds the flow of a number, else that of every number", function()
    local bundle = { numbers = { ["+15550100"] = "flows/a.lua", ["*"] = "flows/b.lua" } }
    assert.equal("flows/a.lua", rules.flow_for(bundle, "+15550100"))
    assert.equal("flows/b.lua", rules.flow_for(bundle, "+15550101"))
  end)
end)
