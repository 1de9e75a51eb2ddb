-- SPDX-License-Identifier: Apache-2.0
--- Ollama's API: what is asked, what each line means, and what a server that is none gets.
local answers = require "ai_answers"
local json = require "core.json"
local ollama = require "plugins.ai_ollama"

local target = { provider = "own", kind = "ollama", url = "http://10.0.0.5:11434/", model = "llama3.2" }

local function changed(of, more)
  local out = {}
  for name, value in pairs(of) do out[name] = value end
  for name, value in pairs(more) do out[name] = value end
  return out
end

local function asked(request, flags, stream)
  request.messages = request.messages or { { role = "user", text = "Where is order 1234?" } }
  return json.decode(ollama.request(request, changed(target, { flags = flags }), stream).body)
end

local function line(message, more)
  return changed({ model = "llama3.2", created_at = "2026-08-01T10:00:00Z", message = changed({ role = "assistant", content = "" }, message), done = false }, more or {})
end

local last = line({}, { done = true, done_reason = "stop", total_duration = 900000000, load_duration = 40000000, prompt_eval_count = 169, eval_count = 15, eval_duration = 115000000 })

local function call(name, arguments, id) return { id = id, ["function"] = { index = 0, name = name, arguments = arguments } } end

local function read(list, at) return answers.stream(ollama, at or target, list) end

