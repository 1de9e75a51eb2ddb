-- SPDX-License-Identifier: Apache-2.0
require "stand_in"
local ai_wire = require "ai_wire"
local claude = require "plugins.ai_claude"
local json = require "core.json"

local NOW = 1795341600  -- 2026-11-22 10:00:00 UTC
local FIND_ORDER = {
  name = "find_order", description = "Look up one order", strict = true,
  parameters = { type = "object", properties = { id = { type = "string" } }, required = { "id" } },
}

local function target(flags)
  return { provider = "claude", kind = "claude", url = "https://claude.test", model = "claude-sonnet-5", key = "k", flags = flags }
end

local function asked(fields)
  local request = { messages = { { role = "user", text = "Where is order 1234?" } }, max_tokens = 400 }
  for name, value in pairs(fields or {}) do request[name] = value end
  return request
end

--- What the server gets.
local function body(fields, flags, stream)
  return assert(json.decode(claude.request(asked(fields), target(flags), stream).body))
end

local function sse(list)
  local lines = {}
  for _, event in ipairs(list) do lines[#lines + 1] = ("event: %s\ndata: %s\n\n"):format(event.type, json.encode(event)) end
  return table.concat(lines)
end

local function begun(usage)
  return { type = "message_start", message = {
    id = "msg_1", type = "message", role = "assistant", model = "claude-sonnet-5", content = json.array{}, stop_reason = json.null, stop_sequence = json.null,
    usage = usage or { input_tokens = 30, output_tokens = 1 },
  } }
end
local function open(index, block) return { type = "content_block_start", index = index, content_block = block } end
local function delta(index, kind, field, value) return { type = "content_block_delta", index = index, delta = { type = kind, [field] = value } } end
local function stop(index) return { type = "content_block_stop", index = index } end
local function ended(reason, usage, more)
  local change = { stop_reason = reason, stop_sequence = json.null }
  for name, value in pairs(more or {}) do change[name] = value end
  return { type = "message_delta", delta = change, usage = usage or { output_tokens = 24 } }
end
local OVER = { type = "message_stop" }

--- The events of a stream of these provider's events, from message_start to message_stop.
local function answer(inside, usage)
  local list = { begun(usage) }
  for _, event in ipairs(inside) do list[#list + 1] = event end
  list[#list + 1] = OVER
  return ai_wire.read(claude, { sse(list) })
end

local function failure(status, object, headers)
  return claude.failure(status, headers or {}, json.encode{ type = "error", error = object, request_id = "req_b" }, NOW)
end

describe("a request to Claude", function()
  it("goes to the Messages API with the key, the version and what streams", function()
    local whole = claude.request(asked(), target())
    assert.equal("https://claude.test/v1/messages", whole.url)
    assert.equal("POST", whole.method)
    assert.equal("json", whole.framing)
    assert.equal("k", whole.headers["x-api-key"])
    assert.equal("2023-06-01", whole.headers["anthropic-version"])
    local stream = claude.request(asked(), { model = "m", url = "http://gateway/claude/v1/", key = "k", flags = { auth = "bearer", beta = "a,b" } }, true)
    assert.equal("http://gateway/claude/v1/messages", stream.url)
    assert.equal("sse", stream.framing)
    assert.equal("Bearer k", stream.headers.authorization)
    assert.is_nil(stream.headers["x-api-key"])
    assert.equal("a,b", stream.headers["anthropic-beta"])
    assert.is_true(json.decode(stream.body).stream)
  end)

  it("has the system prompt at the top, the limit that the API needs, and stop texts", function()
    local sent = body{ system = "You answer calls.", stop = { "END" } }
    assert.same({ { type = "text", text = "You answer calls." } }, sent.system)
    assert.same({ "END" }, sent.stop_sequences)
    assert.equal(400, sent.max_tokens)
    assert.is_nil(sent.stream)
    assert.equal(4096, json.decode(claude.request({ messages = {} }, target()).body).max_tokens)
    assert.equal(900, json.decode(claude.request({ messages = {} }, target{ max_output_tokens = 900 }).body).max_tokens)
  end)

  it("gives the results of tools to the user's next message, before what the user says", function()
    local sent = body{ messages = {
      { role = "user", text = "Both" },
      { role = "assistant", text = "One moment.", tool_calls = { { id = "a", name = "find", arguments = '{"id":1}' }, { id = "b", name = "find", arguments = "" } } },
      { role = "tool", tool_call_id = "a", text = "here" }, { role = "tool", tool_call_id = "b", text = "no such", is_error = true },
      { role = "user", text = "And?" },
    } }
    assert.equal(3, #sent.messages)
    assert.same({
      { type = "text", text = "One moment." }, { type = "tool_use", id = "a", name = "find", input = { id = 1 } }, { type = "tool_use", id = "b", name = "find", input = {} },
    }, sent.messages[2].content)
    assert.same({ role = "user", content = {
      { type = "tool_result", tool_use_id = "a", content = "here" }, { type = "tool_result", tool_use_id = "b", content = "no such", is_error = true },
      { type = "text", text = "And?" },
    } }, sent.messages[3])
  end)

  it("leaves out messages without a word, and joins neighbours of one role", function()
    local sent = body{ messages = { { role = "user", text = "a" }, { role = "assistant", text = "" }, { role = "user", text = "b" } } }
    assert.same({ { role = "user", content = { { type = "text", text = "a" }, { type = "text", text = "b" } } } }, sent.messages)
  end)

  it("writes no arguments that are not an object", function()
    for _, arguments in ipairs{ "[1]", "7", "{", '"x"', "null" } do
      local sent = claude.request(asked{ messages = { { role = "assistant", tool_calls = { { id = "a", name = "f", arguments = arguments } } },
        { role = "tool", tool_call_id = "a", text = "x" } } }, target()).body
      assert.truthy(sent:find('"input":{}', 1, true))
    end
  end)

  it("ends with the model's own words only where the model goes on from them", function()
    local cut = { messages = { { role = "user", text = "Count" }, { role = "assistant", text = "1 2 3 " } } }
    local goes_on = body(cut)
    assert.same({ role = "assistant", content = { { type = "text", text = "1 2 3" } } }, goes_on.messages[2])
    local asks = body(cut, { allows_prefill = false })
    assert.equal("user", asks.messages[3].role)
    assert.truthy(asks.messages[3].content[1].text:find("Go on", 1, true))
    assert.equal("1 2 3 ", asks.messages[2].content[1].text)
  end)

  it("offers tools, strict where the model has it, one at a time when asked", function()
    local sent = body{ tools = { FIND_ORDER, { name = "hang_up" } }, tool_choice = "auto", parallel_tools = false }
    assert.same({
      name = "find_order", description = "Look up one order", strict = true,
      input_schema = { type = "object", properties = { id = { type = "string" } }, required = { "id" }, additionalProperties = false },
    }, sent.tools[1])
    assert.same({ name = "hang_up", input_schema = { type = "object", properties = {} } }, sent.tools[2])
    assert.same({ type = "auto", disable_parallel_tool_use = true }, sent.tool_choice)
    assert.is_nil(body({ tools = { FIND_ORDER } }, { supports_strict_tools = false }).tools[1].strict)
    assert.same({ type = "any" }, body{ tools = { FIND_ORDER }, tool_choice = "required" }.tool_choice)
    assert.same({ type = "none" }, body{ tools = { FIND_ORDER }, tool_choice = "none", parallel_tools = false }.tool_choice)
    assert.same({ type = "tool", name = "find_order" }, body{ tools = { FIND_ORDER }, tool_choice = { name = "find_order" } }.tool_choice)
    assert.is_nil(body{ tools = {}, tool_choice = "auto" }.tool_choice)
  end)

  it("does not make a tool strict whose objects have names of the caller's choosing", function()
    for _, inner in ipairs{
      { type = "object" }, { type = "object", additionalProperties = { type = "string" } }, { type = "array", items = { type = "object", additionalProperties = true } },
      { oneOf = { { type = "string" }, { type = "object" } } },
    } do
      local parameters = { type = "object", properties = { filter = inner } }
      local tool = body{ tools = { { name = "f", strict = true, parameters = parameters } } }.tools[1]
      assert.is_nil(tool.strict)
      assert.same(parameters, tool.input_schema)
    end
  end)

  it("asks for a schema, made closed, or in words where the model knows none", function()
    local schema = { name = "order", schema = { type = "object", properties = {
      n = { type = "integer", minimum = 1, maximum = 9, description = "how many" }, tags = { type = "array", items = { type = "object" }, maxItems = 3 },
      who = { oneOf = { { type = "string", format = "email" }, { type = "string", format = "phone" } } },
    } } }
    local sent = body{ schema = schema }
    assert.same({ type = "json_schema", schema = { type = "object", additionalProperties = false, properties = {
      n = { type = "integer", description = "how many\n\n{maximum: 9, minimum: 1}" },
      tags = { type = "array", items = { type = "object", additionalProperties = false }, description = "{maxItems: 3}" },
      who = { anyOf = { { type = "string", format = "email" }, { type = "string", description = '{format: "phone"}' } } },
    } } }, sent.output_config.format)
    assert.equal(1, schema.schema.properties.n.minimum)
    local words = body({ schema = schema, system = "Be brief." }, { supports_json_schema = false })
    assert.is_nil(words.output_config)
    assert.truthy(words.system[1].text:find('^Be brief%.\n\nAnswer with nothing but JSON'))
  end)

  it("leaves out what the model would refuse", function()
    assert.equal(0.5, body{ temperature = 0.5 }.temperature)
    assert.equal(1, body{ temperature = 1.7 }.temperature)
    assert.equal(0.9, body{ top_p = 0.9 }.top_p)
    assert.is_nil(body{ temperature = 0.5, top_p = 0.9 }.top_p)
    local newer = body({ temperature = 0.5, top_p = 0.9, seed = 7 }, { allows_temperature = false })
    assert.is_nil(newer.temperature)
    assert.is_nil(newer.top_p)
    assert.is_nil(newer.seed)
    assert.is_nil(body({ temperature = 0.5, effort = "low" }, { thinking_mode = "adaptive" }).temperature)
  end)

  it("asks for effort in the way of the model", function()
    local adaptive = body({ effort = "high" }, { thinking_mode = "adaptive" })
    assert.same({ type = "adaptive" }, adaptive.thinking)
    assert.equal("high", adaptive.output_config.effort)
    assert.equal("low", body({ effort = "minimal" }, { thinking_mode = "adaptive" }).output_config.effort)
    assert.same({ type = "disabled" }, body({ effort = "none" }, { thinking_mode = "adaptive" }).thinking)
    assert.same({ type = "enabled", budget_tokens = 2048 }, body({ effort = "low", max_tokens = 9000 }, { thinking_mode = "budget" }).thinking)
    assert.same({ type = "enabled", budget_tokens = 4500 }, body({ effort = "high", max_tokens = 9000 }, { thinking_mode = "budget" }).thinking)
    assert.is_nil(body({ effort = "high", max_tokens = 400 }, { thinking_mode = "budget" }).thinking)
    assert.is_nil(body{ effort = "high" }.thinking)
    assert.is_nil(body{ effort = "high" }.output_config)
    local forced = { effort = "high", max_tokens = 9000, tools = { FIND_ORDER }, tool_choice = "required" }
    assert.is_nil(body(forced, { thinking_mode = "budget" }).thinking)
    assert.same({ type = "disabled" }, body(forced, { thinking_mode = "adaptive" }).thinking)
  end)

  it("marks where the prompt cache may end: tools, system and conversation", function()
    local tools = { FIND_ORDER, { name = "hang_up" } }
    local sent = body({ prompt_cache = true, system = "s", tools = tools }, { cache_ttl = "1h" })
    local mark = { type = "ephemeral", ttl = "1h" }
    assert.is_nil(sent.tools[1].cache_control)
    assert.same(mark, sent.tools[2].cache_control)
    assert.same(mark, sent.system[1].cache_control)
    assert.same(mark, sent.messages[1].content[1].cache_control)
    assert.is_nil(body{ system = "s" }.system[1].cache_control)
    assert.same({ type = "ephemeral" }, body{ prompt_cache = true }.messages[1].content[1].cache_control)
  end)

  it("is the same text each time, so that the cache finds it", function()
    local fields = { prompt_cache = true, system = "s", tools = { FIND_ORDER }, schema = { schema = { type = "string", minLength = 1, maxLength = 9, pattern = "a" } } }
    local first = claude.request(asked(fields), target()).body
    for _ = 1, 20 do assert.equal(first, claude.request(asked(fields), target()).body) end
  end)

  it("takes the caller's own fields last, but not what was guarded or priced, and not how it is read", function()
    local own = { metadata = { user_id = "u" }, output_config = { format = json.null }, model = "dearer", stream = true, max_tokens = 999999, top_k = 3,
      messages = json.array{}, system = "Tell all.", container = "another's" }
    local sent = body({ extras = { claude = own, gemini = { labels = {} } }, effort = "low" }, { thinking_mode = "adaptive" })
    assert.same({ user_id = "u" }, sent.metadata)
    assert.equal("low", sent.output_config.effort)
    assert.equal(json.null, sent.output_config.format)
    assert.equal(3, sent.top_k)
    assert.equal("claude-sonnet-5", sent.model)
    assert.equal(400, sent.max_tokens)
    assert.is_nil(sent.stream)
    assert.is_nil(sent.labels)
    assert.equal(1, #sent.messages)
    assert.is_nil(sent.system)
    assert.is_nil(sent.container)
    assert.equal("dearer", own.model)
  end)
end)

describe("a stream from Claude", function()
  it("is text, usage and an end", function()
    local events = answer{
      { type = "ping" }, open(0, { type = "text", text = "" }), delta(0, "text_delta", "text", "Grüß "), delta(0, "text_delta", "text", "Gott"), stop(0), ended("end_turn"),
    }
    assert.same({
      { type = "start", id = "msg_1", model = "claude-sonnet-5" },
      { type = "usage", input = 30, cached = 0, written = 0, written_1h = 0, output = 1, reasoning = 0 },
      { type = "text", text = "Grüß " }, { type = "text", text = "Gott" },
      { type = "usage", input = 30, cached = 0, written = 0, written_1h = 0, output = 24, reasoning = 0 },
      { type = "end", reason = "end", detail = "end_turn" },
    }, events)
  end)

  it("means the same wherever its bytes are cut", function()
    local wire = ": hello\r\n" .. sse{
      begun(), { type = "ping" }, open(0, { type = "text", text = "" }), delta(0, "text_delta", "text", "für 5 €: 🙂"), stop(0),
      open(1, { type = "tool_use", id = "toolu_1", name = "find_order", input = {} }), delta(1, "input_json_delta", "partial_json", ""),
      delta(1, "input_json_delta", "partial_json", '{"id": "1ü'), delta(1, "input_json_delta", "partial_json", '34"}'), stop(1), ended("tool_use"), OVER,
    }:gsub("\n\n", "  \r\n\r\n")
    local expected = ai_wire.read(claude, { wire })
    assert.equal("für 5 €: 🙂", ai_wire.text(expected))
    assert.same({ type = "tool", index = 0, id = "toolu_1", name = "find_order", arguments = '{"id": "1ü34"}', valid = true }, ai_wire.of_type(expected, "tool")[1])
    assert.equal("tool", ai_wire.last(expected).reason)
    for i = 1, #wire - 1 do assert.same(expected, ai_wire.read(claude, { wire:sub(1, i), wire:sub(i + 1) })) end
    local bytes = {}
    for i = 1, #wire do bytes[i] = wire:sub(i, i) end
    assert.same(expected, ai_wire.read(claude, bytes))
  end)

  it("has parallel calls, mixed, and calls without arguments", function()
    local events = answer{
      open(0, { type = "tool_use", id = "a", name = "f", input = {} }), open(1, { type = "tool_use", id = "b", name = "g", input = {} }),
      delta(1, "input_json_delta", "partial_json", '{"x"'), delta(0, "input_json_delta", "partial_json", ""), delta(1, "input_json_delta", "partial_json", ":1}"),
      stop(0), stop(1), ended("tool_use"),
    }
    local tools = ai_wire.of_type(events, "tool")
    assert.same({ type = "tool", index = 0, id = "a", name = "f", arguments = "{}", valid = true }, tools[1])
    assert.same({ type = "tool", index = 1, id = "b", name = "g", arguments = '{"x":1}', valid = true }, tools[2])
    assert.same({ { type = "tool_delta", index = 1, json = '{"x"' }, { type = "tool_delta", index = 1, json = ":1}" } }, ai_wire.of_type(events, "tool_delta"))
  end)

  it("does not take arguments for whole that the limit cut, even when they can be read", function()
    for _, piece in ipairs{ '{"id": "12', "", "{}" } do
      local events = answer{ open(0, { type = "tool_use", id = "a", name = "f", input = {} }), delta(0, "input_json_delta", "partial_json", piece), ended("max_tokens") }
      assert.is_false(ai_wire.of_type(events, "tool")[1].valid)
      assert.equal("length", ai_wire.last(events).reason)
    end
  end)

  it("says of arguments that are no object that they are none", function()
    for _, piece in ipairs{ "[1]", "7", '{"a":', "null", '{"a":1} x' } do
      local events = answer{ open(0, { type = "tool_use", id = "a", name = "f", input = {} }), delta(0, "input_json_delta", "partial_json", piece), stop(0), ended("tool_use") }
      local tool = ai_wire.of_type(events, "tool")[1]
      assert.is_false(tool.valid)
      assert.equal(piece, tool.arguments)
    end
  end)

  it("ends for each of the reasons there are, and for those there will be", function()
    for said, reason in pairs{
      end_turn = "end", max_tokens = "length", model_context_window_exceeded = "length", stop_sequence = "stop", tool_use = "tool", pause_turn = "pause",
      refusal = "refusal", something_new = "end",
    } do
      local last = ai_wire.last(answer{ ended(said) })
      assert.equal("end", last.type)
      assert.equal(reason, last.reason)
      assert.equal(said, last.detail)
    end
  end)

  it("may be a refusal, with a block of no text and the why", function()
    local details = { type = "refusal", category = "cyber", explanation = "That would help an attack." }
    local events = answer{ open(0, { type = "text", text = "" }), stop(0), ended("refusal", nil, { stop_details = details }) }
    assert.equal("", ai_wire.text(events))
    assert.same({ type = "end", reason = "refusal", text = "That would help an attack.", detail = "cyber" }, ai_wire.last(events))
  end)

  it("counts what the cache gave and took to the input, and says the input at once", function()
    local usage = {
      input_tokens = 21, cache_read_input_tokens = 1880, cache_creation_input_tokens = 300,
      cache_creation = { ephemeral_5m_input_tokens = 100, ephemeral_1h_input_tokens = 200 }, output_tokens = 1,
    }
    local events = answer({ ended("end_turn", { output_tokens = 57, output_tokens_details = { thinking_tokens = 40 } }) }, usage)
    assert.same({ type = "usage", input = 2201, cached = 1880, written = 100, written_1h = 200, output = 1, reasoning = 0 }, events[2])
    assert.same({ type = "usage", input = 2201, cached = 1880, written = 100, written_1h = 200, output = 57, reasoning = 40 }, ai_wire.usage(events))
  end)

  it("counts cumulatively: the last word on each count holds", function()
    local events = answer({ ended("end_turn", { output_tokens = 9, input_tokens = 50, cache_read_input_tokens = json.null }), ended("end_turn", { output_tokens = 11 }) },
      { input_tokens = 30, cache_read_input_tokens = 5, output_tokens = 1 })
    assert.same({ type = "usage", input = 55, cached = 5, written = 0, written_1h = 0, output = 11, reasoning = 0 }, ai_wire.usage(events))
  end)

  it("cannot make a cost out of counts that are none", function()
    local events = answer({ ended("end_turn", { output_tokens = -5, output_tokens_details = "x" }) },
      { input_tokens = "30", cache_read_input_tokens = -1, cache_creation = 7, cache_creation_input_tokens = json.null, output_tokens = 2.5 })
    assert.same({ type = "usage", input = 0, cached = 0, written = 0, written_1h = 0, output = 2, reasoning = 0 }, ai_wire.usage(events))
  end)

  it("gives thoughts back with their signatures and in their places, once the message is sent again", function()
    local events = answer{
      open(0, { type = "thinking", thinking = "", signature = "" }), delta(0, "thinking_delta", "thinking", "Let me "), delta(0, "thinking_delta", "thinking", "see"),
      delta(0, "signature_delta", "signature", "c2ln"), stop(0), open(1, { type = "redacted_thinking", data = "xyz" }), stop(1),
      open(2, { type = "text", text = "" }), delta(2, "text_delta", "text", "Looking."), stop(2),
      open(3, { type = "tool_use", id = "a", name = "f", input = {} }), delta(3, "input_json_delta", "partial_json", '{"x":1}'), stop(3), ended("tool_use"),
    }
    assert.equal("Looking.", ai_wire.text(events))
    local data = ai_wire.last(events).provider_data
    local message = { role = "assistant", text = "Looking.", tool_calls = { { id = "a", name = "f", arguments = '{"x":1}' } }, provider_data = data }
    local result = { role = "tool", tool_call_id = "a", text = "r" }
    assert.same({
      { type = "thinking", thinking = "Let me see", signature = "c2ln" }, { type = "redacted_thinking", data = "xyz" }, { type = "text", text = "Looking." },
      { type = "tool_use", id = "a", name = "f", input = { x = 1 } },
    }, body{ messages = { { role = "user", text = "q" }, message, result } }.messages[2].content)

    message.text = "Look"  -- what the caller heard of it
    assert.same({ { type = "text", text = "Look" }, { type = "tool_use", id = "a", name = "f", input = { x = 1 } } },
      body{ messages = { { role = "user", text = "q" }, message, result } }.messages[2].content)
    message.text, message.provider_data = "Looking.", { kind = "gemini", content = data.content }
    assert.equal(2, #body{ messages = { { role = "user", text = "q" }, message, result } }.messages[2].content)
  end)

  it("does not raise for what a caller gives in place of it", function()
    for _, data in ipairs{ "x", {}, { kind = "claude" }, { kind = "claude", content = { 7 } }, { kind = "claude", content = { { type = "text", text = {} } } } } do
      local sent = body{ messages = { { role = "user", text = "q" }, { role = "assistant", text = "hi", provider_data = data }, { role = "user", text = "r" } } }
      assert.same({ { type = "text", text = "hi" } }, sent.messages[2].content)
    end
  end)

  it("keeps nothing to give back when text and calls say it all", function()
    assert.is_nil(ai_wire.last(answer{ open(0, { type = "text", text = "hi" }), stop(0), ended("end_turn") }).provider_data)
  end)

  it("does not give back a thought that the limit cut, for it has no signature", function()
    local events = answer{ open(0, { type = "thinking", thinking = "", signature = "" }), delta(0, "thinking_delta", "thinking", "Hm"), ended("max_tokens") }
    assert.same({}, ai_wire.last(events).provider_data.content)
  end)

  it("pauses in the provider's own tools, and the turn goes back as it was", function()
    local events = answer{
      open(0, { type = "text", text = "" }), delta(0, "text_delta", "text", "Searching "), stop(0),
      open(1, { type = "server_tool_use", id = "srv", name = "web_search", input = {} }), delta(1, "input_json_delta", "partial_json", '{"query":"x"}'), stop(1),
      ended("pause_turn"),
    }
    assert.same({}, ai_wire.of_type(events, "tool"))
    local last = ai_wire.last(events)
    assert.equal("pause", last.reason)
    local sent = body({ messages = { { role = "user", text = "q" }, { role = "assistant", text = "Searching ", provider_data = last.provider_data } } }, { allows_prefill = false })
    assert.equal(2, #sent.messages)
    assert.same({ { type = "text", text = "Searching " }, { type = "server_tool_use", id = "srv", name = "web_search", input = { query = "x" } } }, sent.messages[2].content)
  end)

  it("passes over events, deltas and blocks that it does not know", function()
    local events = answer{
      { type = "weather", sun = true }, open(0, { type = "hologram", beam = 1 }), delta(0, "beam_delta", "beam", 2), stop(0),
      open(1, { type = "text", text = "" }), delta(1, "mood_delta", "mood", "good"), delta(1, "text_delta", "text", "hi"), stop(1), ended("end_turn"),
    }
    assert.equal("hi", ai_wire.text(events))
    assert.equal("end", ai_wire.last(events).reason)
  end)

  it("is broken off when it stops before message_stop, whatever came", function()
    local list = { begun(), open(0, { type = "text", text = "" }), delta(0, "text_delta", "text", "hi"), stop(0), ended("end_turn") }
    for n = 0, #list do
      local part = {}
      for i = 1, n do part[i] = list[i] end
      local last = ai_wire.last(ai_wire.read(claude, { sse(part) }))
      assert.equal("error", last.type)
      assert.equal("protocol", last.class)
    end
    assert.equal("protocol", ai_wire.last(ai_wire.read(claude, { sse{ begun(), OVER } })).class)
  end)

  it("may end in an error after it began well", function()
    for kind, class in pairs{ overloaded_error = "overload", api_error = "server", rate_limit_error = "rate", timeout_error = "server", new_error = "server" } do
      local wire = sse{ begun(), open(0, { type = "text", text = "half" }), { type = "error", error = { type = kind, message = "Overloaded" }, request_id = "req_9" } }
      local events = ai_wire.read(claude, { wire .. sse{ OVER } })
      assert.same({ type = "error", class = class, text = "Overloaded", code = kind, request_id = "req_9" }, ai_wire.last(events))
      assert.equal(1, #ai_wire.of_type(events, "error"))
    end
  end)

  it("is an error of protocol at the first bytes that make no sense, and nothing after them counts", function()
    for _, data in ipairs{
      "{", '"text"', "7", "null", '{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"\255\254"}}', ("["):rep(5000),
      '{"type":"content_block_delta","index":9,"delta":{}}', '{"type":"content_block_start","index":-1,"content_block":{}}',
      '{"type":"content_block_start","index":0}', '{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":7,"name":"f"}}',
    } do
      local events = ai_wire.read(claude, { sse{ begun(), open(0, { type = "text", text = "" }) }:gsub("index\":0", "index\":3"), "data: " .. data .. "\n\n", sse{ ended("end_turn"), OVER } })
      assert.equal("protocol", ai_wire.last(events).class)
      assert.equal(1, #ai_wire.of_type(events, "error"))
    end
  end)

  it("does not raise, whatever stands where", function()
    local odd = { json.null, 7, "x", true, {}, json.array{}, { { 1 } } }
    for _, name in ipairs{ "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop", "error", "ping" } do
      for _, value in ipairs(odd) do
        for _, field in ipairs{ "type", "message", "index", "content_block", "delta", "usage", "error", "request_id" } do
          local reader = claude.reader(target())
          reader:feed("message_start", json.encode(begun()))
          reader:feed("content_block_start", json.encode(open(0, { type = "thinking" })))
          reader:feed(name, json.encode{ type = name, index = 0, [field] = value })
          assert.is_true(#reader:finish() <= 1)
        end
      end
    end
  end)

  it("that never ends is ended", function()
    local reader = claude.reader(target())
    reader:feed("message_start", json.encode(begun()))
    reader:feed("content_block_start", json.encode(open(0, { type = "text", text = "" })))
    local data, events = json.encode(delta(0, "text_delta", "text", ("x"):rep(2 ^ 20))), nil
    for _ = 1, 20 do
      events = reader:feed("content_block_delta", data)
      if events[1] and events[1].type == "error" then break end
    end
    assert.equal("protocol", events[1].class)
    assert.same({}, reader:feed("content_block_delta", data))
  end)
end)

describe("a whole answer from Claude", function()
  local function whole(message, headers)
    return claude.whole(200, headers or { ["request-id"] = "req_1" }, type(message) == "string" and message or json.encode(message))
  end
  local MESSAGE = {
    id = "msg_1", type = "message", role = "assistant", model = "m", stop_reason = "tool_use", stop_sequence = json.null, stop_details = json.null,
    content = { { type = "thinking", thinking = "Hm", signature = "s" }, { type = "text", text = "Let me look." },
      { type = "tool_use", id = "toolu_1", name = "find_order", input = { id = "1234" } }, { type = "tool_use", id = "toolu_2", name = "hang_up", input = {} } },
    usage = { input_tokens = 21, cache_creation_input_tokens = 0, cache_read_input_tokens = 1880, output_tokens = 57, output_tokens_details = { thinking_tokens = 9 } },
  }

  it("is the same events as a stream's", function()
    local events = whole(MESSAGE)
    local last = table.remove(events)
    assert.same({
      { type = "start", id = "msg_1", model = "m", request_id = "req_1" }, { type = "text", text = "Let me look." },
      { type = "tool_start", index = 0, id = "toolu_1", name = "find_order" }, { type = "tool_delta", index = 0, json = '{"id":"1234"}' },
      { type = "tool_start", index = 1, id = "toolu_2", name = "hang_up" }, { type = "tool_delta", index = 1, json = "{}" },
      { type = "tool", index = 0, id = "toolu_1", name = "find_order", arguments = '{"id":"1234"}', valid = true },
      { type = "tool", index = 1, id = "toolu_2", name = "hang_up", arguments = "{}", valid = true },
      { type = "usage", input = 1901, cached = 1880, written = 0, written_1h = 0, output = 57, reasoning = 9 },
    }, events)
    assert.equal("tool", last.reason)
    assert.same(MESSAGE.content[1], last.provider_data.content[1])
  end)

  it("may have nothing to say", function()
    local events = whole{ type = "message", id = "m", content = json.array{}, stop_reason = "end_turn", usage = {} }
    assert.equal("", ai_wire.text(events))
    assert.equal("end", ai_wire.last(events).reason)
  end)

  it("is an error when it is none", function()
    for _, text in ipairs{ "", "{", "[]", "<html>", "null", '{"content":7}', '{"type":"message","content":[]}', '{"type":"message","content":[7],"stop_reason":"end_turn"}',
      '{"type":"message","content":[{"type":"tool_use"}],"stop_reason":"end_turn"}' } do
      assert.equal("protocol", ai_wire.last(whole(text)).class)
      assert.equal("req_1", ai_wire.last(whole(text)).request_id)
    end
    assert.equal("overload", ai_wire.last(whole{ type = "error", error = { type = "overloaded_error", message = "x" } }).class)
    local refused = claude.whole(529, {}, json.encode{ type = "error", error = { type = "overloaded_error", message = "Overloaded" }, request_id = "req_2" })
    assert.equal(1, #refused)
    assert.equal("error", refused[1].type)
    assert.equal("overload", refused[1].class)
    assert.equal("req_2", refused[1].request_id)
  end)
end)

describe("a refusal by Claude", function()
  it("has the class of its status, whatever the body", function()
    for status, class in pairs{
      [400] = "bad_request", [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [405] = "bad_request", [408] = "timeout", [409] = "timeout",
      [413] = "too_long", [422] = "bad_request", [429] = "rate", [500] = "server", [502] = "server", [503] = "overload", [504] = "server", [529] = "overload",
      [301] = "protocol", [599] = "server",
    } do
      for _, text in ipairs{ "", "<html>502 Bad Gateway</html>", "{", "null", "[]", '{"error":7}', '{"error":"text"}', "\255\254" } do
        local found = claude.failure(status, {}, text, NOW)
        assert.equal(class, found.class)
        assert.equal(("the provider answered with status %d"):format(status), found.text)
      end
    end
  end)

  it("says that the key is no good only where it is, not with any 403", function()
    local function refused(status, kind) return claude.failure(status, {}, json.encode{ type = "error", error = { type = kind, message = "m" } }, NOW).key_refused end
    assert.is_true(refused(401, "authentication_error"))
    assert.is_nil(refused(403, "permission_error"))
    assert.is_nil(claude.failure(403, {}, "<html>forbidden</html>", NOW).key_refused)
    assert.is_nil(refused(400, "invalid_request_error"))
  end)

  it("tells a prompt too long, spent money and a filter apart from mistakes", function()
    for text, class in pairs{
      ["prompt is too long: 210000 tokens > 200000 maximum"] = "too_long",
      ["input length and `max_tokens` exceed context limit: 199000 + 9000 > 200000"] = "too_long",
      ["Your credit balance is too low to access the API."] = "quota",
      ["You have reached your specified API usage limits."] = "quota",
      ["Output blocked by content filtering policy"] = "refused",
      ["`temperature` is deprecated for this model."] = "bad_request",
    } do assert.equal(class, failure(400, { type = "invalid_request_error", message = text }).class) end
  end)

  it("is no matter of waiting when the month's limit is spent", function()
    local spent = failure(429, { type = "rate_limit_error", message = "Slow down", details = { error_code = "enforced_spend_limit_reached" } })
    assert.equal("quota", spent.class)
    assert.equal("enforced_spend_limit_reached", spent.code)
    assert.is_nil(spent.retry_after_s)
  end)

  it("says when to come back, whether at all, and by which id it is known", function()
    local found = failure(429, { type = "rate_limit_error", message = "Slow\ndown" }, { ["retry-after"] = "7", ["x-should-retry"] = "true", ["request-id"] = "req_h" })
    assert.same({
      class = "rate", status = 429, code = "rate_limit_error", text = "Slow down", request_id = "req_h", retry_after_s = 7, should_retry = true,
    }, found)
    assert.equal(60, failure(529, {}, { ["Retry-After"] = "Sun, 22 Nov 2026 10:01:00 GMT" }).retry_after_s)
    assert.equal(0.5, failure(529, {}, { ["retry-after-ms"] = "500" }).retry_after_s)
    assert.is_false(failure(500, {}, { ["x-should-retry"] = "false" }).should_retry)
    assert.equal("req_b", failure(500, {}).request_id)
  end)

  it("keeps its text short and in one line", function()
    local found = failure(400, { message = ("ü"):rep(5000) .. "\n" })
    assert.is_true(#found.text <= 500)
    assert.is_true(#failure(400, {}, { ["request-id"] = ("x"):rep(5000) }).request_id <= 200)
  end)
end)
