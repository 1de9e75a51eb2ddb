-- SPDX-License-Identifier: Apache-2.0
--- The OpenAI-compatible forms without anybody behind them: bodies become requests, answers become completions, failures become errors.
require "stand_in"
local answer = require "ai.compatible.answer"
local crypto = require "core.crypto"
local embeddings = require "plugins.ai_openai.embeddings"
local errors = require "ai.compatible.errors"
local float32 = require "core.float32"
local json = require "core.json"
local problem = require "lib.problem"
local refusal = require "ai.refusal"
local request = require "ai.compatible.request"

local function read(text) return request.of(json.decode(text)) end

-- What a body is refused with: code, param.
local function refused(text)
  local ok, p = pcall(read, text)
  assert.is_false(ok)
  assert.is_true(problem.is(p), tostring(p))
  assert.equal(400, p.status)
  return p.code, p.fields.param
end

local HELLO = '"model":"auto","messages":[{"role":"user","content":"hello"}]'

describe("a body of /v1/chat/completions", function()
  it("becomes a request, system and developer texts together", function()
    local asked, how = read([[{"model":"auto","messages":[{"role":"system","content":"Be kind."},{"role":"developer","content":[{"type":"text","text":"Be brief."}]},
      {"role":"user","content":[{"type":"text","text":"hello"},{"type":"text","text":"there"}]}],"max_tokens":5,"max_completion_tokens":7,"stop":"x","temperature":0.5,
      "reasoning_effort":"low","stream":true,"stream_options":{"include_usage":true},"user":null,"metadata":{"callId":"c1"}}]])
    assert.equal("Be kind.\n\nBe brief.", asked.system)
    assert.same({ { role = "user", text = "hello\nthere" } }, asked.messages)
    assert.equal(7, asked.max_tokens)
    assert.same({ "x" }, asked.stop)
    assert.equal("low", asked.effort)
    assert.is_nil(asked.extras)
    assert.same({ model = "auto", stream = true, usage = true, call = "c1" }, how)
  end)

  it("keeps calls and their results", function()
    local asked = read([[{"model":"m","messages":[{"role":"user","content":"u"},{"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function",
      "function":{"name":"find","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"there"}],"tools":[{"type":"function","function":{"name":"find",
      "parameters":{"type":"object"},"strict":true}}],"tool_choice":{"type":"function","function":{"name":"find"}},"parallel_tool_calls":false}]])
    assert.same({ { id = "c", name = "find", arguments = "{}" } }, asked.messages[2].tool_calls)
    assert.same({ role = "tool", text = "there", tool_call_id = "c" }, asked.messages[3])
    assert.same({ name = "find" }, asked.tool_choice)
    assert.is_true(asked.tools[1].strict)
    assert.is_false(asked.parallel_tools)
  end)

  it("sends on what only who speaks its language knows, and the switch for any JSON", function()
    local asked = read("{" .. HELLO .. [[,"frequency_penalty":1,"logit_bias":{"5":1},"response_format":{"type":"json_object"}}]])
    assert.equal(1, asked.extras.openai_chat.frequency_penalty)
    assert.equal("json_object", asked.extras.openai_chat.response_format.type)
    assert.equal("json", asked.extras.ollama.format)
    assert.is_truthy(asked.system:find("JSON", 1, true))
    local second = read("{" .. HELLO .. [[,"response_format":{"type":"json_object"}}]])
    assert.is_nil(second.extras.openai_chat.frequency_penalty)
  end)

  it("is refused by the name of what is wrong", function()
    for text, wanted in pairs{
      ["{}"] = { "missing_required_parameter", "model" }, ['{"model":"m"}'] = { "missing_required_parameter", "messages" },
      ['{"model":"m","messages":[]}'] = { "missing_required_parameter", "messages" }, ['{"model":"m","messages":[5]}'] = { "invalid_type", "messages[0]" },
      ['{"model":"m","messages":{"a":1}}'] = { "invalid_type", "messages" }, ['{"model":{},"messages":[]}'] = { "invalid_type", "model" },
      ['{"model":"m","messages":[{"role":"king","content":"x"}]}'] = { "invalid_value", "messages[0].role" },
      ['{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}'] = { "unsupported_value", "messages[0].content[0].type" },
      ['{"model":"m","messages":[{"role":"user"}]}'] = { "missing_required_parameter", "messages[0].content" },
      ["{" .. HELLO .. ',"n":2}'] = { "unsupported_value", "n" }, ["{" .. HELLO .. ',"logprobs":true}'] = { "unsupported_parameter", "logprobs" },
      ["{" .. HELLO .. ',"functions":[]}'] = { "unsupported_parameter", "functions" }, ["{" .. HELLO .. ',"frobnicate":1}'] = { "unknown_parameter", "frobnicate" },
      ["{" .. HELLO .. ',"temperature":9}'] = { "invalid_value", "temperature" }, ["{" .. HELLO .. ',"max_tokens":"9"}'] = { "invalid_value", "max_tokens" },
      ["{" .. HELLO .. ',"stop":["a",5]}'] = { "invalid_value", "stop" }, ["{" .. HELLO .. ',"tools":[{"type":"custom"}]}'] = { "unsupported_value", "tools[0].type" },
      ["{" .. HELLO .. ',"stream":"yes"}'] = { "invalid_type", "stream" }, ["{" .. HELLO .. ',"tool_choice":{"type":"custom"}}'] = { "invalid_value", "tool_choice" },
      ["{" .. HELLO .. ',"response_format":{"type":"json_schema"}}'] = { "invalid_value", "response_format" },
      ["{" .. HELLO .. ',"response_format":[1]}'] = { "invalid_type", "response_format" },
    } do
      local code, param = refused(text)
      assert.same({ text, unpack(wanted) }, { text, code, param })
    end
  end)
