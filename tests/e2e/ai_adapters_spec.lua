-- SPDX-License-Identifier: Apache-2.0
--- The adapters against the fakes of tests/fakes, which refuse what the providers refuse: run by test_ai_adapters.py, with PARLEY_FAKES = "http://127.0.0.1:PORT".
package.path = require("core.worker").root .. "/tests/lua/?.lua;" .. package.path
local ai_wire = require "ai_wire"
local http = require "core.http"
local json = require "core.json"

local FAKES = assert(os.getenv("PARLEY_FAKES"), "PARLEY_FAKES says where the fakes are")
local TOOLS = {
  { name = "find_order", description = "Look up one order", strict = true,
    parameters = { type = "object", properties = { id = { type = "string", minLength = 1 } }, required = { "id" } } },
  { name = "hang_up", description = "End the call" },
}
local TWO_CALLS = 'use find_order with {"id":"12ü"} and use hang_up'

local KINDS = {
  claude = {
    model = "claude-sonnet-5", flags = { allows_temperature = false, thinking_mode = "adaptive", allows_prefill = false }, refusal = "refusal",
    classes = { ["status=529"] = "overload", ["status=429,spend_limit"] = "quota" }, key_classes = { broke = "quota" },
  },
  gemini = {
    model = "gemini-3.8-flash", flags = { thinking_mode = "level", needs_signatures = true }, refusal = "filter",
    classes = { ["status=529"] = "server" }, key_classes = {},
  },
}
local CLASSES = {
  ["status=400"] = "bad_request", ["status=401"] = "auth", ["status=403"] = "auth", ["status=404"] = "not_found", ["status=408"] = "timeout", ["status=409"] = "timeout",
  ["status=413"] = "too_long", ["status=422"] = "bad_request", ["status=429"] = "rate", ["status=500"] = "server", ["status=503"] = "overload", ["status=504"] = "server",
  ["empty"] = "protocol", ["broken=0"] = "protocol", ["drop=rst"] = "network",
}
local MID_STREAM = { ["cut=1,how=end"] = "protocol", ["no_end"] = "protocol", ["error=1"] = "overload", ["error=1,error_status=500"] = "server" }

local function sentence(more)
  local request = { messages = { { role = "user", text = "say hello to you there" } }, max_tokens = 500, system = "You are brief.", temperature = 0.5 }
  for name, value in pairs(more or {}) do request[name] = value end
  if request.say then request.messages, request.say = { { role = "user", text = request.say } }, nil end
  return request
end

