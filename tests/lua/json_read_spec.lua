-- SPDX-License-Identifier: Apache-2.0
--- core.json.decode reads what is well formed by itself and leaves the rest to jansson: what each gives must be one.
local json = require "core.json"

local function members(count, more)
  local list = {}
  for i = 1, count do list[i] = ('"k%d":%d'):format(i, i) end
  return "{" .. table.concat(list, ",") .. (more or "") .. "}"
end

describe("core.json.decode", function()
  it("reads each kind of value, with space around it", function()
    assert.same({ a = { 1, -2500, 0.5, true, false, json.null }, b = {} }, json.decode ' { "a" : [ 1 , -2.5e3,5E-1,\ttrue,\r\nfalse, null ] ,"b":{} } ')
    assert.same({ "x", 7, true, json.null }, { json.decode '"x"', json.decode " 7 ", json.decode "true", json.decode "null" })
    assert.is_true(json.is_array(json.decode "[ ]"))
    assert.is_false(json.is_array(json.decode "{ }"))
    assert.equal("[0,0,9007199254740992,123456789012345]", json.encode(json.decode "[-0,0,9007199254740992,123456789012345]"))
  end)

  it("reads texts as they were meant", function()
    assert.equal('ü😀 "/\\\b\f\n\r\t', json.decode [["\u00FC\ud83d\uDE00 \"\/\\\b\f\n\r\t"]])
    assert.equal(("a"):rep(500) .. "\n" .. ("b"):rep(500), json.decode('"' .. ("a"):rep(500) .. "\\n" .. ("b"):rep(500) .. '"'))
    assert.same({ ["ü"] = "für" }, json.decode [[{"\u00fc":"für"}]])
  end)

  it("refuses what is none, in words", function()
    for _, text in ipairs{ "", " ", "[", "[1,]", "[,1]", "[1 2]", '{"a"', '{"a":}', '{"a":1,}', '{1:2}', "nul", "true false", "01", "1.", ".5", "-", "1e", "1e400", "9007199254740993",
      '"a\nb"', '"\255"',
      '"\\x"', '"\\u12"', '"\\ud83d"', '"\\ude00"', '"\\u0000"', '"\\', "\0", '{"a":1,"a":2}', members(100, ',"k3":1'), members(100, ',"k99":1'), ("["):rep(66) .. ("]"):rep(66) } do
      local value, err = json.decode(text)
      assert.is_nil(value)
      assert.equal("invalid", err.code)
      assert.truthy(#err.text > 5)
    end
    assert.truthy((select(2, json.decode '{"a":1,"a":2}')).text:find("duplicate object key", 1, true))
  end)

  it("reads lists and objects of any length", function()
    for _, count in ipairs{ 1, 31, 32, 33, 64, 65, 1000 } do
      local object, list = json.decode(members(count)), {}
      assert.equal(count, object["k" .. count])
      for i = 1, count do list[i] = i end
      assert.same(list, json.decode("[" .. table.concat(list, ",") .. "]"))
      local n = 0
      for _ in pairs(object) do n = n + 1 end
      assert.equal(count, n)
    end
    assert.equal(64, select(2, json.encode(json.decode(("["):rep(64) .. ("]"):rep(64))):gsub("%[", "")))
  end)
end)
