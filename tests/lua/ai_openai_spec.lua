-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's Chat Completions and their like: what is asked, and what each answer means.
local ai_wire = require "ai_wire"
local answers = require "ai_answers"
local crypto = require "core.crypto"
local json = require "core.json"
local openai = require "plugins.ai_openai"

local chat = openai.adapters.openai_chat
local target = { provider = "openai", kind = "openai_chat", url = "https://api.openai.com/v1", model = "gpt-5.4-mini", key = "k1", key_id = "1" }
local hers = { provider = "own", kind = "openai_chat", url = "http://10.0.0.5:8000/v1/", model = "qwen", flags = { compatible = true } }

local function changed(of, flags)
  local out = {}
  for name, value in pairs(of) do out[name] = value end
  out.flags = flags
  return out
end

local function asked(request, at, stream)
  request.messages = request.messages or { { role = "user", text = "Where is order 1234?" } }
  return json.decode(chat.request(request, at or target, stream).body)
end

local function chunk(delta, finish, more)
  local out = { id = "c1", object = "chat.completion.chunk", created = 1780000000, model = "m-1", choices = { { index = 0, delta = delta, finish_reason = finish or json.null } }, usage = json.null }
  for name, value in pairs(more or {}) do out[name] = value end
  return out
end

local function read(list, at) return answers.stream(chat, at or target, list) end

local usage_chunk = { id = "c1", choices = json.array{}, usage = {
  prompt_tokens = 2006, completion_tokens = 300, total_tokens = 2306, prompt_tokens_details = { cached_tokens = 1920, cache_write_tokens = 40, audio_tokens = 0 },
  completion_tokens_details = { reasoning_tokens = 128, accepted_prediction_tokens = 0 },
} }

