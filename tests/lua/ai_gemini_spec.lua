-- SPDX-License-Identifier: Apache-2.0
require "stand_in"
local ai_wire = require "ai_wire"
local gemini = require "plugins.ai_gemini"
local json = require "core.json"

local NOW = 1795341600  -- 2026-11-22 10:00:00 UTC
local FIND_ORDER = {
  name = "find_order", description = "Look up one order", strict = true,
  parameters = { type = "object", properties = { id = { type = "string" } }, required = { "id" }, additionalProperties = false },
}

local function target(flags)
  return { provider = "gemini", kind = "gemini", url = "https://gemini.test", model = "gemini-3.8-flash", key = "k", flags = flags }
end

local function asked(fields)
  local request = { messages = { { role = "user", text = "Where is order 1234?" } }, max_tokens = 300 }
  for name, value in pairs(fields or {}) do request[name] = value end
  return request
end

--- What the server gets.
local function body(fields, flags)
  return assert(json.decode(gemini.request(asked(fields), target(flags)).body))
end

local function chunk(parts, reason, usage)
  return {
    candidates = { { index = 0, content = { role = "model", parts = parts }, finishReason = reason } }, responseId = "r1", modelVersion = "gemini-3.8-flash",
    usageMetadata = usage or { promptTokenCount = 95, candidatesTokenCount = 12, totalTokenCount = 107 },
  }
end

