-- SPDX-License-Identifier: Apache-2.0
--- The adapters of OpenAI and Ollama against the fakes of tests/fakes, whole answers and streams: run by test_ai_openai.py, which says where they are.
local answers = require "ai_answers"
local http = require "core.http"
local json = require "core.json"

local openai = require("plugins.ai_openai").adapters
local base = assert(os.getenv "FAKES_URL", "FAKES_URL: the base of the fakes")
local kinds = {
  openai_chat = { adapter = openai.openai_chat, path = "/openai/v1", model = "gpt-4.1", embedder = "text-embedding-3-small" },
  openai_responses = { adapter = openai.openai_responses, path = "/openai/v1", model = "gpt-5.4", embedder = "text-embedding-3-small" },
  ollama = { adapter = require "plugins.ai_ollama", path = "/ollama", model = "qwen3", embedder = "nomic-embed-text" },
}

-- The events of a body of server-sent events, as { name or false, data }.
local function sse(body)
  local list = {}
  for block in (body:gsub("\r\n", "\n") .. "\n"):gmatch("(.-)\n\n") do
    local name, data = false, {}
    for line in (block .. "\n"):gmatch("([^\n]*)\n") do
      name = line:match("^event: ?(.*)") or name
      data[#data + 1] = line:match("^data: ?(.*)")
    end
    if #data > 0 then list[#list + 1] = { name, table.concat(data, "\n") } end
  end
  return list
end

local function lines(body)
  local list = {}
  for line in body:gmatch("[^\n]+") do list[#list + 1] = line end
  return list
end

local function target_of(kind, fault, model)
  return { provider = kind.path, url = base .. (fault and "/_with/" .. fault or "") .. kind.path, model = model or kind.model, key = "k1" }
end

local function ask(kind, request, stream, fault)
  local adapter, target = kind.adapter, target_of(kind, fault)
  local asked = adapter.request(request, target, stream)
  local got = assert(http.fetch(asked))
  if asked.framing == "json" or got.status ~= 200 then return adapter.whole(got.status, got.headers, got.body, target) end
  return answers.stream(adapter, target, asked.framing == "sse" and sse(got.body) or lines(got.body))
end

local function user(text) return { { role = "user", text = text } } end

local tools = {
  { name = "weather", description = "The weather of a town", strict = true, parameters = { type = "object", properties = { town = { type = "string" } }, required = { "town" } } },
  { name = "note", parameters = { type = "object", properties = {} } },
}

-- The calls of an answer in the order in which they were opened.
local function calls_of(events)
  local calls = answers.of(events, "tool")
  table.sort(calls, function(a, b) return a.index < b.index end)
  return calls
end

local CLASSES = {
  [400] = "bad_request", [401] = "auth", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [422] = "bad_request", [429] = "rate", [500] = "server",
  [502] = "server", [503] = "overload", [504] = "server", [529] = "overload",
}

for name, kind in pairs(kinds) do
  for _, stream in ipairs{ false, true } do
    local own_end = name ~= "ollama"  -- Ollama knows neither refusals nor forced calls, and its requests have no ids
    describe(("%s, %s,"):format(name, stream and "streamed" or "whole"), function()
      it("says text, usage and end", function()
        local events = ask(kind, { system = "Be brief.", messages = user "count to 5", max_tokens = 200, temperature = 0.5, cache_key = "t1" }, stream)
        assert.matches("1 2 3 4 5", answers.text(events))
        assert.equal("end", events[#events].reason)
        local usage = answers.first(events, "usage")
        assert.is_true(usage.input > 0 and usage.output > 0 and usage.cached <= usage.input and usage.reasoning <= usage.output)
      end)

      it("calls two tools, and answers with their results", function()
        local messages = user 'use weather with {"town":"Köln"} and use note'
        local events = ask(kind, { messages = messages, tools = tools, parallel_tools = true }, stream)
        local calls = calls_of(events)
        assert.same({ 2, "weather", '{"town":"Köln"}', true }, { #calls, calls[1].name, calls[1].arguments, calls[1].valid })
        assert.same({ "note", "{}", "tool" }, { calls[2].name, calls[2].arguments, events[#events].reason })
        messages[2] = { role = "assistant", text = answers.text(events), tool_calls = calls, provider_data = events[#events].provider_data }
        for _, call in ipairs(calls) do messages[#messages + 1] = { role = "tool", tool_call_id = call.id, text = "sunny" } end
        events = ask(kind, { messages = messages, tools = tools, effort = name == "openai_responses" and "low" or nil }, stream)
        assert.matches("sunny", answers.text(events))
        assert.equal("end", events[#events].reason)
      end)

      it("satisfies a schema", function()
        local schema = { type = "object", properties = { n = { type = "integer" } }, required = { "n" } }
        assert.same({ n = 7 }, json.decode(answers.text(ask(kind, { messages = user "say 7", schema = { name = "s", schema = schema } }, stream))))
      end)

      it("stops at the limit", function()
        local events = ask(kind, { messages = user "count to 500", max_tokens = 20 }, stream)
        assert.equal("length", events[#events].reason)
      end)

      it("goes on where an answer broke off", function()
        local text = answers.text(ask(kind, { messages = { { role = "user", text = "count to 9" }, { role = "assistant", text = "1 2 3 " } } }, stream))
        assert.matches("9", text)
        assert.is_nil(text:find("1 2 3", 1, true))
      end)

      it("may be empty", function()
        local events = ask(kind, { messages = user "x" }, stream, "empty=text")
        assert.same({ "", "end" }, { answers.text(events), events[#events].type })
        events = ask(kind, { messages = user "x" }, stream, "empty")
        assert.same({ 1, "protocol" }, { #events, events[1].class })
      end)

      it("fails with the class of each status", function()
        for status, class in pairs(CLASSES) do
          local events = ask(kind, { messages = user "x" }, stream, "status=" .. status)
          assert.same({ 1, status, class }, { #events, status, events[1].class })
          if own_end then assert.matches("^req_", events[1].request_id) end
        end
      end)

      it("fails with the time to wait, said in any way", function()
        for _, way in ipairs{ "retry_after=30", "retry_after_ms=30000", "retry_after_date=30" } do
          local event = ask(kind, { messages = user "x" }, stream, "status=429," .. way)[1]
          assert.is_true(event.retry_after_s > 25 and event.retry_after_s <= 30)
        end
        assert.is_nil(ask(kind, { messages = user "x" }, stream, "status=429")[1].retry_after_s)
      end)

      if own_end then
        it("says refusals, filters, forced calls and an empty purse", function()
          local function reason(request)
            local events = ask(kind, request, stream)
            return events[#events].reason
          end
          assert.equal("refusal", reason{ messages = user "refuse this" })
          assert.equal("filter", reason{ messages = user "filter this" })
          assert.equal("tool", reason{ messages = user "use note", tools = tools, tool_choice = { name = "note" } })
          assert.equal("quota", ask(kind, { messages = user "x" }, stream, "status=429,spend_limit")[1].class)
        end)
      end

      if stream then
        it("fails when it ends early, breaks in the middle, or says so itself", function()
          for fault, class in pairs{ no_end = "protocol", ["cut=3,how=end"] = "protocol", ["broken=2"] = "protocol", ["error=2"] = "server", ["error=2,error_as=failed"] = "server",
            ["error=2,error_status=429"] = own_end and "rate" or "server" } do
            local events = ask(kind, { messages = user "count to 9" }, true, fault)
            assert.same({ fault, "error", class }, { fault, events[#events].type, events[#events].class })
          end
        end)

        it("tells mixed calls apart, of one character a fragment", function()
          local events = ask(kind, { messages = user 'use weather with {"town":"Köln"} and use weather with {"town":"Ulm"}', tools = tools }, true, "interleave,fragment=1")
          local calls = calls_of(events)
          assert.same({ 2, '{"town":"Köln"}', '{"town":"Ulm"}' }, { #calls, calls[1].arguments, calls[2].arguments })
        end)
      end
    end)
  end

  describe(name .. "'s embeddings", function()
    local function embed(texts, options, model)
      local got = assert(http.fetch(kind.adapter.embed_request(texts, target_of(kind, nil, model or kind.embedder), options)))
      return kind.adapter.embed_result(got.status, got.headers, got.body)
    end

    it("are one for each text, and the same in either encoding", function()
      local texts = { "where is my order", "hello", "x" }
      local float, packed = embed(texts, { encoding = "float", dimensions = 256 }), embed(texts, { encoding = "base64", dimensions = 256 })
      assert.same({ 3, 256, 3 }, { #float.vectors, #float.vectors[3], #packed.vectors })
      assert.is_true(float.usage.input > 0)
      for i, value in ipairs(float.vectors[1]) do assert.is_true(math.abs(value - packed.vectors[1][i]) < 1e-7) end
    end)

    it("of a model that is not there are a failure", function()
      local found, failed = embed({ "x" }, nil, "missing-1")
      assert.same({ nil, "not_found" }, { found, failed.class })
    end)
  end)
end