for kind, of in pairs(KINDS) do
  local adapter = require("plugins.ai_" .. kind)
  local function target(change)
    local to = { kind = kind, key = "k", model = of.model, flags = of.flags, url = FAKES .. "/" .. kind }
    for name, value in pairs(change or {}) do to[name] = value end
    if to.fault then to.url = ("%s/_with/%s/%s"):format(FAKES, to.fault, kind) end
    return to
  end

  for _, stream in ipairs{ false, true } do
    local function ask(request, change)
      local wire = adapter.request(request, target(change), stream)
      local got, err = http.fetch{ url = wire.url, method = wire.method, headers = wire.headers, body = wire.body, timeout_s = 20 }
      if not got then return { { type = "error", class = "network", text = err.text } } end
      if stream and got.status == 200 then return ai_wire.read(adapter, { got.body }) end
      return adapter.whole(got.status, got.headers, got.body)
    end

    describe(("%s, asked %s,"):format(kind, stream and "for a stream" or "for a whole answer"), function()
      it("answers in text, and says what it used", function()
        local events = ask(sentence{ say = "say Grüß Gott 🙂", prompt_cache = true, stop = { "ZZZ" } })
        assert.equal("Grüß Gott 🙂", ai_wire.text(events))
        assert.equal("end", ai_wire.last(events).reason)
        assert.is_true(ai_wire.usage(events).input > 0 and ai_wire.usage(events).output > 0)
      end)

      it("stops at the limit, and declines", function()
        assert.equal("length", ai_wire.last(ask(sentence{ say = "count to 50", max_tokens = 10 })).reason)
        assert.equal(of.refusal, ai_wire.last(ask(sentence{ say = "refuse this" })).reason)
      end)

      for _, effort in ipairs{ "none", "high" } do
        it("calls tools and goes on from their results, with effort " .. effort, function()
          local request = sentence{ say = TWO_CALLS, tools = TOOLS, tool_choice = "auto", effort = effort, prompt_cache = true }
          local events = ask(request)
          local calls = ai_wire.of_type(events, "tool")
          assert.equal(2, #calls)
          assert.equal("12ü", json.decode(calls[1].arguments).id)
          assert.equal("{}", calls[2].arguments)
          assert.equal("tool", ai_wire.last(events).reason)
          request.messages[2] = { role = "assistant", text = ai_wire.text(events), tool_calls = calls, provider_data = ai_wire.last(events).provider_data }
          for i, call in ipairs(calls) do request.messages[i + 2] = { role = "tool", tool_call_id = call.id, text = "result " .. i } end
          local went_on = ask(request)
          assert.truthy(ai_wire.text(went_on):find("result 1", 1, true))
          assert.equal("end", ai_wire.last(went_on).reason)
          -- As when another provider made the calls.
          request.messages[2].provider_data = nil
          for _, call in ipairs(calls) do call.provider_data = nil end
          assert.equal("end", ai_wire.last(ask(request)).reason)
        end)
      end

      it("calls when it must, and not when it may not", function()
        for _, choice in ipairs{ "required", { name = "find_order" } } do
          assert.is_true(#ai_wire.of_type(ask(sentence{ tools = TOOLS, tool_choice = choice, effort = "high", parallel_tools = false }), "tool") > 0)
        end
        assert.same({}, ai_wire.of_type(ask(sentence{ say = TWO_CALLS, tools = TOOLS, tool_choice = "none" }), "tool"))
      end)

      it("answers as a schema says", function()
        local schema = { type = "object", properties = { n = { type = "integer", minimum = 1 }, who = { type = "string" } }, required = { "n", "who" } }
        local found = json.decode(ai_wire.text(ask(sentence{ schema = { name = "order", schema = schema } })))
        assert.equal("number", type(found.n))
        assert.equal("string", type(found.who))
      end)

      it("goes on from what was said", function()
        local events = ask{ messages = { { role = "user", text = "count to 8" }, { role = "assistant", text = "1 2 3" } }, max_tokens = 100 }
        assert.equal("4 5 6 7 8", (ai_wire.text(events):gsub("^%s+", "")))
      end)

      it("fails in one of our classes", function()
        local function fails(class, name, change)
          local last = ai_wire.last(ask(sentence(), change))
          assert.equal(name .. ": error " .. class, ("%s: %s %s"):format(name, last.type, last.class))
          return last
        end
        for fault, class in pairs(CLASSES) do fails(class, fault, { fault = fault }) end
        for fault, class in pairs(of.classes) do fails(class, fault, { fault = fault }) end
        for key, class in pairs(of.key_classes) do fails(class, key, { key = key }) end
        fails("auth", "wrong", { key = "wrong" })
        fails("auth", "forbidden", { key = "forbidden" })
        fails("not_found", "missing", { model = "missing-model" })
        assert.equal(7, fails("rate", "retry", { fault = "status=429,retry_after=7" }).retry_after_s)
        if stream then
          for fault, class in pairs(MID_STREAM) do fails(class, fault, { fault = fault }) end
        end
      end)

      if stream then
        it("means the same however its stream is written", function()
          local request = sentence{ say = TWO_CALLS, tools = TOOLS }
          for _, fault in ipairs{ "pings,comments,crlf,trailing", "merge", "fragment=1,interleave" } do
            local events = ask(request, { fault = fault })
            local calls = ai_wire.of_type(events, "tool")
            assert.equal(2, #calls)
            assert.is_true(calls[1].valid and calls[2].valid)
            assert.equal("tool", ai_wire.last(events).reason)
          end
        end)
      end

      if kind == "claude" then
        it("caches the prompt for minutes or an hour, and thinks within a budget", function()
          local function used(key, flags)
            return ai_wire.usage(ask(sentence{ system = ("word "):rep(3000), prompt_cache = true }, { key = key .. tostring(stream), flags = flags or of.flags }))
          end
          local first, second, hour = used("minutes"), used("minutes"), used("hour", { allows_temperature = false, cache_ttl = "1h" })
          assert.is_true(first.written > 1000 and first.written_1h == 0 and first.input > first.written)
          assert.is_true(second.cached > 1000 and second.input == first.input)
          assert.is_true(hour.written_1h > 1000 and hour.written == 0)
          local older = { model = "claude-sonnet-4-5", flags = { thinking_mode = "budget" } }
          assert.is_true(ai_wire.usage(ask(sentence{ effort = "high", max_tokens = 4000 }, older)).reasoning > 0)
          local went_on = ask({ messages = { { role = "user", text = "count to 8" }, { role = "assistant", text = "1 2 3 " } }, max_tokens = 100 }, older)
          assert.equal("4 5 6 7 8", (ai_wire.text(went_on):gsub("^%s+", "")))
        end)
      end
    end)
  end

  if adapter.capabilities.embeddings then
    it(kind .. " makes vectors of texts", function()
      local wire = adapter.embed_request({ "the cat", "the cats", "quantum" }, target{ model = "gemini-embedding-001" }, { dimensions = 64, task = "document" })
      local got = http.fetch{ url = wire.url, method = wire.method, headers = wire.headers, body = wire.body, timeout_s = 20 }
      local found = assert(adapter.embed_result(got.status, got.headers, got.body))
      assert.equal(3, #found.vectors)
      assert.equal(64, #found.vectors[1])
    end)
  end
end
