-- SPDX-License-Identifier: Apache-2.0
require "stand_in"
local ids = require "lib.ids"
local json = require "core.json"
local money = require "lib.money"
local pii = require "lib.pii"
local schema = require "lib.schema"
local text_of = require "lib.text"
local trace = require "lib.trace"
local urlencoded = require "lib.urlencoded"

describe("public ids", function()
  it("give every number one text and take it back, also when the code is hot", function()
    local seen = {}
    for round = 1, 3 do
      for n = 1, 2000 do
        local text = ids.encode("ld", n)
        assert.equal(n, ids.decode("ld", text))
        assert.is_true(round > 1 or seen[text] == nil)
        assert.is_true(round == 1 or seen[text] == n)
        seen[text] = n
      end
    end
    for _, n in ipairs{ 2 ^ 25 - 1, 2 ^ 25, 2 ^ 49 + 12345, 2 ^ 50 - 1 } do assert.equal(n, ids.decode("ld", ids.encode("ld", n))) end
  end)

  it("stay what they were when they were given out", function()
    assert.same({ "ld_0mrfzh12b7j", "us_gz537m228z3", "ld_8nxjn4tazq1", "us_tv0hnsngsx7", "ld_hchykm320kz" },
      { ids.encode("ld", 1), ids.encode("us", 2), ids.encode("ld", 12345), ids.encode("us", 2 ^ 32 + 1), ids.encode("ld", 2 ^ 50 - 1) })
  end)

  it("are not taken for another kind, and a wrong letter is seen", function()
    local text = ids.encode("ld", 7)
    assert.is_nil(ids.decode("us", "us" .. text:sub(3)))
    local refused = 0
    for i = 4, #text do
      local other = text:sub(i, i) == "0" and "1" or "0"
      if ids.decode("ld", text:sub(1, i - 1) .. other .. text:sub(i + 1)) == nil then refused = refused + 1 end
    end
    assert.equal(#text - 3, refused)
  end)

  it("refuse whatever is no id", function()
    for _, text in ipairs{ "", "ld_", "ld_1", ("x"):rep(14), "ld_iiiiiiiiiii", "ld_\0\0\0\0\0\0\0\0\0\0\0" } do assert.is_nil(ids.decode("ld", text)) end
    assert.is_nil(ids.decode("ld", 5))
  end)
end)

describe("money", function()
  it("goes from text to millionths and back exactly", function()
    for text, micros in pairs{ ["12.5"] = 12500000, ["0.000001"] = 1, ["-3"] = -3000000, ["0.1"] = 100000, ["9007199253.999999"] = 9007199253999999 } do
      assert.equal(micros, money.parse(text))
    end
    assert.equal("12.50", money.format(12500000))
    assert.equal("-0.000001", money.format(-1))
    assert.equal("0.123", money.format(123000))
  end)

  it("refuses what is no amount or too fine or too large", function()
    for _, text in ipairs{ "", "x", "1.", ".5", "1e5", "1,5", "0.0000001", "9007199254", "99999999999", " 1" } do assert.is_nil((money.parse(text))) end
  end)
end)

describe("a schema", function()
  local lead = schema.object({
    name = { type = "string", minLength = 1, maxLength = 3 }, score = { type = "number", minimum = 0, maximum = 100 },
    tags = { type = "array", items = { type = "string", enum = { "a", "b" } }, maxItems = 2 }, count = { type = "integer", default = 5 },
    note = { type = "string", nullable = true }, mail = { type = "string", format = "email" }, free = { type = "object", additionalProperties = true },
  }, { "name" })
  local function errors_of(value)
    local _, errors = schema.check(lead, value)
    local texts = {}
    for i, e in ipairs(errors or {}) do texts[i] = e.pointer .. " " .. e.detail end
    table.sort(texts)
    return table.concat(texts, "; ")
  end

  it("passes what fits and fills in defaults", function()
    local value = assert(schema.check(lead, { name = "äöü", score = 85.5, note = json.null, free = { x = { 1 } } }))
    assert.equal(5, value.count)
    assert.equal(json.null, value.note)
    assert.equal(1, value.free.x[1])
  end)

  it("points at each wrong value and says what was expected", function()
    assert.equal("#/name is missing", errors_of({}))
    assert.equal("#/name must be a string, not a number; #/score must be a number from 0 to 100, not a string", errors_of{ name = 1, score = "x" })
    assert.equal("#/tags/1 must be one of a, b", errors_of{ name = "x", tags = { "a", "c" } })
    assert.equal("#/name must not be null", errors_of{ name = json.null })
    assert.equal("#/count must be a whole number", errors_of{ name = "x", count = 1.5 })
    assert.equal("#/name must have at most 3 characters, has 4", errors_of{ name = "abcd" })
  end)

  it("names a member that is not known, with those that are", function()
    assert.equal("#/a~1b is not known here; known are count, free, mail, name, note, score, tags", errors_of{ name = "x", ["a/b"] = 1 })
  end)

  it("tells lists from objects", function()
    assert.equal("# must be an object, not a list", errors_of(json.array({})))
    assert.equal("#/free must be an object, not a list", errors_of{ name = "x", free = { 1 } })
    assert.equal("#/tags must be a list, not an object", errors_of{ name = "x", tags = { a = 1 } })
  end)

  it("writes no JSON that it would not read again", function()
    assert.is_false(pcall(json.encode, { name = "a\0b" }))
    assert.is_false(pcall(json.encode, { ["a\0b"] = 1 }))
    assert.equal('"\\u0001"', json.encode("\1"))
  end)

  it("refuses text that is not UTF-8 and numbers that are none", function()
    assert.equal("#/name must be valid UTF-8 text without NUL", errors_of{ name = "\255" })
    assert.equal("#/name must be valid UTF-8 text without NUL", errors_of{ name = "a\0" })
    assert.equal("#/score must be a number from 0 to 100", errors_of{ name = "x", score = 0 / 0 })
    assert.equal("#/score must be a number from 0 to 100", errors_of{ name = "x", score = math.huge })
  end)

  it("stops listing errors where nobody would read on", function()
    local many = {}
    for i = 1, 1000 do many["x" .. i] = i end
    local _, errors = schema.check(schema.object({ name = { type = "string" } }), many)
    assert.is_true(#errors <= 1000)
    local list = {}
    for i = 1, 1000 do list[i] = i end
    _, errors = schema.check({ type = "array", items = { type = "string" } }, list)
    assert.equal(20, #errors)
  end)

  it("converts parameters by their type", function()
    local declared = schema.object{ limit = { type = "integer", minimum = 1 }, on = { type = "boolean" }, tags = { type = "array", items = { type = "string" } } }
    assert.same({ limit = 5, on = true, tags = { "a", "b" } }, schema.check_parameters(declared, { limit = "5", on = "true", tags = "a,b" }))
    local _, errors = schema.check_parameters(declared, { limit = "5x" })
    assert.same({ { parameter = "limit", detail = "must be a whole number of at least 1, not a string" } }, errors)
  end)

  it("knows e-mail addresses and numbers by their form", function()
    local function fits(format, text) return schema.formats[format][2](text) end
    for _, text in ipairs{ "a@b.de", "a.b+c@x-y.org", "ö@bücher.de" } do assert.truthy(fits("email", text)) end
    for _, text in ipairs{ "a", "@b", "a@", "a@b..c", "a b@c", "a@b@c", "a@.b" } do assert.falsy(fits("email", text)) end
    assert.truthy(fits("e164", "+1234567890"))
    for _, text in ipairs{ "1234", "+0123", "+1234567890123456", "+12 34" } do assert.falsy(fits("e164", text)) end
  end)
end)

describe("percent-encoding", function()
  it("decodes and refuses what is malformed or no UTF-8", function()
    assert.equal("a b", urlencoded.decode("a+b", true))
    assert.equal("ü/", urlencoded.decode("%c3%bc%2F"))
    for _, text in ipairs{ "%", "%1", "%zz", "%ff", "%c3", "%00", "%ed%a0%80", "%f4%90%80%80" } do assert.is_nil(urlencoded.decode(text)) end
  end)

  it("is made of bytes of unknown origin, and cut between characters", function()
    assert.equal("a?b?", text_of.clean("a\255b\0", 10))
    assert.equal("x\195\188", text_of.clean("x\195\188\195\188", 4))
    assert.equal("abc", text_of.clean("abcdef", 3))
  end)

  it("refuses a parameter that is given twice", function()
    assert.same({ a = "1", b = "" }, urlencoded.query("a=1&b"))
    local _, message = urlencoded.query("a=1&a=2")
    assert.equal("the parameter 'a' is given twice", message)
  end)
end)

describe("a trace", function()
  it("goes on with a caller's and starts its own for anything malformed", function()
    local id = "0af7651916cd43dd8448eb211c80319c"
    assert.equal(id, trace.from("00-" .. id .. "-b7ad6b7169203331-01").id)
    for _, header in ipairs{ "", "x", "00-" .. id, "ff-" .. id .. "-b7ad6b7169203331-01", "00-" .. ("0"):rep(32) .. "-b7ad6b7169203331-01",
      "00-" .. id:upper() .. "-b7ad6b7169203331-01", "00-" .. id .. "-" .. ("0"):rep(16) .. "-01", "00-" .. id .. "-b7ad6b7169203331-01-x" } do
      assert.are_not.equal(id, trace.from(header).id)
      assert.equal(32, #trace.from(header).id)
    end
  end)
end)

describe("words of a name", function()
  it("are lower case, each once, without punctuation", function()
    assert.same({ "jörg", "müller", "ag" }, pii.words("Jörg  MÜLLER, (Müller) AG"))
    assert.same({ "ivan", "иван", "ωμέγα" }, pii.words("Ivan ИВАН Ωμέγα"))
    assert.same({}, pii.words(" -- "))
  end)
end)