describe("a request to Ollama", function()
  it("goes to its own API, streamed only when asked for, with a key only where there is one", function()
    local request = ollama.request({ messages = { { role = "user", text = "hi" } } }, target, true)
    assert.same({ "POST", "http://10.0.0.5:11434/api/chat", "ndjson" }, { request.method, request.url, request.framing })
    assert.is_nil(request.headers.authorization)
    assert.is_true(json.decode(request.body).stream)
    request = ollama.request({ messages = { { role = "user", text = "hi" } } }, changed(target, { key = "k1" }), false)
    assert.same({ "json", "Bearer k1", false }, { request.framing, request.headers.authorization, json.decode(request.body).stream })
  end)

  it("never lets a prompt be cut in silence", function()
    local body = asked({}, { num_ctx = 16384, keep_alive = -1 })
    assert.same({ false, false, 16384, -1 }, { body.truncate, body.shift, body.options.num_ctx, body.keep_alive })
  end)

  it("says a conversation with calls as objects, and results with the tool's name", function()
    local messages = asked({ system = "Be brief.", messages = {
      { role = "user", text = "Where is it?" },
      { role = "assistant", text = "", tool_calls = { { id = "call_1", name = "find_order", arguments = '{"id":"1234"}' }, { id = "call_2", name = "broken", arguments = '{"id' },
        { id = "call_3", name = "list", arguments = "[1]" } } },
      { role = "tool", tool_call_id = "call_1", text = "shipped" }, { role = "tool", tool_call_id = "call_2", text = "no JSON", is_error = true },
      { role = "tool", tool_call_id = "call_3", text = "x" },
    } }).messages
    assert.same({ role = "system", content = "Be brief." }, messages[1])
    assert.same({ role = "assistant", content = "", tool_calls = {
      { id = "call_1", ["function"] = { index = 0, name = "find_order", arguments = { id = "1234" } } }, { id = "call_2", ["function"] = { index = 1, name = "broken", arguments = {} } },
      { id = "call_3", ["function"] = { index = 2, name = "list", arguments = {} } },
    } }, messages[3])
    assert.same({ role = "tool", tool_call_id = "call_1", tool_name = "find_order", content = "shipped" }, messages[4])
    assert.same({ role = "tool", tool_call_id = "call_2", tool_name = "broken", content = "Error: no JSON" }, messages[5])
  end)

  it("offers the tools that may be chosen, for none can be forced", function()
    local tools = { { name = "a", description = "A", strict = true, parameters = { type = "object", properties = { id = { type = "string" } } } }, { name = "b" } }
    assert.same({ { type = "function", ["function"] = { name = "a", description = "A", parameters = tools[1].parameters } },
      { type = "function", ["function"] = { name = "b", parameters = { type = "object", properties = {} } } } }, asked({ tools = tools }).tools)
    assert.equal(1, #asked({ tools = tools, tool_choice = { name = "b" } }).tools)
    assert.same({}, { asked({ tools = tools, tool_choice = "none" }).tools, asked({ tools = tools }, { supports_tools = false }).tools, asked({ tools = {} }).tools, asked({}).tool_choice })
  end)

  it("says limits, sampling and schema in its own words", function()
    local schema = { type = "object", properties = { id = { type = "string" } } }
    local body = asked{ max_tokens = 300, temperature = 0.2, top_p = 0.9, seed = 7, stop = { "END" }, schema = { name = "s", schema = schema } }
    assert.same({ num_predict = 300, temperature = 0.2, top_p = 0.9, seed = 7, stop = { "END" } }, body.options)
    assert.same(schema, body.format)
    assert.equal("json", asked({ schema = { name = "s", schema = schema } }, { supports_json_schema = false }).format)
    assert.is_nil(asked({ temperature = 0.2 }, { allows_temperature = false }).options.temperature)
  end)

  it("asks only models that think to think", function()
    assert.is_nil(asked({ effort = "low" }).think)
    assert.is_true(asked({ effort = "low" }, { reasoning = true }).think)
    assert.is_false(asked({ effort = "none" }, { reasoning = true }).think)
    assert.equal("low", asked({ effort = "low" }, { reasoning = "levels" }).think)
    assert.is_nil(asked({}, { reasoning = true }).think)
  end)

  it("takes the caller's own fields last, but for what was guarded, priced, and is read", function()
    local body = asked({ max_tokens = 50, extras = { ollama = { truncate = true, model = "other", stream = true, messages = json.array{}, options = { num_predict = -1, top_k = 40 } } } })
    assert.same({ true, "llama3.2", false, 1 }, { body.truncate, body.model, body.stream, #body.messages })
    assert.same({ num_predict = 50, top_k = 40 }, body.options)
  end)
end)

describe("a stream of Ollama", function()
  it("is start, text, usage and end", function()
    local events = read{ line{ content = "Your or" }, line{ content = "der" }, last }
    assert.equal("start text text usage end", answers.types(events))
    assert.same({ "llama3.2", "Your order", "end" }, { events[1].model, answers.text(events), events[5].reason })
    assert.same({ type = "usage", input = 169, cached = 0, written = 0, written_1h = 0, output = 15, reasoning = 0 }, events[4])
  end)

  it("is an error wherever the wire was cut", function()
    local wire = '{"model":"m","message":{"role":"assistant","content":"für 5 €"},"done":false}\n{"model":"m","message":{"role":"assistant","content":"","tool_calls":'
      .. '[{"id":"call_a","function":{"index":0,"name":"f","arguments":{"id":"ü"}}}]},"done":false}\n{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}'
    local function lines(text)
      local list = {}
      for one in text:gmatch("[^\n]+") do list[#list + 1] = one end
      return list
    end
    assert.equal("start text tool_start tool_delta tool usage end", answers.types(read(lines(wire))))
    for at = 1, #wire - 1 do
      local cut = read(lines(wire:sub(1, at)))
      assert.same({ "error", "protocol" }, { cut[#cut].type, cut[#cut].class })
    end
  end)

  it("has its calls whole, and says so in the end, whatever the server's reason", function()
    local events = read{ line{ content = "I look." }, line{ tool_calls = { call("find_order", { id = "1234" }, "call_a"), call("weather", { town = "Köln" }, "call_b") } }, last }
    assert.equal("start text tool_start tool_delta tool tool_start tool_delta tool usage end", answers.types(events))
    assert.same({ type = "tool", index = 0, id = "call_a", name = "find_order", arguments = '{"id":"1234"}', valid = true }, events[5])
    assert.same({ 1, "call_b", '{"town":"Köln"}' }, { events[8].index, events[8].id, events[8].arguments })
    assert.equal("tool", events[#events].reason)
  end)

  it("gives calls without ids ids of their own", function()
    local events = read{ line{ tool_calls = { call("a", {}), call("a", {}, "") } }, last }
    local calls = answers.of(events, "tool")
    assert.matches("^call_%x+$", calls[1].id)
    assert.are_not.equal(calls[1].id, calls[2].id)
  end)

  it("says which arguments are none", function()
    for text, valid in pairs{ ['{"a":1}'] = true, ["{}"] = true, ["[]"] = true, ["[1]"] = false, ['"{\\"a\\":1}"'] = true, ['"x"'] = false, ["null"] = true } do
      local events = read{ ('{"model":"m","message":{"tool_calls":[{"function":{"name":"f","arguments":%s}}]},"done":false}'):format(text), last }
      assert.same({ text, valid }, { text, answers.first(events, "tool").valid })
      if valid then assert.equal("table", type(json.decode(answers.first(events, "tool").arguments))) end
    end
  end)

  it("knows each reason to stop, and counts that are left out are none", function()
    local reasons = {}
    for i, reason in ipairs{ "stop", "length", "load", "something", json.null } do
      local events = read{ line({}, { done = true, done_reason = reason }) }
      reasons[i] = events[#events].reason
      assert.same({ 0, 0 }, { events[2].input, events[2].output })
    end
    assert.same({ "end", "length", "end", "end", "end" }, reasons)
    local events = read{ line{ tool_calls = { call("a", {}) } }, line({}, { done = true, done_reason = "length" }) }
    assert.equal("length", events[#events].reason)
  end)

  it("keeps what a model thought for the next request of a turn with tools, and for the same server", function()
    local events = read{ line{ thinking = "hm, " }, line{ thinking = "yes" }, line{ tool_calls = { call("a", {}, "c1") } }, last }
    assert.equal("", answers.text(events))
    local data = events[#events].provider_data
    assert.same({ kind = "ollama", provider = "own", thinking = "hm, yes" }, data)
    local messages = { { role = "user", text = "?" }, { role = "assistant", provider_data = data, tool_calls = { { id = "c1", name = "a", arguments = "{}" } } },
      { role = "tool", tool_call_id = "c1", text = "x" } }
    assert.equal("hm, yes", asked({ messages = messages }).messages[2].thinking)
    data.thinking = { "x" }
    assert.is_nil(asked({ messages = messages }).messages[2].thinking)
    data.thinking, data.provider = "x", "other"
    assert.is_nil(asked({ messages = messages }).messages[2].thinking)
    events = read{ line{ thinking = "hm" }, line{ content = "a" }, last }
    assert.is_nil(events[#events].provider_data)
  end)

  it("reads past what it does not know", function()
    local events = read{ line({ content = "a", images = json.null }, { logprobs = {}, new = { 1 } }), "", { model = "m", status = "pulling" },
      line{ content = "b" }, last, line{ content = "after the end" } }
    assert.equal("start text text usage end", answers.types(events))
  end)

  it("that ends without its last line is an error", function()
    for _, list in ipairs{ {}, { line{ content = "a" } }, { line({ content = "a" }, { done = "true" }) } } do
      local events = read(list)
      assert.same({ "error", "protocol" }, { events[#events].type, events[#events].class })
    end
  end)

  it("takes an error in the middle for what it is, and reads nothing after it", function()
    for text, class in pairs{ ["an error was encountered while running the model: unexpected EOF"] = "server", ["input exceeds the context length"] = "too_long" } do
      local events = read{ line{ content = "a" }, { error = text }, line{ content = "b" }, last }
      assert.equal("start text error", answers.types(events))
      assert.same({ class, text }, { events[3].class, events[3].text })
    end
    assert.equal("x", read{ { error = { message = "x" } } }[1].text)
  end)

  it("breaks at a line that is no JSON, and at bytes that are no text", function()
    for _, data in ipairs{ '{"model":"m","message":{"cont', "\255", "null", "7", '{"message":{"content":"\255"}}', "<html>" } do
      local events = read{ line{ content = "a" }, data, last }
      assert.same({ "start text error", "protocol" }, { answers.types(events), events[3].class })
    end
  end)

  it("does not raise and always ends once, whichever byte is spoilt", function()
    assert.is_true(answers.spoil(ollama, target, { line{ content = "é", thinking = "hm" }, line{ tool_calls = { call("a", { id = 1 }, "c") } }, last }) > 1000)
  end)

  it("does not raise at fields of other types", function()
    for _, other in ipairs{ json.null, 7, "x", true, json.array{}, { a = 1 }, { { { 1 } } } } do
      for _, data in ipairs{
        { model = other, message = other, done = other }, { message = { content = other, thinking = other, tool_calls = other } }, { message = { tool_calls = { other } } },
        { message = { tool_calls = { { id = other, ["function"] = other } } } }, { message = { tool_calls = { { ["function"] = { name = other, arguments = other } } } } },
        { done = true, message = {}, prompt_eval_count = other, eval_count = other, done_reason = other }, { error = other },
      } do
        read{ data, last }
        ollama.whole(200, {}, json.encode(data))
        ollama.failure(500, {}, json.encode(data))
      end
      ollama.embed_result(200, {}, json.encode{ embeddings = other })
      ollama.embed_result(200, {}, json.encode{ embeddings = { other, other } })
    end
  end)

  it("bounds what a server can make it keep", function()
    local list = {}
    for i = 1, 200 do list[i] = line{ tool_calls = { call("f", {}, "c" .. i) } } end
    list[201] = last
    local events = read(list)
    assert.same({ "error", "protocol" }, { events[#events].type, events[#events].class })
    list = {}
    for i = 1, 40 do list[i] = line{ thinking = ("x"):rep(32768) } end
    list[41], list[42] = line{ tool_calls = { call("f", {}, "c") } }, last
    events = read(list)
    assert.same({ "end" }, { events[#events].type, events[#events].provider_data })
  end)
end)

describe("a whole answer of Ollama", function()
  it("gives the events that a stream would have given", function()
    local events = ollama.whole(200, { ["x-request-id"] = "req_1" }, json.encode(changed(last, { message = { role = "assistant", content = "Hello", tool_calls = { call("a", { n = 1 }, "c") } } })))
    assert.equal("start text tool_start tool_delta tool usage end", answers.types(events))
    assert.same({ "req_1", "Hello", 169, "tool" }, { events[1].request_id, answers.text(events), events[6].input, events[7].reason })
  end)

  it("that is none is an error", function()
    for _, body in ipairs{ "", "null", "{}", '{"message":{"content":"a"},"done":false}', '{"model":"m","mess', "<html>" } do
      assert.equal("protocol", ollama.whole(200, {}, body)[1].class)
    end
    assert.equal("server", ollama.whole(200, {}, '{"error":"x"}')[1].class)
    assert.equal("start usage end", answers.types(ollama.whole(200, {}, json.encode(last))))
  end)
end)

describe("a failure of Ollama", function()
  it("has the class of its status", function()
    for status, want in pairs{ [400] = "bad_request", [401] = "auth", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [422] = "bad_request",
      [429] = "rate", [500] = "server", [502] = "server", [503] = "overload", [504] = "server", [529] = "overload", [302] = "protocol" } do
      assert.equal(want, ollama.failure(status, {}, '{"error":"m"}').class)
      assert.equal(want, ollama.failure(status, {}, "").class)
      assert.equal(want, ollama.failure(status, {}, "<html>").class)
    end
    assert.equal("too_long", ollama.failure(400, {}, '{"error":"the input length exceeds the context length"}').class)
  end)

  it("keeps its text, and says when to come again", function()
    local found = ollama.failure(503, { ["Retry-After"] = "2", ["x-request-id"] = "req_1" }, '{"error":"server busy, please try again.\\nmaximum pending requests exceeded"}')
    assert.same({ "server busy, please try again. maximum pending requests exceeded", 2, "req_1", 503 }, { found.text, found.retry_after_s, found.request_id, found.status })
    assert.equal("the provider answered with status 500", ollama.failure(500, {}, "").text)
    assert.equal("auth", ollama.whole(401, {}, '{"error":"unauthorized"}')[1].class)
    assert.is_true(ollama.whole(401, {}, '{"error":"unauthorized"}')[1].key_refused)
    assert.is_nil(ollama.failure(403, {}, '{"error":"forbidden"}').key_refused)
  end)
end)

describe("embeddings of Ollama", function()
  it("are asked for whole, never of a text that was cut in silence", function()
    local request = ollama.embed_request({ "a", "b" }, changed(target, { model = "nomic-embed-text", flags = { num_ctx = 8192 } }), { dimensions = 256 })
    assert.equal("http://10.0.0.5:11434/api/embed", request.url)
    assert.same({ model = "nomic-embed-text", input = { "a", "b" }, truncate = false, dimensions = 256, options = { num_ctx = 8192 } }, json.decode(request.body))
    assert.is_nil(json.decode(ollama.embed_request({ "a" }, changed(target, { flags = { embedding_dimensions = false } }), { dimensions = 256 }).body).dimensions)
  end)

  it("come in the order of the texts, with their tokens", function()
    local found = ollama.embed_result(200, {}, json.encode{ model = "nomic-embed-text", embeddings = { { 1, 0.5 }, { -1, 0 } }, load_duration = 1, prompt_eval_count = 12 })
    assert.same({ { { 1, 0.5 }, { -1, 0 } }, 12, "nomic-embed-text" }, { found.vectors, found.usage.input, found.model })
  end)

  it("that are none are a failure", function()
    for _, body in ipairs{ "", "{}", '{"embeddings":[]}', '{"embeddings":[[]]}', '{"embeddings":[[1],[1,2]]}', '{"embeddings":[["x"]]}', '{"embeddings":[7]}', "<html>" } do
      local found, failed = ollama.embed_result(200, {}, body)
      assert.is_nil(found)
      assert.equal("protocol", failed.class)
    end
    assert.equal("not_found", select(2, ollama.embed_result(404, {}, '{"error":"model not found"}')).class)
    assert.equal("too_long", select(2, ollama.embed_result(400, {}, '{"error":"the input length exceeds the context length"}')).class)
  end)
end)