end)

local USAGE = { input = 9, cached = 4, written = 0, output = 5, reasoning = 2 }

describe("an answer", function()
  it("is a chat.completion with its usage and who gave it", function()
    local whole = answer.whole({ text = "hi", reason = "length", usage = USAGE, model = "m-1", provider = "p", cost = { micros = 1500000, currency = "USD" },
      attempts = { {}, {} }, cache = "miss" }, "chatcmpl-1", 7, "auto")
    assert.equal("m-1", whole.model)
    assert.equal("hi", whole.choices[1].message.content)
    assert.equal("length", whole.choices[1].finish_reason)
    assert.equal(14, whole.usage.total_tokens)
    assert.equal(4, whole.usage.prompt_tokens_details.cached_tokens)
    assert.same({ amount = "1.50", currency = "USD" }, whole.parley.cost)
    assert.equal(2, whole.parley.attempts)
  end)

  it("that calls tools or declines has no content", function()
    local called = answer.whole({ text = "", reason = "tool", tool_calls = { { id = "c", name = "f", arguments = "{}" } } }, "i", 7, "auto").choices[1]
    assert.equal(json.null, called.message.content)
    assert.same({ id = "c", type = "function", ["function"] = { name = "f", arguments = "{}" } }, called.message.tool_calls[1])
    assert.equal("tool_calls", called.finish_reason)
    local declined = answer.whole({ text = "No.", reason = "refusal" }, "i", 7, "auto").choices[1]
    assert.equal(json.null, declined.message.content)
    assert.equal("No.", declined.message.refusal)
  end)
end)

