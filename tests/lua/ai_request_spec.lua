-- SPDX-License-Identifier: Apache-2.0
--- What a model may be asked, and the seam at which another goes on.
local overlap = require "ai.overlap"
local request = require "ai.request"

local function user(text) return { role = "user", text = text } end

local function refused(given)
  local clean, err = request.check(given)
  assert.is_nil(clean)
  assert.equal("bad_request", err.class)
  return err.text
end

describe("a request", function()
  it("is taken as it is when it is right", function()
    local given = { messages = { user "Hi" }, system = "Be brief.", max_tokens = 10, temperature = 0.5, stop = { "END" }, seed = 7, effort = "low",
      tools = { { name = "find_it", description = "finds", parameters = { type = "object" }, strict = true } }, tool_choice = { name = "find_it" },
      parallel_tools = false, schema = { name = "s", schema = { type = "object" } }, extras = { claude = { top_k = 1 } } }
    local clean = assert(request.check(given))
    given.messages[1].text = "Hi"
    assert.same(given, clean)
    assert.are_not_equal(given, clean)
  end)

  it("is UTF-8 when it leaves", function()
    local clean = request.check{ messages = { user "caf\233" }, system = "\255\254" }
    assert.equal("caf?", clean.messages[1].text)
    assert.equal("??", clean.system)
  end)

  it("needs messages of known roles", function()
    assert.truthy(refused{}:find("messages"))
    assert.truthy(refused{ messages = {} }:find("messages"))
    assert.truthy(refused{ messages = { { role = "system", text = "x" } } }:find("role"))
    assert.truthy(refused{ messages = { "Hi" } }:find("object"))
    assert.truthy(refused{ messages = { { role = "user", text = 5 } } }:find("text"))
    refused(nil)
    refused("Hi")
  end)

  it("answers every call, for providers refuse one without a result", function()
    local clean = request.check{ messages = { user "Hi", { role = "assistant", tool_calls = { { id = "1", name = "f" }, { id = "2", name = "g", arguments = "{}" } } },
      { role = "tool", tool_call_id = "2", text = "done" }, user "And?" } }
    assert.same({ role = "tool", tool_call_id = "1", text = "no result", is_error = true }, clean.messages[4])
    assert.equal("And?", clean.messages[5].text)
    assert.equal("{}", clean.messages[2].tool_calls[1].arguments)
  end)

  it("has no result without its call", function()
    assert.truthy(refused{ messages = { user "Hi", { role = "tool", tool_call_id = "1", text = "x" } } }:find("does not make"))
    assert.truthy(refused{ messages = { { role = "assistant", tool_calls = { { id = "1", name = "f" } } }, user "x", { role = "tool", tool_call_id = "1", text = "x" } } }:find("does not make"))
    refused{ messages = { { role = "assistant", tool_calls = { { id = "1", name = "f" }, { id = "1", name = "f" } } } } }
    refused{ messages = { { role = "user", text = "x", tool_calls = { { id = "1", name = "f" } } } } }
  end)

  it("has tools with names that every provider takes", function()
    for _, name in ipairs{ "", "a b", "a.b", ("x"):rep(65), "naïve" } do refused{ messages = { user "x" }, tools = { { name = name } } } end
    refused{ messages = { user "x" }, tools = { { name = "a" }, { name = "a" } } }
    refused{ messages = { user "x" }, tools = { { name = "a", parameters = "{}" } } }
    refused{ messages = { user "x" }, tools = { { name = "a" } }, tool_choice = { name = "b" } }
    refused{ messages = { user "x" }, tool_choice = "required" }
    assert.is_nil(request.check{ messages = { user "x" }, tool_choice = "none" }.tool_choice)
  end)

  it("has numbers within bounds", function()
    for name, values in pairs{ max_tokens = { 0, 1.5, -1, 1e9, 0 / 0, "5" }, temperature = { -0.1, 2.1, 0 / 0 }, top_p = { 1.1 }, seed = { 0.5 } } do
      for _, value in ipairs(values) do
        local given = { messages = { user "x" } }
        given[name] = value
        assert.truthy(refused(given):find(name))
      end
    end
  end)

  it("is of bounded size", function()
    refused{ messages = { user(("x"):rep(5 * 1024 * 1024)) } }
    local many = {}
    for i = 1, 2001 do many[i] = user "x" end
    refused{ messages = many }
    local deep = {}
    local at = deep
    for _ = 1, 100 do at.items = {} at = at.items end
    refused{ messages = { user "x" }, tools = { { name = "a", parameters = deep } } }
  end)

  it("is thought to have more tokens rather than fewer", function()
    assert.equal(math.ceil((11 + 8 + 4) / 3), request.tokens{ system = "four", messages = { user "hello world" } })
  end)

  it("for the rest of an answer keeps the first one as it was", function()
    local first = request.check{ messages = { user "Hi" } }
    local rest = request.going_on(first, "Good mor")
    assert.same({ role = "assistant", text = "Good mor" }, rest.messages[2])
    assert.equal(1, #first.messages)
  end)
end)

-- What the caller hears of a continuation that comes in pieces of so many bytes.
local function heard(said, rest, bytes)
  local seam, out = overlap.new(said), {}
  for at = 1, #rest, bytes or #rest do out[#out + 1] = seam:feed(rest:sub(at, at + (bytes or #rest) - 1)) end
  out[#out + 1] = seam:finish()
  return said .. table.concat(out)
end

describe("where another model goes on", function()
  local whole = "The price is ten euros a month."

  it("no word is said twice, however much of it is repeated and however it comes", function()
    for cut = 4, #whole - 1 do
      local said = whole:sub(1, cut)
      if said:find("[%a]$") and whole:sub(cut + 1, cut + 1):find("[ .]") or said:find(" $") then
        for from = 1, cut do
          if from == 1 or whole:sub(from - 1, from - 1) == " " then
            for _, bytes in ipairs{ 1, 3, 100 } do
              assert.equal(whole, heard(said, whole:sub(from), bytes), ("said '%s', then '%s' by %d"):format(said, whole:sub(from), bytes))
            end
          end
        end
      end
    end
  end)

  it("a word that was cut is said to its end", function()
    assert.equal(whole, heard("The price is ten eu", "euros a month."))
    assert.equal(whole, heard("The price is ten eu", "The price is ten euros a month.", 1))
  end)

  it("capitals and marks make no difference", function()
    assert.equal("Well, yes. It is open", heard("Well, yes", "well yes. It is open", 2))
    assert.equal("We open at nine. See you!", heard("We open at nine.", "We open at nine. See you!", 1))
  end)

  it("what is new is said at once", function()
    local seam = overlap.new("The price is ten")
    assert.equal(" euros or", seam:feed(" euros or"))
    assert.equal(" so", seam:feed(" so"))
  end)

  it("a space that is missing is put in", function()
    assert.equal("ten euros", heard("ten", "euros"))
    assert.equal("ten, or", heard("ten,", "or"))
    assert.equal("ten. Or", heard("ten.", " Or"))
  end)

  it("digits are not taken for a repetition", function()
    assert.equal("call 5 5 12", heard("call 5", " 5 12"))
  end)

  it("words from the middle of what was said are no repetition when they lead elsewhere", function()
    assert.equal("the cat and the dog the cat sleeps", heard("the cat and the dog", " the cat sleeps", 1))
  end)

  it("a text that only repeats adds nothing", function()
    assert.equal("Good morning", heard("Good morning", "Good morning", 1))
    assert.equal("Good morning", heard("Good morning", ""))
  end)

  it("a text without words passes", function()
    assert.equal("Good morning!", heard("Good morning", "!", 1))
    assert.equal("日本語です。", heard("日本語", "です。", 3):gsub(" ", ""))
  end)

  it("a long text costs no time without end", function()
    local long = ("so it is "):rep(3000)
    local began = os.clock()
    heard(long, long:sub(1, 4000), 4)
    assert.is_true(os.clock() - began < 20)
  end)
end)