local function sse(chunks)
  local lines = {}
  for _, one in ipairs(chunks) do lines[#lines + 1] = "data: " .. json.encode(one) .. "\r\n\r\n" end
  return table.concat(lines)
end

local function answer(chunks)
  return ai_wire.read(gemini, { sse(chunks) })
end

local function failure(code, status, message, details, headers)
  return gemini.failure(code, headers or {}, json.encode{ error = { code = code, status = status, message = message, details = details } }, NOW)
end

local function google(kind, more)
  more["@type"] = "type.googleapis.com/google.rpc." .. kind
  return more
end

describe("a request to Gemini", function()
  it("goes to the model's own path with the key, and asks for server-sent events when it streams", function()
    local whole = gemini.request(asked(), target())
    assert.equal("https://gemini.test/v1beta/models/gemini-3.8-flash:generateContent", whole.url)
    assert.equal("k", whole.headers["x-goog-api-key"])
    assert.equal("json", whole.framing)
    local stream = gemini.request(asked(), { model = "models/m", url = "http://gateway/g/v1beta/", key = "k" }, true)
    assert.equal("http://gateway/g/v1beta/models/m:streamGenerateContent?alt=sse", stream.url)
    assert.equal("sse", stream.framing)
  end)

  it("goes nowhere else for any name of a model", function()
    local url = gemini.request(asked(), { model = "../../evil?x=1#y\n:z", url = "https://gemini.test" }).url
    assert.equal("https://gemini.test/v1beta/models/..%2F..%2Fevil%3Fx%3D1%23y%0A%3Az:generateContent", url)
  end)

  it("has system prompt, limits, sampling, seed and stop texts where they belong", function()
    local sent = body{ system = "You answer calls.", temperature = 0.4, top_p = 0.9, seed = 7, stop = { "END" } }
    assert.same({ parts = { { text = "You answer calls." } } }, sent.systemInstruction)
    assert.same({ maxOutputTokens = 300, temperature = 0.4, topP = 0.9, seed = 7, stopSequences = { "END" } }, sent.generationConfig)
    assert.same({ { role = "user", parts = { { text = "Where is order 1234?" } } } }, sent.contents)
    assert.same({ maxOutputTokens = 300 }, body({ temperature = 0.4, top_p = 0.9 }, { allows_temperature = false }).generationConfig)
  end)

  it("answers calls by name, together, right after them", function()
    local sent = body{ messages = {
      { role = "user", text = "Both" },
      { role = "assistant", text = "One moment.", tool_calls = { { id = "a", name = "find", arguments = '{"id":1}' }, { id = "b", name = "look", arguments = "" } } },
      { role = "tool", tool_call_id = "a", text = "here" }, { role = "tool", tool_call_id = "b", text = "no such", is_error = true },
      { role = "user", text = "And?" },
    } }
    assert.same({ role = "model", parts = {
      { text = "One moment." }, { functionCall = { id = "a", name = "find", args = { id = 1 } } }, { functionCall = { id = "b", name = "look", args = {} } },
    } }, sent.contents[2])
    assert.same({ role = "user", parts = {
      { functionResponse = { id = "a", name = "find", response = { output = "here" } } }, { functionResponse = { id = "b", name = "look", response = { error = "no such" } } },
    } }, sent.contents[3])
    assert.same({ role = "user", parts = { { text = "And?" } } }, sent.contents[4])
  end)

  it("asks the model to go on when the conversation ends with its own words", function()
    local sent = body{ messages = { { role = "user", text = "Count" }, { role = "assistant", text = "1 2 3" } } }
    assert.equal("user", sent.contents[3].role)
    assert.truthy(sent.contents[3].parts[1].text:find("Go on", 1, true))
  end)

  it("leaves out messages without a word", function()
    local sent = body{ messages = { { role = "user", text = "a" }, { role = "assistant", text = "" }, { role = "user", text = "b" } } }
    assert.same({ { role = "user", parts = { { text = "a" }, { text = "b" } } } }, sent.contents)
  end)

  it("offers tools with their JSON Schema, and none where there are no parameters", function()
    local sent = body{ tools = { FIND_ORDER, { name = "hang_up", parameters = { type = "object", properties = {} } } } }
    assert.same({ { functionDeclarations = {
      { name = "find_order", description = "Look up one order", parametersJsonSchema = FIND_ORDER.parameters }, { name = "hang_up" },
    } } }, sent.tools)
    assert.is_nil(sent.toolConfig)
  end)

  it("says which calls may be made", function()
    local function calling(choice, flags) return body({ tools = { FIND_ORDER }, tool_choice = choice }, flags).toolConfig.functionCallingConfig end
    assert.same({ mode = "AUTO" }, calling("auto"))
    assert.same({ mode = "NONE" }, calling("none"))
    assert.same({ mode = "ANY" }, calling("required"))
    assert.same({ mode = "ANY", allowedFunctionNames = { "find_order" } }, calling{ name = "find_order" })
    assert.same({ mode = "VALIDATED" }, calling("auto", { supports_strict_tools = true }))
    assert.is_nil(body{ tools = {}, tool_choice = "auto" }.toolConfig)
  end)

  it("asks for a schema, or in words where the model knows none", function()
    local schema = { name = "order", schema = { type = "object", properties = { n = { type = "integer" } } } }
    local config = body{ schema = schema }.generationConfig
    assert.equal("application/json", config.responseMimeType)
    assert.same(schema.schema, config.responseJsonSchema)
    local words = body({ schema = schema, system = "Be brief." }, { supports_json_schema = false })
    assert.is_nil(words.generationConfig.responseMimeType)
    assert.truthy(words.systemInstruction.parts[1].text:find('^Be brief%.\n\nAnswer with nothing but JSON'))
  end)

  it("asks for effort in the way of the model", function()
    assert.same({ thinkingLevel = "HIGH" }, body({ effort = "max" }, { thinking_mode = "level" }).generationConfig.thinkingConfig)
    assert.same({ thinkingLevel = "MINIMAL" }, body({ effort = "none" }, { thinking_mode = "level" }).generationConfig.thinkingConfig)
    assert.same({ thinkingBudget = 0 }, body({ effort = "none" }, { thinking_mode = "budget" }).generationConfig.thinkingConfig)
    assert.same({ thinkingBudget = 8192 }, body({ effort = "medium" }, { thinking_mode = "budget" }).generationConfig.thinkingConfig)
    assert.is_nil(body{ effort = "high" }.generationConfig.thinkingConfig)
  end)

  it("takes the caller's own fields last, but not what was guarded or priced, in either spelling", function()
    local own = { safetySettings = json.array{}, model = "dearer", generationConfig = { candidateCount = 8, maxOutputTokens = 99999, max_output_tokens = 9, topK = 3 },
      generation_config = { candidate_count = 8 }, contents = json.array{}, system_instruction = { parts = json.array{} }, cachedContent = "cachedContents/anothers" }
    local sent = body{ extras = { gemini = own, claude = { metadata = {} } } }
    assert.same({ maxOutputTokens = 300, topK = 3 }, sent.generationConfig)
    assert.same({}, sent.safetySettings)
    assert.equal(1, #sent.contents)
    for _, name in ipairs{ "generation_config", "system_instruction", "systemInstruction", "cachedContent" } do assert.is_nil(sent[name]) end
    assert.is_nil(sent.model)
    assert.is_nil(sent.metadata)
    assert.equal(8, own.generationConfig.candidateCount)
  end)

  it("marks the calls of another model as such, where signatures are checked", function()
    local messages = { { role = "user", text = "q" }, { role = "assistant", tool_calls = {
      { id = "a", name = "f", arguments = "{}", provider_data = { kind = "claude", signature = "x" } }, { id = "b", name = "f", arguments = "{}" } } },
      { role = "tool", tool_call_id = "a", text = "1" }, { role = "tool", tool_call_id = "b", text = "2" } }
    local parts = body({ messages = messages }, { needs_signatures = true }).contents[2].parts
    assert.equal("skip_thought_signature_validator", parts[1].thoughtSignature)
    assert.is_nil(parts[2].thoughtSignature)
    assert.is_nil(body{ messages = messages }.contents[2].parts[1].thoughtSignature)
  end)
end)

describe("a stream from Gemini", function()
  it("is text, usage as it grows, and an end once the body ends", function()
    local events = answer{
      chunk({ { text = "Grüß " } }, nil, { promptTokenCount = 95, candidatesTokenCount = 2 }), chunk({ { text = "Gott" } }, nil, { promptTokenCount = 95, candidatesTokenCount = 4 }),
      chunk({ { text = "" } }, "STOP", { promptTokenCount = 95, candidatesTokenCount = 4 }),
    }
    assert.same({
      { type = "start", id = "r1", model = "gemini-3.8-flash" }, { type = "text", text = "Grüß " },
      { type = "usage", input = 95, cached = 0, written = 0, written_1h = 0, output = 2, reasoning = 0 }, { type = "text", text = "Gott" },
      { type = "usage", input = 95, cached = 0, written = 0, written_1h = 0, output = 4, reasoning = 0 }, { type = "end", reason = "end", detail = "STOP" },
    }, events)
  end)

  it("means the same wherever its bytes are cut", function()
    local wire = ": hello\n" .. sse{
      chunk({ { text = "für 5 €: 🙂" } }), chunk({ { functionCall = { id = "fc1", name = "find_order", args = { id = "1ü" } }, thoughtSignature = "c2ln" } }), chunk({}, "STOP"),
    }
    local expected = ai_wire.read(gemini, { wire })
    assert.equal("für 5 €: 🙂", ai_wire.text(expected))
    assert.equal("tool", ai_wire.last(expected).reason)
    for i = 1, #wire - 1 do assert.same(expected, ai_wire.read(gemini, { wire:sub(1, i), wire:sub(i + 1) })) end
    local bytes = {}
    for i = 1, #wire do bytes[i] = wire:sub(i, i) end
    assert.same(expected, ai_wire.read(gemini, bytes))
  end)

  it("has calls whole, side by side, and tells them by its parts, not by its reason", function()
    local events = answer{
      chunk{ { functionCall = { id = "fc1", name = "f", args = { x = 1 } }, thoughtSignature = "c2ln" }, { functionCall = { name = "g" } } }, chunk({}, "STOP"),
    }
    local tools = ai_wire.of_type(events, "tool")
    assert.same({ type = "tool", index = 0, id = "fc1", name = "f", arguments = '{"x":1}', valid = true, provider_data = { kind = "gemini", signature = "c2ln" } }, tools[1])
    assert.equal("{}", tools[2].arguments)
    assert.equal(1, tools[2].index)
    assert.truthy(tools[2].id:match("^call_%x+$"))
    assert.same({ { type = "tool_delta", index = 0, json = '{"x":1}' }, { type = "tool_delta", index = 1, json = "{}" } }, ai_wire.of_type(events, "tool_delta"))
    assert.equal("tool", ai_wire.last(events).reason)
    assert.equal("length", ai_wire.last(answer{ chunk({ { functionCall = { name = "f" } } }, "MAX_TOKENS") }).reason)
  end)

  it("says of arguments that are no object that they are none", function()
    for _, args in ipairs{ json.array{}, { 1 }, 7, "x" } do
      assert.is_false(ai_wire.of_type(answer{ chunk({ { functionCall = { name = "f", args = args } } }, "STOP") }, "tool")[1].valid)
    end
  end)

  it("gives a call's signature back where it was", function()
    local tool = ai_wire.of_type(answer{ chunk({ { functionCall = { id = "fc1", name = "f", args = { x = 1 } }, thoughtSignature = "c2ln" } }, "STOP") }, "tool")[1]
    local sent = body({ messages = { { role = "user", text = "q" },
      { role = "assistant", text = "", tool_calls = { { id = tool.id, name = tool.name, arguments = tool.arguments, provider_data = tool.provider_data } } },
      { role = "tool", tool_call_id = "fc1", text = "r" } } }, { needs_signatures = true })
    assert.same({ functionCall = { id = "fc1", name = "f", args = { x = 1 } }, thoughtSignature = "c2ln" }, sent.contents[2].parts[1])
  end)

  it("gives a text's signature back in its part, or in its own, and not with another text", function()
    local function back(data, text)
      return body{ messages = { { role = "user", text = "q" }, { role = "assistant", text = text, provider_data = data }, { role = "user", text = "r" } } }.contents[2].parts
    end
    local within = ai_wire.last(answer{ chunk({ { text = "hi", thoughtSignature = "s1" } }, "STOP") }).provider_data
    assert.same({ { text = "hi", thoughtSignature = "s1" } }, back(within, "hi"))
    local apart = ai_wire.last(answer{ chunk{ { text = "hi" } }, chunk({ { text = "", thoughtSignature = "s2" } }, "STOP") }).provider_data
    assert.same({ { text = "hi" }, { text = "", thoughtSignature = "s2" } }, back(apart, "hi"))
    assert.same({ { text = "h" } }, back(apart, "h"))
    assert.is_nil(ai_wire.last(answer{ chunk({ { text = "hi" } }, "STOP") }).provider_data)
  end)

  it("keeps thoughts to itself", function()
    assert.equal("hi", ai_wire.text(answer{ chunk{ { text = "Let me think", thought = true } }, chunk({ { text = "hi" } }, "STOP") }))
  end)

  it("counts thoughts to the output and what tools put in to the input", function()
    local events = answer{ chunk({ { text = "x" } }, "STOP", {
      promptTokenCount = 95, toolUsePromptTokenCount = 5, candidatesTokenCount = 12, thoughtsTokenCount = 40, cachedContentTokenCount = 64, totalTokenCount = 152,
    }) }
    assert.same({ type = "usage", input = 100, cached = 64, written = 0, written_1h = 0, output = 52, reasoning = 40 }, ai_wire.usage(events))
  end)

  it("cannot make a cost out of counts that are none", function()
    local events = answer{ chunk({ { text = "x" } }, "STOP", { promptTokenCount = -1, candidatesTokenCount = "12", thoughtsTokenCount = json.null, cachedContentTokenCount = 99 }) }
    assert.same({ type = "usage", input = 0, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 }, ai_wire.usage(events))
    assert.is_nil(ai_wire.usage(answer{ { candidates = { { finishReason = "STOP" } }, usageMetadata = 7 } }))
  end)

  it("ends for each of the reasons there are, and for those there will be", function()
    for said, reason in pairs{
      STOP = "end", MAX_TOKENS = "length", SAFETY = "filter", RECITATION = "filter", LANGUAGE = "filter", BLOCKLIST = "filter", PROHIBITED_CONTENT = "filter",
      SPII = "filter", IMAGE_SAFETY = "filter", OTHER = "filter", SOMETHING_NEW = "end",
    } do
      local last = ai_wire.last(answer{ chunk({ { text = "x" } }, said) })
      assert.equal("end", last.type)
      assert.equal(reason, last.reason)
      assert.equal(said, last.detail)
    end
  end)

  it("is filtered when the prompt was, for reasons of its own", function()
    for _, why in ipairs{ "SAFETY", "OTHER", "JAILBREAK", "SOMETHING_NEW" } do
      local events = answer{ { promptFeedback = { blockReason = why }, usageMetadata = { promptTokenCount = 8 } } }
      assert.equal("filter", ai_wire.last(events).reason)
      assert.equal(why, ai_wire.last(events).detail)
      assert.equal(8, ai_wire.usage(events).input)
    end
  end)

  it("is an error when the model made a call that is none", function()
    for _, why in ipairs{ "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS" } do
      assert.equal("protocol", ai_wire.last(answer{ chunk({}, why) }).class)
    end
    assert.equal("protocol", ai_wire.last(answer{ chunk({ { functionCall = { args = {} } } }, "STOP") }).class)
  end)

  it("is broken off when the body ends before a finishReason", function()
    for _, chunks in ipairs{ {}, { chunk{ { text = "half" } } }, { chunk{ { functionCall = { name = "f" } } } } } do
      local last = ai_wire.last(answer(chunks))
      assert.equal("error", last.type)
      assert.equal("protocol", last.class)
    end
  end)

  it("goes on after a finishReason that came too soon", function()
    local events = answer{ chunk({ { text = "a" } }, "STOP"), chunk({ { text = "b" } }, "STOP") }
    assert.equal("ab", ai_wire.text(events))
    assert.equal(1, #ai_wire.of_type(events, "end"))
  end)

  it("may end in an error after it began well, alone or as the one element of a list", function()
    local wrong = { error = { code = 503, message = "The model is overloaded.", status = "UNAVAILABLE" } }
    for _, last in ipairs{ wrong, { wrong } } do
      local events = answer{ chunk{ { text = "half" } }, last, chunk({ { text = "more" } }, "STOP") }
      assert.same({ type = "error", class = "overload", text = "The model is overloaded.", code = "UNAVAILABLE" }, ai_wire.last(events))
      assert.equal("half", ai_wire.text(events))
    end
    local limited = { error = { code = 429, message = "q", status = "RESOURCE_EXHAUSTED", details = { google("RetryInfo", { retryDelay = "37s" }) } } }
    assert.equal("rate", ai_wire.last(answer{ limited }).class)
    assert.equal(37, ai_wire.last(answer{ limited }).retry_after_s)
    assert.equal("server", ai_wire.last(answer{ { error = {} } }).class)
    assert.equal("server", ai_wire.last(answer{ { error = { code = 500 } } }).class)
  end)

  it("is an error of protocol at the first bytes that make no sense, and nothing after them counts", function()
    for _, data in ipairs{ "{", '"text"', "7", "null", '{"candidates":[{"content":{"parts":[{"text":"\255\254"}]}}]}', ("["):rep(5000), '{"candidates":[{"content":{"parts":[7]}}]}' } do
      local events = ai_wire.read(gemini, { sse{ chunk{ { text = "half" } } }, "data: " .. data .. "\n\n", sse{ chunk({ { text = "more" } }, "STOP") } })
      assert.equal("protocol", ai_wire.last(events).class)
      assert.equal("half", ai_wire.text(events))
      assert.equal(1, #ai_wire.of_type(events, "error"))
    end
  end)

  it("passes over parts and fields that it does not know", function()
    local odd = chunk({ { executableCode = { code = "1" } }, { inlineData = { data = "eA==" } }, { hologram = 1 }, { text = "hi", mood = "good" } }, "STOP")
    odd.weather = "sun"
    assert.equal("hi", ai_wire.text(answer{ odd }))
  end)

  it("does not raise, whatever stands where", function()
    local odd = { json.null, 7, "x", true, {}, json.array{}, { { 1 } } }
    for _, value in ipairs(odd) do
      for _, one in ipairs{
        { candidates = value }, { candidates = { value } }, { candidates = { { content = value } } }, { candidates = { { content = { parts = value } } } },
        { candidates = { { content = { parts = { value } } } } }, { candidates = { { content = { parts = { { text = value, thoughtSignature = value } } } } } },
        { candidates = { { content = { parts = { { functionCall = value } } }, finishReason = value } } }, { usageMetadata = value }, { promptFeedback = value },
        { candidates = { { content = { parts = { { functionCall = { name = value, id = value, args = value } } } } } } }, { error = value }, { value },
        { error = { code = value, message = value, status = value, details = value } }, { error = { details = { value } } }, { responseId = value, modelVersion = value },
      } do
        local last = ai_wire.last(answer{ one })
        assert.truthy(last.type == "error" or last.type == "end")
      end
    end
  end)

  it("that never ends is ended", function()
    local reader, data, events = gemini.reader(target()), json.encode(chunk{ { text = ("x"):rep(2 ^ 20) } }), nil
    for _ = 1, 20 do
      events = reader:feed(nil, data)
      if events[1] and events[1].type == "error" then break end
    end
    assert.equal("protocol", events[1].class)
    assert.same({}, reader:feed(nil, data))
    assert.same({}, reader:finish())
  end)
end)

describe("a whole answer from Gemini", function()
  local function whole(text)
    return gemini.whole(200, { ["x-request-id"] = "req_1" }, text)
  end

  it("is the same events as a stream's", function()
    local events = whole(json.encode(chunk({ { text = "Let me look." }, { functionCall = { id = "fc1", name = "f", args = { x = 1 } }, thoughtSignature = "s" } }, "STOP")))
    assert.same({
      { type = "start", id = "r1", model = "gemini-3.8-flash", request_id = "req_1" }, { type = "text", text = "Let me look." },
      { type = "tool_start", index = 0, id = "fc1", name = "f" }, { type = "tool_delta", index = 0, json = '{"x":1}' },
      { type = "tool", index = 0, id = "fc1", name = "f", arguments = '{"x":1}', valid = true, provider_data = { kind = "gemini", signature = "s" } },
      { type = "usage", input = 95, cached = 0, written = 0, written_1h = 0, output = 12, reasoning = 0 }, { type = "end", reason = "tool", detail = "STOP" },
    }, events)
  end)

  it("may have nothing to say", function()
    local events = whole('{"candidates":[{"finishReason":"STOP"}]}')
    assert.equal("", ai_wire.text(events))
    assert.equal("end", ai_wire.last(events).reason)
  end)

  it("is an error when it is none", function()
    for _, text in ipairs{ "", "{", "{}", "[]", "<html>", "null", '{"candidates":[]}', '{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}' } do
      assert.equal("protocol", ai_wire.last(whole(text)).class)
      assert.equal("req_1", ai_wire.last(whole(text)).request_id)
    end
    local refused = gemini.whole(503, {}, '[{"error":{"code":503,"message":"x","status":"UNAVAILABLE"}}]')
    assert.equal(1, #refused)
    assert.equal("error", refused[1].type)
    assert.equal("overload", refused[1].class)
    assert.equal("x", refused[1].text)
  end)
end)

describe("a refusal by Gemini", function()
  it("has the class of its status, whatever the body", function()
    for status, class in pairs{
      [400] = "bad_request", [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long",
      [422] = "bad_request", [429] = "rate", [500] = "server", [502] = "server", [503] = "overload", [504] = "server", [301] = "protocol",
    } do
      for _, text in ipairs{ "", "<html>502</html>", "{", "null", "[]", "[7]", '{"error":7}', '{"error":"text"}', "\255\254" } do
        local found = gemini.failure(status, {}, text, NOW)
        assert.equal(class, found.class)
        assert.equal(("the provider answered with status %d"):format(status), found.text)
      end
    end
  end)

  it("tells a wrong key, a prompt too long and spent money apart from mistakes and haste", function()
    local details = { google("LocalizedMessage", { message = "x" }), google("ErrorInfo", { reason = "API_KEY_INVALID", domain = "googleapis.com" }) }
    local found = failure(400, "INVALID_ARGUMENT", "Bad.", details)
    assert.equal("auth", found.class)
    assert.equal("API_KEY_INVALID", found.code)
    assert.equal("auth", failure(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.").class)
    assert.equal("too_long", failure(400, "INVALID_ARGUMENT", "The input token count (2000000) exceeds the maximum number of tokens allowed (1048576).").class)
    assert.equal("bad_request", failure(400, "FAILED_PRECONDITION", "User location is not supported.").class)
    assert.equal("rate", failure(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota, please check your plan and billing details.").class)
    assert.equal("quota", failure(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted.").class)
    assert.equal("quota", failure(403, "PERMISSION_DENIED", "x", { google("ErrorInfo", { reason = "BILLING_DISABLED" }) }).class)
  end)

  it("says that the key is no good only where it is, not with any 403", function()
    local function because(reason) return { google("ErrorInfo", { reason = reason }) } end
    assert.is_true(failure(401, "UNAUTHENTICATED", "x").key_refused)
    assert.is_true(failure(400, "INVALID_ARGUMENT", "Bad.", because "API_KEY_INVALID").key_refused)
    assert.is_true(failure(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.").key_refused)
    assert.is_nil(failure(403, "PERMISSION_DENIED", "You do not have permission to use this model.").key_refused)
    assert.is_nil(failure(403, "PERMISSION_DENIED", "x", because "API_KEY_IP_ADDRESS_BLOCKED").key_refused)
    assert.is_nil(failure(403, "PERMISSION_DENIED", "x", because "BILLING_DISABLED").key_refused)
  end)

  it("says when to come back in its details, or in a header", function()
    local function wait(details, headers) return failure(429, "RESOURCE_EXHAUSTED", "x", details, headers).retry_after_s end
    local quota = google("QuotaFailure", { violations = { { quotaId = "GenerateRequestsPerMinutePerProjectPerModel" } } })
    assert.equal(37, wait{ quota, google("RetryInfo", { retryDelay = "37s" }) })
    assert.equal(0.25, wait{ google("RetryInfo", { retryDelay = "0.250s" }) })
    assert.equal(37, wait({ google("RetryInfo", { retryDelay = "37s" }) }, { ["retry-after"] = "5" }))
    assert.equal(5, wait({ quota }, { ["Retry-After"] = "5" }))
    assert.is_nil(wait{ quota })
    for _, odd in ipairs{ "37", "-1s", "1e9s", "s", 37, json.null } do assert.is_nil(wait{ google("RetryInfo", { retryDelay = odd }) }) end
    assert.is_false(failure(500, "INTERNAL", "x", nil, { ["x-should-retry"] = "false" }).should_retry)
  end)

  it("keeps its text short and in one line", function()
    local found = failure(400, "INVALID_ARGUMENT", ("ü"):rep(5000) .. "\n")
    assert.is_true(#found.text <= 500)
    assert.is_nil(found.text:find("\n"))
  end)
end)

describe("embeddings by Gemini", function()
  it("are asked for in one batch, each with its model, task and size", function()
    local request = gemini.embed_request({ "a", "b" }, { model = "gemini-embedding-001", url = "https://gemini.test", key = "k" }, { dimensions = 256, task = "query" })
    assert.equal("https://gemini.test/v1beta/models/gemini-embedding-001:batchEmbedContents", request.url)
    assert.equal("k", request.headers["x-goog-api-key"])
    local list = json.decode(request.body).requests
    assert.equal(2, #list)
    assert.same({ model = "models/gemini-embedding-001", content = { parts = { { text = "b" } } }, taskType = "RETRIEVAL_QUERY", outputDimensionality = 256 }, list[2])
    assert.is_nil(json.decode(gemini.embed_request({ "a" }, { model = "m" }).body).requests[1].taskType)
  end)

  it("come as vectors of one length, in the order of the texts", function()
    assert.same({ vectors = { { 1, 0.5 }, { 0, -1 } } }, gemini.embed_result(200, {}, '{"embeddings":[{"values":[1,0.5]},{"values":[0,-1]}]}'))
  end)

  it("are an error when they are none", function()
    for _, text in ipairs{ "", "{", "{}", '{"embeddings":[]}', '{"embeddings":[{}]}', '{"embeddings":[{"values":[]}]}', '{"embeddings":[{"values":["1"]}]}',
      '{"embeddings":[7]}', '{"embeddings":[{"values":[1]},{"values":[1,2]}]}' } do
      local found, wrong = gemini.embed_result(200, {}, text)
      assert.is_nil(found)
      assert.equal("protocol", wrong.class)
    end
    local _, wrong = gemini.embed_result(429, { ["retry-after"] = "3" }, "")
    assert.equal("rate", wrong.class)
    assert.equal(3, wrong.retry_after_s)
  end)
end)