describe("a request in Chat Completions", function()
  it("goes to the path below the base, with the key as a bearer", function()
    local request = chat.request({ messages = { { role = "user", text = "hi" } } }, target, true)
    assert.same({ "POST", "https://api.openai.com/v1/chat/completions", "sse" }, { request.method, request.url, request.framing })
    assert.equal("Bearer k1", request.headers.authorization)
    assert.equal("application/json", request.headers["content-type"])
    assert.equal("json", chat.request({ messages = { { role = "user", text = "hi" } } }, target, false).framing)
  end)

  it("is sent without a key to a server that has none", function()
    local request = chat.request({ messages = { { role = "user", text = "hi" } } }, hers, false)
    assert.equal("http://10.0.0.5:8000/v1/chat/completions", request.url)
    assert.is_nil(request.headers.authorization)
    assert.is_nil(chat.request({ messages = { { role = "user", text = "hi" } } }, { model = "m", key = "" }, false).headers.authorization)
  end)

  it("says the system prompt as developer, and as system to a compatible server", function()
    assert.same({ role = "developer", content = "Be brief." }, asked({ system = "Be brief." }).messages[1])
    assert.same({ role = "system", content = "Be brief." }, asked({ system = "Be brief." }, hers).messages[1])
    assert.same({ role = "system", content = "Be brief." }, asked({ system = "Be brief." }, changed(target, { system_role = "system" })).messages[1])
    assert.equal(1, #asked({ system = "" }).messages)
  end)

  it("says a conversation with calls and their results", function()
    local messages = asked({ messages = {
      { role = "user", text = "Where is it?" },
      { role = "assistant", text = "", tool_calls = { { id = "call_1", name = "find_order", arguments = '{"id":"1234"}' }, { id = "call_2", name = "weather", arguments = "{}" } } },
      { role = "tool", tool_call_id = "call_1", text = "shipped" },
      { role = "tool", tool_call_id = "call_2", text = "no such town", is_error = true },
      { role = "assistant", text = "It is on its way." },
      { role = "user", text = "Thanks" },
    } }).messages
    assert.same({ role = "assistant", content = json.null, tool_calls = {
      { id = "call_1", type = "function", ["function"] = { name = "find_order", arguments = '{"id":"1234"}' } },
      { id = "call_2", type = "function", ["function"] = { name = "weather", arguments = "{}" } },
    } }, messages[2])
    assert.same({ role = "tool", tool_call_id = "call_1", content = "shipped" }, messages[3])
    assert.same({ role = "tool", tool_call_id = "call_2", content = "Error: no such town" }, messages[4])
    assert.same({ role = "assistant", content = "It is on its way." }, messages[5])
    assert.equal(6, #messages)
  end)

  it("closes a strict tool's schema, and does not call strict what cannot be", function()
    local tools = asked({ tools = {
      { name = "a", description = "A", strict = true, parameters = { type = "object", properties = { id = { type = "string" } }, required = { "id" } } },
      { name = "b", strict = true, parameters = { type = "object", properties = { id = { type = "string" } } } },
      { name = "c", parameters = { type = "object", properties = { id = { type = "string" } }, required = { "id" } } },
      { name = "d", strict = true },
    } }).tools
    assert.same({ type = "function", ["function"] = { name = "a", description = "A", strict = true, parameters = {
      type = "object", properties = { id = { type = "string" } }, required = { "id" }, additionalProperties = false } } }, tools[1])
    assert.is_nil(tools[2]["function"].strict)
    assert.is_nil(tools[2]["function"].parameters.additionalProperties)
    assert.is_nil(tools[3]["function"].strict)
    assert.same({ type = "object", properties = {}, additionalProperties = false }, tools[4]["function"].parameters)
  end)

  it("closes objects within objects, lists and alternatives, and leaves the caller's schema as it was", function()
    local inner = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } }
    local schema = { type = "object", required = { "list", "either" }, properties = { list = { type = "array", items = inner }, either = { anyOf = { inner, { type = "null" } } } } }
    local format = asked({ schema = { name = "s", schema = schema } }).response_format.json_schema
    assert.is_true(format.strict)
    assert.is_false(format.schema.properties.list.items.additionalProperties)
    assert.is_false(format.schema.properties.either.anyOf[1].additionalProperties)
    assert.is_nil(inner.additionalProperties)
    local optional = { type = "object", properties = { a = {} } }
    for _, open in ipairs{ { allOf = { inner } }, { type = "object", additionalProperties = true }, { type = "array", items = optional }, { ["not"] = {} } } do
      local whole = { type = "object", required = { "x" }, properties = { x = open } }
      assert.is_false(asked({ schema = { name = "s", schema = whole } }).response_format.json_schema.strict)
    end
  end)

  it("does not call strict a schema with words that strict mode has not, and leaves out those that say nothing", function()
    local function sent(property)
      return asked({ schema = { name = "s", schema = { ["$schema"] = "x", type = "object", required = { "x" }, properties = { x = property } } } }).response_format.json_schema
    end
    for _, property in ipairs{ {}, { enum = { 1 } }, { type = "string", format = "e164" }, { type = "string", minLength = 1 }, { type = "array", uniqueItems = true }, json.null,
      { type = { "object", "null" }, properties = { a = { type = "string" } } } } do
      assert.is_false(sent(property).strict)
      assert.same(property, sent(property).schema.properties.x)
    end
    for _, property in ipairs{ { type = "string", format = "date" }, { type = "integer", minimum = 1, default = 5 }, { ["$ref"] = "#/$defs/a" }, { type = { "string", "null" }, enum = { "a" } } } do
      assert.is_true(sent(property).strict)
    end
    assert.same({ type = "integer" }, sent({ type = "integer", default = 5 }).schema.properties.x)
    assert.is_nil(sent({ type = "integer" }).schema["$schema"])
  end)

  it("chooses tools, and says nothing of tools when there are none", function()
    local tools = { { name = "a", parameters = { type = "object", properties = {} } } }
    assert.equal("required", asked({ tools = tools, tool_choice = "required" }).tool_choice)
    assert.same({ type = "function", ["function"] = { name = "a" } }, asked({ tools = tools, tool_choice = { name = "a" } }).tool_choice)
    assert.is_false(asked({ tools = tools, parallel_tools = false }).parallel_tool_calls)
    assert.is_nil(asked({ tools = tools, parallel_tools = false }, hers).parallel_tool_calls)
    local none = asked({ tools = {}, tool_choice = "auto", parallel_tools = true })
    assert.same({}, { none.tools, none.tool_choice, none.parallel_tool_calls })
  end)

  it("asks for a schema, for JSON in words, or in words alone, as the server can", function()
    local schema = { name = "order", schema = { type = "object", properties = { id = { type = "string" } }, required = { "id" }, additionalProperties = false } }
    assert.same({ type = "json_schema", json_schema = { name = "order", strict = true, schema = schema.schema } }, asked({ schema = schema }).response_format)
    assert.is_false(asked({ schema = { name = "order", schema = schema.schema, strict = false } }).response_format.json_schema.strict)
    local words = asked({ system = "Be brief.", schema = schema }, changed(target, { supports_json_schema = false }))
    assert.same({ type = "json_object" }, words.response_format)
    assert.matches('^Be brief%.\n\nAnswer with nothing but JSON.*"required":%["id"%]', words.messages[1].content)
    assert.is_nil(asked({ schema = schema }, changed(target, { supports_json_schema = false, supports_json_object = false })).response_format)
  end)

  it("says limits and sampling in the words that the model knows", function()
    local all = { max_tokens = 300, temperature = 0.2, top_p = 0.9, stop = { "END" }, seed = 7, effort = "low" }
    local body = asked(all)
    assert.same({ 300, 0.2, 0.9, { "END" }, 7, "low" }, { body.max_completion_tokens, body.temperature, body.top_p, body.stop, body.seed, body.reasoning_effort })
    body = asked(all, hers)
    assert.equal(300, body.max_tokens)
    assert.is_nil(body.max_completion_tokens)
    assert.is_nil(body.reasoning_effort)
    body = asked(all, changed(target, { allows_temperature = false, supports_stop = false, efforts = { "medium", "high" } }))
    assert.same({}, { body.temperature, body.top_p, body.stop, body.reasoning_effort })
    assert.equal("high", asked({ effort = "high" }, changed(target, { efforts = { "medium", "high" } })).reasoning_effort)
  end)

  it("asks for usage in the stream, for no padding, and for nothing to be kept", function()
    local body = asked({ cache_key = "t7:a3" }, target, true)
    assert.same({ include_usage = true, include_obfuscation = false }, body.stream_options)
    assert.same({ true, false, "t7:a3" }, { body.stream, body.store, body.prompt_cache_key })
    body = asked({ cache_key = "t7:a3" }, hers, true)
    assert.same({ include_usage = true }, body.stream_options)
    assert.same({}, { body.store, body.prompt_cache_key })
    assert.is_nil(asked({}, target, false).stream_options)
    assert.is_nil(asked({}, changed(hers, { compatible = true, include_usage = false }), true).stream_options)
    assert.is_nil(asked({ cache_key = "t7:a3", prompt_cache = false }).prompt_cache_key)
  end)

  it("asks to go on when the conversation ends within an answer, unless the server goes on by itself", function()
    local messages = { { role = "user", text = "Count." }, { role = "assistant", text = "One, two," } }
    local last = asked({ messages = messages }).messages
    assert.same({ 3, "user" }, { #last, last[3].role })
    assert.matches("Go on with exactly the next word", last[3].content)
    assert.equal(2, #asked({ messages = messages }, changed(hers, { compatible = true, allows_prefill = true })).messages)
  end)

  it("takes the caller's own fields last, but for what was guarded, priced, and is read", function()
    local body = asked({ temperature = 0.2, max_tokens = 50, extras = { claude = { x = 1 }, openai_chat = {
      temperature = 1, service_tier = "flex", model = "other", stream = false, stream_options = json.null, n = 5, store = true, max_completion_tokens = 9999, messages = json.array{},
    } } }, target, true)
    assert.same({ 1, "flex", "gpt-5.4-mini", true, false, 50 }, { body.temperature, body.service_tier, body.model, body.stream, body.store, body.max_completion_tokens })
    assert.same({ 1, true }, { #body.messages, body.stream_options.include_usage })
    assert.same({}, { body.x, body.n })
  end)
end)

describe("a stream of Chat Completions", function()
  it("is start, text, usage and end", function()
    local events = read{ chunk{ role = "assistant", content = "" }, chunk{ content = "Your or" }, chunk{ content = "der" }, chunk({}, "stop"), usage_chunk, "[DONE]" }
    assert.equal("start text text usage end", answers.types(events))
    assert.same({ type = "start", id = "c1", model = "m-1" }, events[1])
    assert.equal("Your order", answers.text(events))
    assert.same({ "end", "stop" }, { events[5].reason, events[5].detail })
  end)

  it("counts what the cache gave and took within the input, and reasoning within the output", function()
    local events = read{ chunk{ content = "a" }, chunk({}, "stop"), usage_chunk, "[DONE]" }
    assert.same({ type = "usage", input = 2006, cached = 1920, written = 40, written_1h = 0, output = 300, reasoning = 128 }, answers.first(events, "usage"))
  end)

  it("takes the last of several usages, and makes no money of nonsense", function()
    local events = read{ chunk({ content = "a" }, nil, { usage = { prompt_tokens = 5, completion_tokens = 1 } }),
      chunk({}, "stop", { usage = { prompt_tokens = 5, completion_tokens = 9 } }), "[DONE]" }
    assert.equal(1, #answers.of(events, "usage"))
    assert.equal(9, answers.first(events, "usage").output)
    events = read{ chunk({}, "stop", { usage = { prompt_tokens = 5, completion_tokens = -3, prompt_tokens_details = { cached_tokens = 50, cache_write_tokens = "x" },
      completion_tokens_details = { reasoning_tokens = 1e300 } } }), "[DONE]" }
    assert.same({ type = "usage", input = 5, cached = 5, written = 0, written_1h = 0, output = 0, reasoning = 0 }, answers.first(events, "usage"))
  end)

  it("gathers two calls whose fragments come mixed", function()
    local function fragment(index, id, name, arguments)
      return { index = index, id = id, type = id and "function", ["function"] = { name = name, arguments = arguments } }
    end
    local events = read{
      chunk{ role = "assistant", content = json.null, tool_calls = { fragment(0, "call_1", "find_order", "") } },
      chunk{ tool_calls = { fragment(1, "call_2", "weather", ""), fragment(0, nil, nil, '{"id"') } },
      chunk{ tool_calls = { fragment(1, nil, nil, '{"town":"K') } }, chunk{ tool_calls = { fragment(0, nil, nil, ':"1234"}') } },
      chunk{ tool_calls = { fragment(1, nil, nil, 'öln"}') } }, chunk({}, "tool_calls"), "[DONE]",
    }
    assert.equal("start tool_start tool_start tool_delta tool_delta tool_delta tool_delta tool tool end", answers.types(events))
    local calls = answers.of(events, "tool")
    assert.same({ type = "tool", index = 0, id = "call_1", name = "find_order", arguments = '{"id":"1234"}', valid = true }, calls[1])
    assert.same({ type = "tool", index = 1, id = "call_2", name = "weather", arguments = '{"town":"Köln"}', valid = true }, calls[2])
    assert.equal("tool", events[#events].reason)
  end)

  it("means the same wherever the wire was split, and is an error wherever it was cut", function()
    local wire = ': ping\n\ndata: {"id":"c1","object":"chat.completion.chunk","created":1780000000,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"für 5 €"},'
      .. '"finish_reason":null}],"usage":null}\n\n'
      .. 'data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"find_order","arguments":""}}]},'
      .. '"finish_reason":null}],"usage":null}\r\n\r\n'
      .. 'data: {"id":"c1","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\\"id\\":\\"ü\\"}"}}]},"finish_reason":null}],"usage":null}\n\n'
      .. 'data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}\n\n'
      .. 'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":88,"completion_tokens":19,"total_tokens":107}}\n\ndata: [DONE]\n\n'
    local expected = ai_wire.read(chat, { wire }, target)
    assert.equal("start text tool_start tool_delta tool usage end", answers.types(expected))
    assert.same({ "für 5 €", '{"id":"ü"}', 88 }, { expected[2].text, expected[5].arguments, expected[6].input })
    for at = 1, #wire - 1 do
      assert.same(expected, ai_wire.read(chat, { wire:sub(1, at), wire:sub(at + 1) }, target))
      local cut = ai_wire.read(chat, { wire:sub(1, at) }, target)
      assert.same({ "error", "protocol" }, { cut[#cut].type, cut[#cut].class })
    end
  end)

  it("puts arguments together wherever they were split", function()
    local whole = '{"a":"\\u00e9 \\"x\\" \\\\","b":[1,{"c":null}],"d":"日本"}'
    for at = 0, #whole do
      -- A server splits between characters: within one, the event would not be UTF-8.
      local first, second = whole:sub(1, at), whole:sub(at + 1)
      if not second:find("^[\128-\191]") then
        local events = read{ chunk{ tool_calls = { { index = 0, id = "c", ["function"] = { name = "f", arguments = first } } } },
          chunk{ tool_calls = { { index = 0, ["function"] = { arguments = second } } } }, chunk({}, "tool_calls"), "[DONE]" }
        local call = answers.first(events, "tool")
        assert.same({ whole, true }, { call.arguments, call.valid })
      end
    end
  end)

  it("tells calls apart for servers that number them all the same, or not at all", function()
    for _, index in ipairs{ 0, json.null } do
      local function fragment(id, name, arguments) return chunk{ tool_calls = { { index = index, id = id, ["function"] = { name = name, arguments = arguments } } } } end
      local events = read{ fragment("x", "a", '{"n":1'), fragment(nil, nil, "}"), fragment("y", "b", ""), fragment("y", nil, '{"n":2}'), chunk({}, "stop"), "[DONE]" }
      local calls = answers.of(events, "tool")
      assert.equal(2, #calls)
      assert.same({ "x", "a", '{"n":1}' }, { calls[1].id, calls[1].name, calls[1].arguments })
      assert.same({ "y", "b", '{"n":2}' }, { calls[2].id, calls[2].name, calls[2].arguments })
      assert.equal("tool", events[#events].reason)
    end
  end)

  it("gives a call without an id one of its own", function()
    local events = read{ chunk{ tool_calls = { { index = 0, ["function"] = { name = "a", arguments = "{}" } } } }, chunk({}, "tool_calls"), "[DONE]" }
    assert.matches("^call_%x+$", answers.first(events, "tool").id)
    assert.equal(answers.first(events, "tool_start").id, answers.first(events, "tool").id)
  end)

  it("says which arguments are no JSON object, and takes none for an empty one", function()
    for text, valid in pairs{ ['{"id":'] = false, ["[1]"] = false, ['"x"'] = false, ["null"] = false, ["{}"] = true, [""] = true, ["{} x"] = false } do
      local events = read{ chunk{ tool_calls = { { index = 0, id = "c", ["function"] = { name = "f", arguments = text } } } }, chunk({}, "tool_calls"), "[DONE]" }
      assert.equal(valid, answers.first(events, "tool").valid)
      if text == "" then assert.equal("{}", answers.first(events, "tool").arguments) end
    end
  end)

  it("never takes a call that the limit cut for a whole one", function()
    for _, text in ipairs{ "", '{"id":"12' } do
      local events = read{ chunk{ tool_calls = { { index = 0, id = "c", ["function"] = { name = "f", arguments = text } } } }, chunk({}, "length"), "[DONE]" }
      assert.is_false(answers.first(events, "tool").valid)
      assert.equal("length", events[#events].reason)
    end
  end)

  it("knows each reason to stop", function()
    local function reason(finish, delta) return read{ chunk(delta or { content = "a" }), chunk({}, finish), "[DONE]" }[3].reason end
    assert.same({ "end", "length", "filter", "end", "refusal" },
      { reason("stop"), reason("length"), reason("content_filter"), reason("something_new"), reason("stop", { refusal = "I cannot." }) })
    local events = read{ chunk{ refusal = "I " }, chunk{ refusal = "cannot." }, chunk({}, "stop"), "[DONE]" }
    assert.equal("I cannot.", answers.text(events))
    assert.is_true(answers.first(events, "text").refusal)
  end)

  it("has no text when the answer is empty", function()
    assert.equal("start end", answers.types(read{ chunk{ role = "assistant", content = "" }, chunk({}, "stop"), "[DONE]" }))
  end)

  it("reads past what it does not know", function()
    local events = read{
      chunk({ content = "a", reasoning_content = "hm", annotations = json.array{} }, nil, { obfuscation = "xyz", service_tier = "default" }),
      { id = "c1", object = "something.new" }, "", "  ",
      { id = "c1", choices = { { index = 1, delta = { content = "another choice" } }, 7, { index = 0, delta = { content = { { type = "text", text = "b" }, 5 } } } } },
      chunk({}, "stop"), "[DONE]",
    }
    assert.equal("ab", answers.text(events))
    assert.equal("end", events[#events].type)
  end)

  it("that ends without its last event is an error, however it looked", function()
    assert.same({ "start text error", "protocol" }, (function(e) return { answers.types(e), e[#e].class } end)(read{ chunk{ content = "a" } }))
    assert.equal("start text error", answers.types(read{ chunk{ content = "a" }, chunk({}, "stop") }))
    assert.equal("start text error", answers.types(read{ chunk{ content = "a" }, "[DONE]" }))
    assert.equal("error", answers.types(read{}))
    local lax = changed(hers, { compatible = true, sends_done = false })
    assert.equal("start text end", answers.types(read({ chunk{ content = "a" }, chunk({}, "stop") }, lax)))
    assert.equal("start text error", answers.types(read({ chunk{ content = "a" } }, lax)))
  end)

  it("keeps the usage that it knew when it breaks", function()
    assert.equal("start text usage error", answers.types(read{ chunk({ content = "a" }, nil, { usage = { prompt_tokens = 5, completion_tokens = 1 } }) }))
  end)

  it("takes an error in the middle for what it is, and reads nothing after it", function()
    for _, case in ipairs{
      { { message = "The server had an error", type = "server_error", param = json.null, code = json.null }, "server" },
      { { message = "slow", type = "rate_limit_error", code = "rate_limit_exceeded" }, "rate" }, { { message = "pay", type = "insufficient_quota", code = "insufficient_quota" }, "quota" },
      { { message = "Provider returned error", code = 429 }, "rate" }, { { message = "x", code = 503 }, "overload" }, { {}, "server" },
      { { message = "This model's maximum context length is 8192 tokens", code = 400 }, "too_long" },
    } do
      local events = read{ chunk{ content = "a" }, { error = case[1] }, chunk{ content = "b" }, chunk({}, "stop"), "[DONE]" }
      assert.equal("start text error", answers.types(events))
      assert.equal(case[2], events[3].class)
    end
    assert.equal("boom", read{ { error = "boom" } }[1].text)
    assert.equal("bad_request", read{ { object = "error", message = "boom", type = "BadRequestError", code = 400 } }[1].class)
  end)

  it("breaks at a chunk that is no JSON, and at bytes that are no text", function()
    for _, data in ipairs{ '{"choices":[{"index":0,"delta":{"cont', "\255\254", '{"choices":[{"delta":{"content":"\255"}}]}', "null", "7", "[[[[", ("["):rep(100000) } do
      local events = read{ chunk{ content = "a" }, data, "[DONE]" }
      assert.equal("start text error", answers.types(events))
      assert.equal("protocol", events[3].class)
    end
  end)

  it("does not raise and always ends once, whichever byte is spoilt", function()
    local readings = answers.spoil(chat, target, { chunk{ content = "é" },
      chunk{ tool_calls = { { index = 0, id = "c", ["function"] = { name = "f", arguments = "{}" } } } }, chunk({}, "tool_calls"), usage_chunk, "[DONE]" })
    assert.is_true(readings > 1000)
  end)

  it("does not raise at fields of other types", function()
    for _, other in ipairs{ json.null, 7, "x", true, json.array{}, { a = 1 }, { { { 1 } } } } do
      for _, event in ipairs{
        { choices = other }, { choices = { other } }, { choices = { { delta = other } } }, { choices = { { delta = { content = other } } } }, { choices = { { index = other, delta = {} } } },
        { choices = { { delta = { tool_calls = other } } } }, { choices = { { delta = { tool_calls = { other } } } } },
        { choices = { { delta = { tool_calls = { { index = other, id = other, ["function"] = other } } } } } },
        { choices = { { delta = { tool_calls = { { ["function"] = { name = other, arguments = other } } } } } } }, { choices = { { finish_reason = other } } }, { usage = other },
        { usage = { prompt_tokens = other, prompt_tokens_details = other } }, { id = other, model = other }, { error = other },
      } do
        answers.stream(chat, target, { event, "[DONE]" })
        chat.whole(200, {}, json.encode(event))
        chat.failure(400, {}, json.encode(event))
      end
    end
  end)

  it("bounds what a server can make it keep", function()
    local list = {}
    for i = 1, 200 do list[i] = chunk{ tool_calls = { { index = i, id = "c" .. i, ["function"] = { name = "f" } } } } end
    list[201], list[202] = chunk({}, "tool_calls"), "[DONE]"
    local events = read(list)
    assert.same({ "protocol", "more than 128 tool calls in one answer" }, { events[#events].class, events[#events].text })
    list = {}
    for i = 1, 40 do list[i] = chunk{ tool_calls = { { index = 0, id = "c", ["function"] = { name = i == 1 and "f" or nil, arguments = ("x"):rep(32768) } } } } end
    list[41], list[42] = chunk({}, "tool_calls"), "[DONE]"
    events = read(list)
    assert.same({ "protocol", "the arguments of the tool calls are longer than 1048576 bytes" }, { events[#events].class, events[#events].text })
  end)
end)

describe("a whole answer of Chat Completions", function()
  local function whole(message, finish, usage)
    return chat.whole(200, { ["x-request-id"] = "req_1" }, json.encode{ id = "c1", model = "m-1", choices = { { index = 0, message = message, finish_reason = finish } }, usage = usage })
  end

  it("gives the events that a stream would have given, and the id of the request", function()
    local events = whole({ role = "assistant", content = "Hello", refusal = json.null }, "stop", usage_chunk.usage)
    assert.equal("start text usage end", answers.types(events))
    assert.same({ type = "start", id = "c1", model = "m-1", request_id = "req_1" }, events[1])
    assert.equal(1920, events[3].cached)
  end)

  it("has its calls", function()
    local events = whole({ content = json.null, tool_calls = { { id = "call_1", type = "function", ["function"] = { name = "f", arguments = '{"a":1}' } },
      { id = "call_2", type = "function", ["function"] = { name = "g", arguments = "{" } } } }, "tool_calls")
    assert.equal("start tool_start tool_delta tool_start tool_delta tool tool end", answers.types(events))
    assert.same({ true, false }, { answers.of(events, "tool")[1].valid, answers.of(events, "tool")[2].valid })
  end)

  it("that is none is an error", function()
    for _, body in ipairs{ "", "null", "{}", '{"choices":[]}', '{"choices":[{"index"', "<html>" } do
      local events = chat.whole(200, { ["X-Request-Id"] = "req_1" }, body)
      assert.same({ type = "error", class = "protocol", text = events[1].text, request_id = "req_1" }, events[1])
      assert.equal(1, #events)
    end
    assert.equal("protocol", chat.whole(204, {}, nil)[1].class)
    assert.equal("server", chat.whole(200, {}, '{"error":{"message":"x"}}')[1].class)
  end)

  it("of an error's status is that error", function()
    local event = chat.whole(429, { ["x-request-id"] = "req_1", ["retry-after"] = "7" }, '{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}')[1]
    assert.same({ "error", "rate", "slow", "req_1", 7 }, { event.type, event.class, event.text, event.request_id, event.retry_after_s })
  end)
end)

describe("a failure of OpenAI's API", function()
  local function class(status, code, kind, message)
    return chat.failure(status, {}, json.encode{ error = { message = message or "m", type = kind or json.null, param = json.null, code = code or json.null } }).class
  end

  it("has the class of its status", function()
    for status, want in pairs{ [400] = "bad_request", [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long",
      [422] = "bad_request", [429] = "rate", [500] = "server", [502] = "server", [503] = "overload", [504] = "server", [529] = "overload", [302] = "protocol" } do
      assert.equal(want, class(status))
      assert.equal(want, chat.failure(status, {}, "").class)
      assert.equal(want, chat.failure(status, {}, "<html>bad gateway</html>").class)
    end
  end)

  it("has the class of its code before that", function()
    assert.equal("quota", class(429, "insufficient_quota", "insufficient_quota"))
    assert.equal("quota", class(429, nil, "insufficient_quota"))
    assert.equal("too_long", class(400, "context_length_exceeded", "invalid_request_error"))
    assert.equal("too_long", class(400, nil, "BadRequestError", "This model's maximum context length is 4096 tokens. However, you requested 5000."))
    assert.equal("auth", class(400, "invalid_api_key"))
    assert.equal("not_found", class(400, "model_not_found"))
    assert.equal("refused", class(400, "content_filter"))
    assert.equal("bad_request", class(400, "unsupported_parameter", "invalid_request_error"))
    assert.equal("rate", class(429, nil, "tokens"))
    assert.equal("server", class(500, nil, "invalid_request_error"))
  end)

  it("says that the key is no good only with 401 or a code that says so, not with any 403", function()
    local function refused(status, code, kind)
      return chat.failure(status, {}, json.encode{ error = { message = "m", type = kind or json.null, code = code or json.null } }).key_refused
    end
    assert.same({ true, true, true }, { refused(401), refused(403, "account_deactivated"), refused(400, "invalid_api_key") })
    assert.is_nil(refused(403))
    assert.is_nil(refused(403, "unsupported_country_region_territory", "request_forbidden"))
    assert.is_nil(refused(403, nil, "permission_error"))
    assert.is_nil(refused(401, "insufficient_quota"))
    assert.is_nil(chat.failure(403, {}, "<html>forbidden</html>").key_refused)
  end)

  it("keeps text, code and the id of the request", function()
    local found = chat.failure(401, { ["X-Request-ID"] = "req_9" }, '{"error":{"message":"Incorrect\\nkey","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}')
    assert.same({ "Incorrect key", "invalid_api_key", "req_9", 401 }, { found.text, found.code, found.request_id, found.status })
    assert.equal("the provider answered with status 502", chat.failure(502, {}, "").text)
    assert.equal("no such model", chat.failure(404, {}, '{"detail":"no such model"}').text)
    assert.equal("boom", chat.failure(500, {}, '{"object":"error","message":"boom","type":"x","code":500}').text)
    assert.is_true(#chat.failure(500, {}, json.encode{ error = { message = ("é"):rep(10000) } }).text <= 500)
  end)

  it("says when to come again, and what the provider said of trying", function()
    assert.equal(1.5, chat.failure(429, { ["retry-after-ms"] = "1500", ["retry-after"] = "9" }, "").retry_after_s)
    assert.equal(9, chat.failure(429, { ["retry-after"] = "9" }, "").retry_after_s)
    assert.is_nil(chat.failure(429, {}, "").retry_after_s)
    assert.equal(30, chat.failure(503, { ["retry-after"] = "Sun, 22 Nov 2026 10:00:30 GMT" }, "", 1795341600).retry_after_s)
    assert.is_false(chat.failure(429, { ["x-should-retry"] = "false" }, "").should_retry)
    assert.is_true(chat.failure(400, { ["x-should-retry"] = "true" }, "").should_retry)
    assert.is_nil(chat.failure(500, { ["x-should-retry"] = "maybe" }, "").should_retry)
  end)
end)

describe("embeddings of OpenAI's API", function()
  local function answer(data) return 200, {}, json.encode{ object = "list", data = data, model = "e-1", usage = { prompt_tokens = 12, total_tokens = 12 } } end

  it("are asked for as base64, and as numbers from a compatible server", function()
    local request = chat.embed_request({ "a", "b" }, target, { dimensions = 256 })
    assert.equal("https://api.openai.com/v1/embeddings", request.url)
    assert.same({ model = "gpt-5.4-mini", input = { "a", "b" }, encoding_format = "base64", dimensions = 256 }, json.decode(request.body))
    assert.same({ model = "qwen", input = { "a" }, encoding_format = "float" }, json.decode(chat.embed_request({ "a" }, hers).body))
    assert.equal("float", json.decode(chat.embed_request({ "a" }, target, { encoding = "float" }).body).encoding_format)
  end)

  it("come in the order of the texts, with their tokens", function()
    local found = chat.embed_result(answer{ { index = 1, embedding = { 0.5, -0.25 } }, { index = 0, embedding = { 1, 2 } } })
    assert.same({ { 1, 2 }, { 0.5, -0.25 } }, found.vectors)
    assert.same({ 12, 0, 0, "e-1" }, { found.usage.input, found.usage.output, found.usage.cached, found.model })
  end)

  it("are read from base64, each float as it was", function()
    local bytes = crypto.unhex("0000803f" .. "000000c0" .. "00000000" .. "0000c03e" .. "01000000" .. "ffff7f7f" .. "cdcc4cbd")
    local found = chat.embed_result(answer{ { index = 0, embedding = crypto.b64(bytes) } })
    assert.same({ 1, -2, 0, 0.375, 2 ^ -149, 2 ^ 128 - 2 ^ 104, -0.0500000007450580596923828125 }, found.vectors[1])
  end)

  it("that are none are a failure", function()
    for _, data in ipairs{ json.array{}, { { index = 0, embedding = "" } }, { { index = 0, embedding = "AAA=" } }, { { index = 0, embedding = "!" } }, { { index = 0, embedding = { 1, "x" } } },
      { { index = 0, embedding = { 1 } }, { index = 0, embedding = { 2 } } }, { { index = 5, embedding = { 1 } } },
      { { index = 0, embedding = { 1 } }, { index = 1, embedding = { 1, 2 } } }, { 7 }, "x",
      { { index = 0, embedding = crypto.b64(crypto.unhex("0000807f")) } } } do
      local found, failed = chat.embed_result(answer(data))
      assert.is_nil(found)
      assert.equal("protocol", failed.class)
    end
    assert.equal("protocol", select(2, chat.embed_result(200, {}, "<")).class)
    assert.equal("too_long", select(2, chat.embed_result(400, {}, '{"error":{"message":"m","code":"context_length_exceeded"}}')).class)
  end)
end)
