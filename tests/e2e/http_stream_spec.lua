-- SPDX-License-Identifier: Apache-2.0
--- core.http.stream against the fakes of tests/fakes: run by test_http_stream.py, which says where they are.
local clock = require "core.clock"
local http = require "core.http"
local json = require "core.json"
local task = require "core.task"

local CA = assert(os.getenv("PARLEY_FAKES_CA"))
local CONTROL = assert(os.getenv("PARLEY_FAKES_CONTROL"))
local BASES = { ["HTTP/1.1"] = os.getenv("PARLEY_FAKES"), ["HTTP/2"] = os.getenv("PARLEY_FAKES_TLS") }
local AIM_MS, MANY = 50, 500

local function stats()
  local got = assert(http.fetch{ url = CONTROL .. "/_fake/stats?streams=1000" })
  return json.decode(got.body)
end

local function ask(base, fault, text, more)
  local options = {
    url = base .. (fault and "/_with/" .. fault or "") .. "/openai/v1/chat/completions", method = "POST", framing = "sse", ca_file = CA,
    headers = { authorization = "Bearer k", ["content-type"] = "application/json" },
    body = json.encode{ model = "gpt-4.1", stream = true, messages = { { role = "user", content = text } } },
  }
  for name, value in pairs(more or {}) do options[name] = value end
  return http.stream(options)
end

-- All events until the end: list | nil, err, list.
local function all(stream)
  local events = {}
  while true do
    local name, data = stream:next()
    if name == nil then
      if data then return nil, data, events end
      return events
    end
    events[#events + 1] = data
  end
end

local function eventually(what, holds, state)
  for _ = 1, 1200 do
    if holds() then return end
    task.sleep(25)
  end
  error("never: " .. what .. (state and ": " .. state() or ""))
end

for name, base in pairs(BASES) do
  describe("a streamed answer over " .. name, function()
    it("is read event by event to its end", function()
      local stream = assert(ask(base, nil, "count to 40"))
      assert.equal(200, stream.status)
      assert.truthy(stream.headers["content-type"]:find("event-stream", 1, true))
      local events = assert(all(stream))
      assert.equal("[DONE]", events[#events])
      local text = {}
      for i = 1, #events - 1 do
        local choice = json.decode(events[i]).choices[1]
        text[#text + 1] = choice and type(choice.delta.content) == "string" and choice.delta.content or ""
      end
      assert.truthy(table.concat(text):find("38 39 40", 1, true))
      assert.is_nil((stream:next()))
    end)

    it("gives the body of a refusal as it is", function()
      local stream = assert(ask(base, "status=429,retry_after=2", "hello"))
      assert.equal(429, stream.status)
      assert.equal("2", stream.headers["retry-after"])
      assert.truthy(json.decode(table.concat((assert(all(stream))))).error)
    end)

    it("that is cut gives what came, and says so", function()
      local stream = assert(ask(base, "cut=3,how=rst", "count to 40"))
      local whole, err, events = all(stream)
      assert.is_nil(whole)
      assert.equal("io", err.code)
      assert.equal("body", err.stage)
      assert.truthy(#events >= 2)
    end)

    it("that does not begin, or stands still, is left in time", function()
      local stream, err = ask(base, "head_ms=3000", "hello", { first_byte_ms = 100 })
      assert.is_nil(stream)
      assert.equal("timeout", err.code)
      assert.equal("head", err.stage)
      local _, why = all(assert(ask(base, "stall=2", "count to 40", { idle_ms = 100 })))
      assert.equal("timeout", why.code)
      assert.equal("body", why.stage)
    end)

    it("can be cancelled by who has no answer yet", function()
      local held
      task.spawn(function()
        while not held do task.sleep(5) end
        task.sleep(50)
        held:cancel()
      end)
      local stream, err = ask(base, "head_ms=5000", "hello", { on_begin = function(s) held = s end })
      assert.is_nil(stream)
      assert.equal("cancelled", err.code)
    end)

    it("that nobody holds any more is left", function()
      local before = stats().open
      assert(ask(base, "gap_ms=500", "count to 200"))
      eventually("the server hears of it", function()
        collectgarbage()
        return stats().open <= before
      end)
    end)

    it("is left by five hundred at once, in the middle, and each is heard of in time", function()
      assert(http.fetch{ url = CONTROL .. "/_fake/stats", method = "DELETE" })
      local streams, began, waiting = {}, 0, {}
      for i = 1, MANY do
        task.spawn(function()
          local stream, err = ask(base, "gap_ms=500", "count to 200", { connect_ms = 60000 })
          assert(stream, err and err.text)
          assert(stream:next() ~= nil)
          streams[i], began = stream, began + 1
          -- Another task waits for what comes next while it is cancelled.
          while true do
            local got, why = stream:next()
            if got == nil then
              waiting[i] = why and why.code or "end"
              return
            end
          end
        end)
      end
      eventually("all have begun", function() return began == MANY end, function() return began .. " have " .. json.encode(http.pool()) end)
      local at_ms = clock.wall_us() / 1000
      for i = 1, MANY do streams[i]:cancel() end
      eventually("all are heard of", function() return stats().open == 0 end)
      local worst, cancelled = 0, 0
      for _, ended in ipairs(stats().ended_streams) do
        if ended["end"] == "cancelled" then cancelled = cancelled + 1 end
        worst = math.max(worst, ended.ended_ms - at_ms)
      end
      assert.truthy(cancelled >= MANY, cancelled .. " were cancelled")
      for i = 1, MANY do assert.equal("cancelled", waiting[i]) end
      print(("# %s: the last of %d cancelled streams was heard of after %.1f ms"):format(name, MANY, worst))
      assert.truthy(worst < AIM_MS * 10, ("the last was heard of after %.0f ms"):format(worst))
      for _, origin in ipairs(http.pool()) do
        assert.equal(0, origin.running)
        assert.equal(0, origin.waiting)
      end
      assert(all(assert(ask(base, nil, "count to 3"))))  -- and all goes on
    end)
  end)
end

describe("http.warm", function()
  it("keeps connections open before anybody asks, and tells them", function()
    assert.is_nil((http.warm("nonsense", 1)))
    assert(http.warm(BASES["HTTP/2"] .. "/openai", 2, CA))
    local function warm()
      for _, origin in ipairs(http.pool()) do
        if origin.warm == 2 then return origin end
      end
    end
    eventually("two are open", function() return warm() and warm().connections >= 2 end)
    assert.equal("h2", warm().speaks)
    assert(http.warm(BASES["HTTP/2"] .. "/openai", 0, CA))
    assert.is_nil(warm())
  end)
end)