describe("a streamed answer", function()
  it("counts its calls from zero, whatever the provider did, and gives arguments that never came in pieces", function()
    local chunks = answer.chunks("i", 7, "auto", true)
    assert.equal("", chunks:first().choices[1].delta.content)
    local function delta(event) return chunks:event(event)[1].choices[1].delta.tool_calls[1] end
    assert.equal(0, delta{ type = "tool_start", index = 4, id = "a", name = "f" }.index)
    assert.equal(1, delta{ type = "tool_start", index = 9, id = "b", name = "g" }.index)
    assert.equal('{"x"', delta{ type = "tool_delta", index = 4, json = '{"x"' }["function"].arguments)
    assert.same({}, chunks:event{ type = "tool", index = 4, id = "a", name = "f", arguments = '{"x":1}' })
    assert.equal("{}", delta{ type = "tool", index = 9, id = "b", name = "g", arguments = "{}" }["function"].arguments)
    local last = chunks:last{ reason = "tool", usage = USAGE, tool_calls = { {}, {} } }
    assert.equal("tool_calls", last[1].choices[1].finish_reason)
    assert.equal(14, last[2].usage.total_tokens)
    assert.equal(0, #last[2].choices)
    assert.equal(2, #last)
  end)

  it("says what was there already, as it does for an answer of the cache", function()
    local chunks = answer.chunks("i", 7, "auto", false)
    chunks:first()
    local last = chunks:last{ text = "known", reason = "end", tool_calls = { { id = "c", name = "f", arguments = "{}" } } }
    assert.equal("known", last[1].choices[1].delta.content)
    assert.equal("c", last[2].choices[1].delta.tool_calls[1].id)
    assert.equal("{}", last[3].choices[1].delta.tool_calls[1]["function"].arguments)
    assert.equal("stop", last[4].choices[1].finish_reason)
    assert.is_nil(last[4].usage)
  end)
end)

describe("a failure", function()
  it("has a status and a code for each class, and says whether to try again", function()
    for class, wanted in pairs{ auth = { 502, "server_error" }, quota = { 429, "insufficient_quota" }, budget = { 429, "insufficient_quota" }, rate = { 429, "rate_limit_error" },
      overload = { 503, "server_error" }, too_long = { 400, "invalid_request_error" }, refused = { 400, "invalid_request_error" }, bad_request = { 400, "invalid_request_error" },
      not_found = { 404, "invalid_request_error" }, timeout = { 504, "server_error" }, network = { 502, "server_error" }, server = { 502, "server_error" },
      protocol = { 502, "server_error" }, no_provider = { 503, "server_error" }, cancelled = { 409, "invalid_request_error" } } do
      local response = errors.response(refusal.of{ class = class, text = "sk-secret" }, "/v1", "t1")
      local said = json.decode(response.body).error
      assert.same({ class, unpack(wanted) }, { class, response.status, said.type })
      assert.is_truthy(response.headers["X-Should-Retry"])
      assert.equal("req_t1", response.headers["X-Request-Id"])
      if class == "auth" or class == "server" then assert.is_nil(response.body:find("sk-secret", 1, true)) end
    end
  end)

  it("hands on how long to wait, in whole seconds", function()
    assert.equal("1", refusal.of{ class = "budget", code = "held" }.fields.headers["Retry-After"])
    assert.equal("budget_held", refusal.of{ class = "budget", code = "held" }.code)
    assert.equal("3", refusal.of{ class = "rate", retry_after_s = 2.1 }.fields.headers["Retry-After"])
    assert.is_nil(refusal.of{ class = "rate", retry_after_s = 0 / 0 }.fields.headers["Retry-After"])
    assert.is_nil(refusal.of{ class = "auth", retry_after_s = 2 }.fields.headers["Retry-After"])
  end)
end)

describe("a vector in base64", function()
  it("is read again as it was", function()
    local vector = { 0, 1, -1, 0.5, -0.1, 3.25e-5, 1e-40, 16777217, 3.4e38 }
    local body = json.encode{ data = json.array{ { index = 0, embedding = float32.base64(vector) } } }
    local found = embeddings.result(200, {}, body).vectors[1]
    assert.equal(#vector, #found)
    for i, value in ipairs(vector) do assert.is_true(math.abs(found[i] - value) <= math.abs(value) * 2 ^ -24 + 2 ^ -149, tostring(value)) end
  end)

  it("has a number too large for it as infinite", function()
    local function bytes(value) return crypto.unb64(float32.base64{ value }) end
    assert.equal("\0\0\128\127", bytes(1e39))
    assert.equal("\0\0\128\255", bytes(-1e300))
    assert.equal("\0\0\128\255", bytes(-1 / 0))
    assert.equal("\0\0\128\127", bytes(3.4028235677973366e38))  -- half a step above the largest
    assert.equal("\255\255\127\127", bytes(3.4028234e38))
    assert.equal("\0\0\128\0", bytes(2 ^ -126 - 2 ^ -151))  -- the smallest normal one, rounded up to
  end)

  it("is none where its bytes are not whole numbers", function()
    for _, text in ipairs{ "*", "AAAA", float32.base64{ 1 / 0 }, float32.base64{ 1, 0 / 0 } } do
      local list, err = float32.list(text)
      assert.is_nil(list)
      assert.equal("invalid", err.code)
    end
    assert.same({}, float32.list(""))
    assert.equal("", float32.base64{})
    assert.has_error(function() float32.base64{ 1, "2" } end)
    assert.has_error(function() float32.base64("1") end)
  end)

  it("was read and written in Lua, which held the loop for a tenth of a second with each batch", function()
    local vector = {}
    for i = 1, 1536 do vector[i] = i / 3000 end
    local text = float32.base64(vector)
    local function ms(fn)
      local began = os.clock()
      for _ = 1, 96 do fn() end
      return (os.clock() - began) * 1000
    end
    local listed, written = ms(function() float32.list(text) end), ms(function() float32.base64(vector) end)
    assert.is_true(listed < 60 and written < 60, ("read in %.1f ms, written in %.1f"):format(listed, written))  -- ten times what it takes
  end)
end)
