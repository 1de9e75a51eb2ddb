-- SPDX-License-Identifier: Apache-2.0
--- Whatever a model, a recogniser, a synthesiser and the script do, and the caller meanwhile: the conversation holds, and comes to its end.
local json = require "core.json"
local kb = require "kb"
local request = require "ai.request"
local world = require "tests.lua.talk_world"

local SCRIPT = { function() return { broke = "flows/main.lua:3: no" } end, function() end, function(question)
  return question.tool and { value = 7 } or { value = question.given.n == 4 and "enough" or nil }
end }
local ARGS = { tools = { "create_lead", "lookup_kb", "transfer", "hangup", { name = "price", description = "d", parameters = { size = { type = "number" } } } }, escalate = true,
  slots = { { name = "zip", kind = "digits", prompt = "Your zip code?", digits = 5 }, { name = "name", kind = "name", prompt = "Your name?", optional = true } },
  limit = { turns = 30, seconds = 300 } }
local NAMES = { "create_lead", "lookup_kb", "transfer", "hangup", "price", "fill", "no.such tool" }
local ARGUMENTS = { "{}", '{"size":40}', '{"zip":"94107"}', '{"left_out":"name"}', '{"question":"x"}', "[]", "null", "{", "", "7" }
local TEXTS = { "", " ", "yes", "I want to speak to a human.", "you idiots", "my number is 4111 1111 1111 1111", "what do you have", "mm-hm", "hello" }
local ANSWERS = { "Hello.", "", "…", "<negative> I am sorry. What can I do?", "<unclear>", "<angry> Well.", "We have roofs of all kinds, and we put in windows, too. Shall I tell you more?" }

-- Numbers of its own, so that what fails can be had again.
local function dice(seed)
  local at = seed % 2147483646 + 1
  return function(most)
    at = at * 16807 % 2147483647
    return at % most + 1
  end
end

local function answer(roll)
  return function(asked, given, w)
    local _, wrong = request.check(asked)
    w.wrong = w.wrong or wrong and wrong.text
    local how = roll(10)
    if how == 1 then return nil, { class = "server", text = "no" } end
    if how == 2 then
      given.cancel:wait()
      return nil, { class = "cancelled", text = "cancelled" }
    end
    if how == 3 then w:pass(roll(3000)) end
    local text, calls = ANSWERS[roll(#ANSWERS)], {}
    for at = 1, #text, 5 do given.on_event{ type = "text", text = text:sub(at, at + 4) } end
    for i = 1, how > 6 and roll(3) or 0 do calls[i] = { id = "t" .. i, name = NAMES[roll(#NAMES)], arguments = ARGUMENTS[roll(#ARGUMENTS)] } end
    return { text = text, tool_calls = calls, reason = "end" }
  end
end

-- A synthesiser that may break off, or say nothing.
local function voice(roll, w)
  return function(text)
    if roll(12) > 1 then return w():stream(text) end
    local events = { { type = "audio", pcm = ("\1\0"):rep(800), rate = 8000 }, { type = "error", class = "network", text = "gone" } }
    return { next = function() return table.remove(events, 1) end, cancel = function() events = {} end }
  end
end

local function play(seed)
  local roll = dice(seed)
  local w
  w = world.new{ args = ARGS, script = SCRIPT[roll(3)], models = roll(4) > 1 and { answer(roll) } or nil, live = roll(2) == 1, say = voice(roll, function() return w end),
    answers = { hello = "Hello to you." } }
  assert(w.talk:begin{})
  local deeds = {
    function() w.talk:on_media("speech", 0, roll(200)) end,
    function() w.talk:on_media("quiet", 0, roll(2000)) end,
    function() w.on_audio(("\1\0"):rep(800)) end,
    function() w.talk:on_digit(("0123456789*#"):sub(roll(12))) end,
    function() w:pass(roll(3000)) end,
    function() w:pass(roll(200)) end,
    function() w:says(TEXTS[roll(#TEXTS)], roll(1500)) end,
    function() w:says(TEXTS[roll(#TEXTS)]) end,
    function() if w.asks.open then w.asks:tell{ id = w.asks.open.id, value = roll(2) == 1 and "late" or nil } end end,
    function()
      local session = w.sessions[#w.sessions]
      local kind = ({ "partial", "final", "utterance_end", "error", "end" })[roll(5)]
      if session then session.give{ type = kind, text = TEXTS[roll(#TEXTS)], class = "server" } end
    end,
  }
  for _ = 1, 20 + roll(60) do
    if w.result then break end
    deeds[roll(#deeds)]()
    assert(pcall(json.encode, w.kept))
  end
  return w, roll
end

describe("a conversation", function()
  local search = kb.search
  setup(function() kb.search = function() return nil, { code = "no_kb" } end end)
  teardown(function() kb.search = search end)

  it("comes to an end that is none of our mistakes, and has its lines in order, whatever happens", function()
    for seed = 1, 300 do
      local w, roll = play(seed)
      local closed = roll(3) == 1
      if closed then w.talk:close(roll(2) == 1) else w:pass(400000) end
      assert(w.wrong == nil, ("%s: %d"):format(tostring(w.wrong), seed))
      if not closed then
        assert(w.result, "it has no end: " .. seed)
        assert(w.result.failed == nil, ("%s: %d"):format(tostring(w.result.failed), seed))
      end
      local n = 0
      for _, line in ipairs(w.lines) do
        assert(line.n > n, seed)
        n = line.n
      end
    end
  end)
end)
