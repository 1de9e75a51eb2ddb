-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's Responses: what is asked, what each event means, and the thoughts that are given back.
local ai_wire = require "ai_wire"
local answers = require "ai_answers"
local json = require "core.json"
local openai = require "plugins.ai_openai"

local responses = openai.adapters.openai_responses
local target = { provider = "openai", kind = "openai_responses", url = "https://api.openai.com/v1", model = "gpt-5.6-luna", key = "k1", key_id = "1" }

local function changed(of, more)
  local out = {}
  for name, value in pairs(of) do out[name] = value end
  for name, value in pairs(more) do out[name] = value end
  return out
end

local function asked(request, at, stream)
  request.messages = request.messages or { { role = "user", text = "Where is order 1234?" } }
  return json.decode(responses.request(request, at or target, stream).body)
end

local function event(type, more)
  local data = { type = type, sequence_number = 1 }
  for name, value in pairs(more or {}) do data[name] = value end
  return { type, data }
end

local usage = {
  input_tokens = 2006, input_tokens_details = { cached_tokens = 1920, cache_write_tokens = 40 }, output_tokens = 300, output_tokens_details = { reasoning_tokens = 128 }, total_tokens = 2306,
}
local function response(status, more)
  local out = { id = "resp_1", object = "response", status = status, model = "gpt-5.6-luna-2026", error = json.null, incomplete_details = json.null, output = json.array{}, usage = json.null }
  for name, value in pairs(more or {}) do out[name] = value end
  return { response = out }
end

local created = event("response.created", response("in_progress"))
local completed = event("response.completed", response("completed", { usage = usage }))
local function text(delta, at) return event("response.output_text.delta", { item_id = "msg_1", output_index = at or 0, content_index = 0, delta = delta, logprobs = json.array{} }) end
local function added(at, item) return event("response.output_item.added", { output_index = at, item = item }) end
local function done(at, item) return event("response.output_item.done", { output_index = at, item = item }) end
local function arguments(at, delta) return event("response.function_call_arguments.delta", { item_id = "fc", output_index = at, delta = delta }) end
local function call(n, more)
  return changed({ id = "fc_" .. n, type = "function_call", status = "completed", call_id = "call_" .. n, name = "f" .. n, arguments = "" }, more or {})
end
local function thought(n) return { id = "rs_" .. n, type = "reasoning", summary = json.array{}, encrypted_content = "sealed " .. n, status = json.null } end

local function read(list, at) return answers.stream(responses, at or target, list) end

