-- SPDX-License-Identifier: Apache-2.0
--- What the author of a broken bundle reads: where it is, and what to do. With real cells.
if not os.getenv("PARLEY_CELLS") then
  describe("a broken bundle", function() pending("runs in the host, with PARLEY_CELLS=1") end)
  return
end

local scripts = require "scripts"

local BUNDLE = 'return { numbers = { ["*"] = "flows/main.lua" } }\n'
local function flow(body)
  return 'local flow = require "flow"\nreturn flow.define {\n  start = "main",\n  main = function(call)\n    ' .. body .. "\n  end,\n}\n"
end
local SOUND = flow "call:hangup()"

-- What stands first in the refusal of a sound bundle that was changed so.
local function refusal(changes)
  local files = {}
  for path, data in pairs{ ["bundle.lua"] = changes["bundle.lua"] or BUNDLE, ["flows/main.lua"] = changes["flows/main.lua"] or SOUND } do
    files[#files + 1] = { path = path, data = data }
  end
  for path, data in pairs(changes) do
    if path ~= "bundle.lua" and path ~= "flows/main.lua" then files[#files + 1] = { path = path, data = data } end
  end
  local version, err = scripts.check({ id = 5, slug = "t", db = "t", region = "US" }, files)
  assert.is_nil(version)
  assert.equal("invalid", err.code)
  return err.text
end

describe("a broken bundle", function()
  -- For each of its wrong numbers the whole file was walked through: seconds in which the worker did nothing else.
  it("with thousands of mistakes is refused soon", function()
    local clock = require "core.clock"
    local began = clock.mono_ms()
    local text = refusal{ ["bundle.lua"] = ("\n"):rep(60000) .. 'local n = {} for i = 1, 1800 do n["+" .. i] = "x" end return { numbers = n }' }
    assert.truthy(text:find("there is no file 'x'", 1, true), text)
    assert.truthy(clock.mono_ms() - began < 2000)
  end)

  local said = {
    ["names the file that it takes a flow to be in, and those there are"] = {
      { ["bundle.lua"] = 'return {\n  numbers = {\n    ["+15550100"] = "flows/mian.lua" } }\n' },
      "bundle.lua:3: numbers['+15550100']: there is no file 'flows/mian.lua'; there is flows/main.lua" },
    ["requires a file that is not there at the line of the require"] = {
      { ["flows/main.lua"] = 'local flow = require "flow"\nlocal hours = require "lib.hours"\n\nreturn flow.define { start = "main", main = hours.main }\n' },
      "flows/main.lua:2: the bundle has no file lib/hours.lua" },
    ["asks for what scripts do not have"] = {
      { ["flows/main.lua"] = '\nlocal file = io.open("/etc/passwd")\n' },
      "flows/main.lua:2: attempt to index global 'io' (a nil value); scripts have no io: what they have is in the reference (GET /scripts/reference)" },
    ["has quotes of a word processor"] = {
      { ["flows/main.lua"] = flow "call:say \226\128\156hello\226\128\157" },
      "flows/main.lua:5: function arguments expected near '\226\128\156hello\226\128\157': the line has typographic quotes; Lua's are \" and '" },
    ["was saved as UTF-16"] = { { ["flows/main.lua"] = "\255\254l\0o\0" }, "flows/main.lua:1: the file is UTF-16; save it as UTF-8" },
    ["returns what is no data"] = {
      { ["bundle.lua"] = 'return { numbers = { ["*"] = "flows/main.lua" }, greet = function() end }' },
      "bundle.lua:1: the file must return plain data: a function cannot be sent, at 'greet'" },
    ["has a fallback that ends in no way"] = {
      { ["bundle.lua"] = 'return {\n  numbers = { ["*"] = "flows/main.lua" },\n  fallback = { say = "Sorry." },\n}' },
      "bundle.lua:3: fallback needs exactly one of transfer = \"+1...\", voicemail = true, hangup = true" },
    ["goes to a state that is none"] = {
      { ["flows/main.lua"] = flow 'return "mian"' }, "flows/main.lua:5: state 'main' returns 'mian', which is no state of this flow" },
    ["loops while it is loaded"] = { { ["flows/main.lua"] = "\nwhile true do end\n" }, "flows/main.lua:2: loading the file takes too long" },
    ["forgot an end"] = { { ["flows/main.lua"] = flow "if call.from then call:hangup()" }, "flows/main.lua:6: unexpected symbol near ','" },
  }
  for what, case in pairs(said) do
    it(what, function() assert.equal(case[2], refusal(case[1])) end)
  end

  it("in a folder of the upload is looked for there", function()
    local _, err = scripts.check({ id = 5, slug = "t", db = "t", region = "US" }, { { path = "mine/bundle.lua", data = BUNDLE }, { path = "mine/flows/main.lua", data = SOUND } })
    assert.equal("bundle.lua:1: the file is missing; it says which number runs which flow. There is mine/bundle.lua: upload the files of that folder", err.text)
  end)
end)