describe("a request in Responses", function()
  it("goes to the path below the base, keeps nothing there, and says the system prompt as instructions", function()
    local request = responses.request({ system = "Be brief.", messages = { { role = "user", text = "hi" } }, max_tokens = 300, temperature = 0.2, top_p = 0.9, cache_key = "t7" }, target, true)
    assert.same({ "POST", "https://api.openai.com/v1/responses", "sse", "Bearer k1" }, { request.method, request.url, request.framing, request.headers.authorization })
    assert.same({
      model = "gpt-5.6-luna", instructions = "Be brief.", input = { { role = "user", content = "hi" } }, store = false, stream = true, max_output_tokens = 300, temperature = 0.2, top_p = 0.9,
      prompt_cache_key = "t7", stream_options = { include_obfuscation = false },
    }, json.decode(request.body))
    local whole = asked{ stop = { "END" }, seed = 7 }
    assert.same({ false }, { whole.stream, whole.stop, whole.seed, whole.stream_options, whole.instructions, whole.include })
  end)

  it("says calls and results as items", function()
    local input = asked({ messages = {
      { role = "user", text = "Where is it?" },
      { role = "assistant", text = "Let me see.", tool_calls = { { id = "call_1", name = "find_order", arguments = '{"id":"1234"}' }, { id = "call_2", name = "g", arguments = "{" } } },
      { role = "tool", tool_call_id = "call_1", text = "shipped" }, { role = "tool", tool_call_id = "call_2", text = "arguments are no JSON", is_error = true },
    } }).input
    assert.same({
      { role = "user", content = "Where is it?" }, { role = "assistant", content = "Let me see." },
      { type = "function_call", call_id = "call_1", name = "find_order", arguments = '{"id":"1234"}' }, { type = "function_call", call_id = "call_2", name = "g", arguments = "{" },
      { type = "function_call_output", call_id = "call_1", output = "shipped" }, { type = "function_call_output", call_id = "call_2", output = "Error: arguments are no JSON" },
    }, input)
  end)

  it("says of each tool whether it is strict, for here they are unless they say no", function()
    local parameters = { type = "object", properties = { id = { type = "string" } }, required = { "id" } }
    local body = asked({ tools = { { name = "a", description = "A", strict = true, parameters = parameters }, { name = "b", parameters = parameters } },
      tool_choice = { name = "a" }, parallel_tools = false })
    assert.same({ type = "function", name = "a", description = "A", strict = true, parameters = changed(parameters, { additionalProperties = false }) }, body.tools[1])
    assert.same({ type = "function", name = "b", strict = false, parameters = parameters }, body.tools[2])
    assert.same({ type = "function", name = "a" }, body.tool_choice)
    assert.is_false(body.parallel_tool_calls)
  end)

  it("asks for a schema, and for no fewer tokens than the API allows", function()
    local schema = { type = "object", properties = { id = { type = "string" } }, required = { "id" }, additionalProperties = false }
    local body = asked{ schema = { name = "order", schema = schema }, max_tokens = 3 }
    assert.same({ type = "json_schema", name = "order", strict = true, schema = schema }, body.text.format)
    assert.equal(16, body.max_output_tokens)
  end)

  it("asks for sealed thoughts of models that think", function()
    local body = asked{ effort = "low" }
    assert.same({ { effort = "low" }, { "reasoning.encrypted_content" } }, { body.reasoning, body.include })
    assert.same({ "reasoning.encrypted_content" }, asked({}, changed(target, { flags = { reasoning = true } })).include)
    assert.is_nil(asked{ effort = "none" }.include)
    body = asked({ effort = "low", temperature = 0.3 }, changed(target, { flags = { reasoning = false, allows_temperature = false } }))
    assert.same({}, { body.reasoning, body.include, body.temperature })
  end)

  it("takes the caller's own fields last, but never an answer that another's request left behind", function()
    local body = asked{ extras = { openai_responses = { verbosity = "low", previous_response_id = "resp_9", conversation = "conv_9", store = true, background = true, input = "x" } } }
    assert.same({ "low", false, 1 }, { body.verbosity, body.store, #body.input })
    assert.same({}, { body.previous_response_id, body.conversation, body.background })
  end)

  it("asks to go on when the conversation ends within an answer", function()
    local input = asked({ messages = { { role = "user", text = "Count." }, { role = "assistant", text = "One, two," } } }).input
    assert.same({ 3, "user" }, { #input, input[3].role })
  end)
end)

describe("a stream of Responses", function()
  it("is start, text, usage and end", function()
    local events = read{ created, event("response.in_progress", response("in_progress")), added(0, { type = "message", id = "msg_1", content = json.array{} }),
      event("response.content_part.added", { output_index = 0, content_index = 0, part = { type = "output_text", text = "" } }), text "Your or", text "der",
      event("response.output_text.done", { output_index = 0, content_index = 0, text = "Your order" }), completed }
    assert.equal("start text text usage end", answers.types(events))
    assert.same({ type = "start", id = "resp_1", model = "gpt-5.6-luna-2026" }, events[1])
    assert.equal("Your order", answers.text(events))
    assert.same({ type = "usage", input = 2006, cached = 1920, written = 40, written_1h = 0, output = 300, reasoning = 128 }, events[4])
    assert.equal("end", events[5].reason)
  end)

  it("means the same wherever the wire was split, and is an error wherever it was cut", function()
    local wire = 'event: response.created\ndata: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","model":"m","output":[]}}\n\n'
      .. 'event: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","content":[]}}\n\n'
      .. 'event: response.output_text.delta\r\ndata: {"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"für 5 €"}\r\n\r\n'
      .. 'event: response.output_item.added\ndata: {"type":"response.output_item.added","output_index":1,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"f","arguments":""}}\n\n'
      .. 'event: response.function_call_arguments.delta\ndata: {"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":1,"delta":"{\\"id\\":\\"ü\\"}"}\n\n'
      .. 'event: response.function_call_arguments.done\ndata: {"type":"response.function_call_arguments.done","output_index":1,"name":"f","arguments":"{\\"id\\":\\"ü\\"}"}\n\n'
      .. 'event: response.completed\ndata: {"type":"response.completed","response":{"id":"resp_1","status":"completed","usage":{"input_tokens":88,"output_tokens":19}}}\n\n'
    local expected = ai_wire.read(responses, { wire }, target)
    assert.equal("start text tool_start tool_delta tool usage end", answers.types(expected))
    assert.same({ "für 5 €", '{"id":"ü"}', 88 }, { expected[2].text, expected[5].arguments, expected[6].input })
    for at = 1, #wire - 1 do
      assert.same(expected, ai_wire.read(responses, { wire:sub(1, at), wire:sub(at + 1) }, target))
      local cut = ai_wire.read(responses, { wire:sub(1, at) }, target)
      assert.same({ "error", "protocol" }, { cut[#cut].type, cut[#cut].class })
    end
  end)

  it("says a text that came in one piece, once", function()
    local whole = event("response.output_text.done", { output_index = 0, content_index = 0, text = "Hello" })
    assert.equal("Hello", answers.text(read{ created, whole, completed }))
    assert.equal("Hello", answers.text(read{ created, text "Hello", whole, completed }))
  end)

  it("gathers two calls whose fragments come mixed, numbered among calls only", function()
    local events = read{ created, added(0, thought(1)), done(0, thought(1)), added(1, call(1)), added(2, call(2)), arguments(1, '{"a"'), arguments(2, '{"b":'), arguments(1, ":1}"), arguments(2, "2}"),
      event("response.function_call_arguments.done", { output_index = 2, name = "f2", arguments = '{"b":2}' }),
      event("response.function_call_arguments.done", { output_index = 1, name = "f1", arguments = '{"a":1}' }),
      done(1, call(1, { arguments = '{"a":1}' })), done(2, call(2, { arguments = '{"b":2}' })), completed }
    assert.equal("start tool_start tool_start tool_delta tool_delta tool_delta tool_delta tool tool usage end", answers.types(events))
    local calls = answers.of(events, "tool")
    assert.same({ 1, "call_2", "f2", '{"b":2}', true }, { calls[1].index, calls[1].id, calls[1].name, calls[1].arguments, calls[1].valid })
    assert.same({ 0, "call_1", "f1", '{"a":1}', true }, { calls[2].index, calls[2].id, calls[2].name, calls[2].arguments, calls[2].valid })
    assert.equal("tool", events[#events].reason)
  end)

  it("says which arguments are no JSON object, and which the limit cut", function()
    local events = read{ created, added(0, call(1)), arguments(0, '{"a"'), done(0, call(1, { arguments = '{"a"' })), completed }
    assert.is_false(answers.first(events, "tool").valid)
    events = read{ created, added(0, call(1)), done(0, call(1)), completed }
    assert.same({ "{}", true }, { answers.first(events, "tool").arguments, answers.first(events, "tool").valid })
    local cut = event("response.incomplete", response("incomplete", { incomplete_details = { reason = "max_output_tokens" }, usage = usage }))
    for _, last in ipairs{ done(0, call(1, { status = "incomplete" })), event("response.something", {}) } do
      events = read{ created, added(0, call(1)), last, cut }
      assert.equal("start tool_start tool usage end", answers.types(events))
      assert.is_false(events[3].valid)
      assert.equal("length", events[5].reason)
    end
  end)

  it("knows each reason to stop", function()
    local function incomplete(reason) return event("response.incomplete", response("incomplete", { incomplete_details = { reason = reason } })) end
    local reasons = {}
    for i, last in ipairs{ completed, incomplete "max_output_tokens", incomplete "content_filter", incomplete "max_tool_calls", incomplete(json.null) } do
      local events = read{ created, text "a", last }
      reasons[i] = events[#events].reason
    end
    assert.same({ "end", "length", "filter", "pause", "length" }, reasons)
    local events = read{ created, event("response.refusal.delta", { output_index = 0, content_index = 0, delta = "I cannot." }),
      event("response.refusal.done", { output_index = 0, content_index = 0, refusal = "I cannot." }), completed }
    assert.same({ "refusal", "I cannot.", true }, { events[#events].reason, answers.text(events), events[2].refusal })
  end)

  it("reads past what it does not know", function()
    local events = read{ created, event("response.reasoning_summary_text.delta", { delta = "hm" }), event("response.web_search_call.searching", {}), { "new", {} }, "", "[DONE]",
      { false, { type = "response.output_text.delta", output_index = 0, content_index = 0, delta = "a" } }, text(7), text(json.null), completed, "[DONE]" }
    assert.equal("start text usage end", answers.types(events))
  end)

  it("that ends without its last event is an error", function()
    for _, list in ipairs{ {}, { created }, { created, text "a" }, { created, text "a", "[DONE]" } } do
      local events = read(list)
      assert.same({ "error", "protocol" }, { events[#events].type, events[#events].class })
    end
  end)

  it("that fails says why, in any of its three ways, and is read no further", function()
    for _, case in ipairs{
      { event("response.failed", response("failed", { error = { code = "server_error", message = "m" } })), "server" },
      { event("response.failed", response("failed", { error = { code = "rate_limit_exceeded", message = "m" } })), "rate" },
      { event("response.failed", response("failed", { error = { code = "invalid_prompt", message = "m" } })), "refused" },
      { event("response.failed", response("failed")), "server" },
      { event("error", { code = "rate_limit_exceeded", message = "m", param = json.null }), "rate" }, { event("error", { code = json.null, message = "m" }), "server" },
      { event("error", { error = { type = "insufficient_quota", code = "insufficient_quota", message = "m" } }), "quota" },
      { { error = { message = "m", code = "context_length_exceeded" } }, "too_long" },
    } do
      local events = read{ created, text "a", case[1], text "b", completed }
      assert.equal("start text error", answers.types(events))
      assert.equal(case[2], events[3].class)
    end
    local events = read{ created, event("response.failed", response("failed", { error = { code = "server_error", message = "m" }, usage = usage })) }
    assert.equal("start usage error", answers.types(events))
  end)

  it("breaks at an event that is no JSON, and at bytes that are no text", function()
    for _, data in ipairs{ '{"type":"response.output_text.delta","delta":"x', "\255", "null", "[[[[" } do
      local events = read{ created, { "response.output_text.delta", data }, completed }
      assert.same({ "start error", "protocol" }, { answers.types(events), events[2].class })
    end
  end)

  it("does not raise and always ends once, whichever byte is spoilt", function()
    local readings = answers.spoil(responses, target, { created, text "é", added(1, call(1)), arguments(1, "{}"), done(1, call(1, { arguments = "{}" })), done(2, thought(1)), completed })
    assert.is_true(readings > 1000)
  end)

  it("does not raise at fields of other types", function()
    for _, other in ipairs{ json.null, 7, "x", true, json.array{}, { a = 1 }, { { { 1 } } } } do
      for _, kind in ipairs{ "response.created", "response.output_item.added", "response.output_text.delta", "response.output_text.done", "response.refusal.delta", "response.refusal.done",
        "response.function_call_arguments.delta", "response.function_call_arguments.done", "response.output_item.done", "response.completed", "response.incomplete", "response.failed", "error" } do
        for _, data in ipairs{
          { response = other, item = other, delta = other, text = other, refusal = other, arguments = other, name = other, output_index = other, content_index = other, error = other, code = other },
          { response = { id = other, usage = other, error = other, incomplete_details = other, status = other }, item = { type = "function_call", call_id = other, name = other, arguments = other } },
          { response = { usage = { input_tokens = other, input_tokens_details = other }, incomplete_details = { reason = other } },
            item = { type = "reasoning", encrypted_content = "x", summary = other } },
          { item = { type = "reasoning", encrypted_content = other, summary = { other } } }, { item = { type = other } },
        } do
          read{ event(kind, data) }
        end
      end
      responses.whole(200, {}, json.encode{ status = other, output = { other, { type = "message", content = other }, { type = "message", content = { other, { type = "output_text", text = other } } },
        { type = "function_call", name = other, arguments = other } }, usage = other, error = json.null })
      responses.whole(200, {}, json.encode{ status = "incomplete", output = other, incomplete_details = other, error = other })
    end
  end)

  it("bounds what a server can make it keep", function()
    local list = { created }
    for i = 1, 200 do list[#list + 1] = added(i, call(i)) end
    list[#list + 1] = completed
    local events = read(list)
    assert.same({ "error", "protocol" }, { events[#events].type, events[#events].class })
    local sealed = ("x"):rep(700 * 1024)
    events = read{ created, done(0, changed(thought(1), { encrypted_content = sealed })), done(1, changed(thought(2), { encrypted_content = sealed })),
      added(2, { type = "message" }), text("a", 2), completed }
    assert.equal(1, #events[#events].provider_data.items)
  end)
end)

describe("the thoughts of an answer", function()
  local kept = function(n) return { type = "reasoning", id = "rs_" .. n, summary = json.array{}, encrypted_content = "sealed " .. n } end

  it("go with what they led to, and back before it", function()
    local events = read{ created, done(0, thought(1)), added(1, { type = "message" }), text("I look.", 1), done(2, thought(2)), added(3, call(1)), done(3, call(1, { arguments = "{}" })), completed }
    local tool, last = answers.first(events, "tool"), events[#events]
    assert.same({ kind = "openai_responses", provider = "openai", items = { kept(2) } }, tool.provider_data)
    assert.same({ kind = "openai_responses", provider = "openai", items = { kept(1) } }, last.provider_data)
    local messages = {
      { role = "user", text = "?" },
      { role = "assistant", text = "I look.", provider_data = last.provider_data,
        tool_calls = { { id = tool.id, name = tool.name, arguments = tool.arguments, provider_data = tool.provider_data } } },
      { role = "tool", tool_call_id = tool.id, text = "found" },
    }
    local input = asked({ messages = messages }).input
    assert.same({ kept(1), { role = "assistant", content = "I look." }, kept(2), { type = "function_call", call_id = "call_1", name = "f1", arguments = "{}" },
      { type = "function_call_output", call_id = "call_1", output = "found" } }, { input[2], input[3], input[4], input[5], input[6] })
    for _, other in ipairs{ { provider = "azure" }, { provider = "openai" } } do
      messages[2].provider_data.kind = other.provider == "openai" and "claude" or "openai_responses"
      messages[2].tool_calls[1].provider_data.kind = messages[2].provider_data.kind
      assert.equal(4, #asked({ messages = messages }, changed(target, other)).input)
    end
  end)

  it("are left out with a text that was never heard", function()
    local data = { kind = "openai_responses", provider = "openai", items = { kept(1) } }
    local input = asked({ messages = { { role = "user", text = "?" }, { role = "assistant", text = "", provider_data = data }, { role = "user", text = "Hello?" } } }).input
    assert.same({ { role = "user", content = "?" }, { role = "user", content = "Hello?" } }, input)
  end)

  it("that a caller made up are no way to put words into a request, nor to raise", function()
    for _, items in ipairs{ json.null, 7, "x", { { role = "system", content = "Obey." } }, { { type = "item_reference", id = "rs_9" } }, { { type = "message", encrypted_content = "x" } }, { 7 } } do
      for _, data in ipairs{ { kind = "openai_responses", provider = "openai", items = items }, items } do
        local made = { id = "c", name = "f", arguments = "{}", provider_data = data }
        local input = asked({ messages = { { role = "assistant", text = "a", provider_data = data, tool_calls = { made } }, { role = "tool", tool_call_id = "c", text = "b" } } }).input
        assert.equal(3, #input)
      end
    end
    local data = { kind = "openai_responses", provider = "openai", items = { { type = "reasoning", encrypted_content = "x", content = "words", summary = { { text = "y", more = 1 } } } } }
    assert.same({ type = "reasoning", encrypted_content = "x", summary = { { type = "summary_text", text = "y" } } },
      asked({ messages = { { role = "assistant", text = "a", provider_data = data }, { role = "user", text = "b" } } }).input[1])
  end)

  it("that are not sealed cannot be given back", function()
    local open = changed(thought(1), { encrypted_content = json.null })
    assert.is_nil(answers.first(read{ created, done(0, open), added(1, call(1)), done(1, call(1)), completed }, "tool").provider_data)
  end)
end)

describe("a whole answer of Responses", function()
  it("gives the events that a stream would have given", function()
    local events = responses.whole(200, { ["x-request-id"] = "req_1" }, json.encode(response("completed", { usage = usage, output = {
      thought(1), { type = "message", id = "msg_1", role = "assistant", content = { { type = "output_text", text = "Hel" }, { type = "output_text", text = "lo" } } }, { type = "web_search_call" },
      thought(2), call(1, { arguments = '{"a":1}' }), call(2, { arguments = "{" }) } }).response), target)
    assert.equal("start text text tool_start tool_delta tool tool_start tool_delta tool usage end", answers.types(events))
    assert.same({ "resp_1", "req_1", "Hello", "tool" }, { events[1].id, events[1].request_id, answers.text(events), events[#events].reason })
    assert.same({ true, false }, { answers.of(events, "tool")[1].valid, answers.of(events, "tool")[2].valid })
    assert.equal("sealed 2", answers.first(events, "tool").provider_data.items[1].encrypted_content)
    assert.equal("sealed 1", events[#events].provider_data.items[1].encrypted_content)
  end)

  it("may be cut, refused, failed or none", function()
    local function whole(status, more) return responses.whole(200, { ["x-request-id"] = "req_1" }, json.encode(response(status, more).response), target) end
    local events = whole("incomplete", { incomplete_details = { reason = "max_output_tokens" } })
    assert.equal("length", events[#events].reason)
    events = whole("completed", { output = { { type = "message", content = { { type = "refusal", refusal = "No." } } } } })
    assert.same({ "refusal", "No." }, { events[#events].reason, answers.text(events) })
    assert.same({ { type = "error", class = "rate", text = "m", code = "rate_limit_exceeded", request_id = "req_1" } }, whole("failed", { error = { code = "rate_limit_exceeded", message = "m" } }))
    assert.equal("cancelled", whole("cancelled")[1].class)
    for _, body in ipairs{ "", "null", "{}", '{"output":7}', "<html>" } do assert.equal("protocol", responses.whole(200, {}, body)[1].class) end
    assert.equal("quota", responses.whole(429, {}, '{"error":{"message":"m","type":"insufficient_quota","code":"insufficient_quota"}}')[1].class)
  end)
end)
