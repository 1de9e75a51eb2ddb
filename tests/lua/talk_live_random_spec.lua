-- SPDX-License-Identifier: Apache-2.0
--- Whatever a realtime model's session tells, in whatever order, and whatever the caller does meanwhile: the conversation holds, and comes to its end.
local json = require "core.json"
local kb = require "kb"
local live = require "calls.talk.live"
local world = require "tests.lua.talk_world"

local SCRIPT = { broke = function() return { broke = "flows/main.lua:3: no" } end, late = function() end, rule = function(question)
  return question.tool and { value = 7 } or { value = question.given.n == 4 and "enough" or nil }
end }
local ARGS = { tools = { "create_lead", "lookup_kb", "transfer", "hangup", { name = "price", description = "d", parameters = { size = { type = "number" } } } }, escalate = true,
  slots = { { name = "zip", kind = "digits", prompt = "Your zip code?", digits = 5 }, { name = "name", kind = "name", prompt = "Your name?", optional = true } },
  limit = { turns = 30, seconds = 300 } }
local NAMES = { "create_lead", "lookup_kb", "transfer", "hangup", "price", "fill", "no.such tool" }
local ARGUMENTS = { "{}", '{"size":40}', '{"zip":"94107"}', '{"left_out":"name"}', '{"question":"x"}', "[]", "null", "{", "", "7" }
local TEXTS = { "", " ", "yes", "I want to speak to a human.", "you idiots", "my number is 4111 1111 1111 1111", "what do you have", "mm-hm", "hello" }

-- Numbers of its own, so that what fails can be had again.
local function dice(seed)
  local at = seed % 2147483646 + 1
  return function(most)
    at = at * 16807 % 2147483647
    return at % most + 1
  end
end

local function play(seed)
  local roll = dice(seed)
  local scripts = { SCRIPT.broke, SCRIPT.late, SCRIPT.rule }
  local w = world.new{ of = live, args = ARGS, script = scripts[roll(3)], first_line = roll(2) == 1 and 50 or nil }
  assert(w.talk:begin{})
  local replies, turns, calls = 0, 0, 0
  local function reply() return roll(5) == 1 and math.max(1, replies - roll(3)) or math.max(1, replies) end
  local function turn() return math.max(1, turns - (roll(6) == 1 and roll(3) or 0)) end
  local deeds = {
    function() w:tell("ready", { provider = "p", model = "m", again = roll(2) == 1 or nil }) end,
    function()
      turns = turns + 1
      w:tell("speech_started", { turn = turns })
    end,
    function() w:tell("speech_ended") end,
    function() w:tell("user_text", { turn = turn(), text = TEXTS[roll(#TEXTS)], final = roll(2) == 1 or nil }) end,
    function() replies = replies + 1 end,
    function() w:tell("audio", { reply = reply(), pcm = ("\1\0"):rep(roll(8000)) }) end,
    function() w:tell("agent_text", { reply = reply(), text = TEXTS[roll(#TEXTS)] }) end,
    function() w:tell("audio_end", { reply = reply(), ms = roll(2000) }) end,
    function() w:tell("turn_done", { reply = reply(), reason = ({ "end", "tool", "length", "refused", "interrupted", "failed", "lost" })[roll(7)] }) end,
    function()
      calls = calls + 1
      w:tell("tool", { reply = reply(), id = "c" .. (roll(8) == 1 and calls - 1 or calls), name = NAMES[roll(#NAMES)], arguments = ARGUMENTS[roll(#ARGUMENTS)], valid = true })
    end,
    function() w:tell("tool_cancelled", { id = "c" .. roll(calls + 1) }) end,
    function() w:tell("interrupted", { reply = reply() }) end,
    function() w:tell("usage", { usage = {} }) end,
    function() w.talk:on_media("speech", 0, roll(200)) end,
    function() w.talk:on_media("quiet", 0, roll(2000)) end,
    function() w.on_audio(("\1\0"):rep(400)) end,
    function() w.talk:on_digit(("0123456789*#"):sub(roll(12))) end,
    function() w:pass(roll(3000)) end,
    function() w:pass(roll(200)) end,
    function() if w.asks.open then w.asks:tell{ id = w.asks.open.id, value = roll(2) == 1 and "late" or nil } end end,
  }
  for _ = 1, 40 + roll(120) do
    if w.result then break end
    deeds[roll(#deeds)]()
    assert(pcall(json.encode, w.kept))
  end
  return w, roll
end

local function check_lines(w, seed)
  local n = 0
  for _, line in ipairs(w.lines) do
    assert(line.n > n, seed)
    n = line.n
  end
end

describe("a conversation that a realtime model leads", function()
  local search = kb.search
  setup(function() kb.search = function() return nil, { code = "no_kb" } end end)
  teardown(function() kb.search = search end)

  it("comes to an end that is none of our mistakes, and has its lines in order, whatever happens", function()
    for seed = 1, 400 do
      local w, roll = play(seed)
      local how = roll(3)
      if how == 1 and not w.result then
        w:tell("error", { class = "network", text = "gone" })
      elseif how == 2 then
        w.talk:close(roll(2) == 1)
      end
      if how ~= 2 then
        w:pass(400000)
        assert(w.result, "it has no end: " .. seed)
        assert(w.result.failed == nil, ("%s: %d"):format(tostring(w.result.failed), seed))
      end
      check_lines(w, seed)
      if w.result and w.result.lost then
        local going = w.result.going
        local other = world.new{ args = ARGS, script = SCRIPT.rule, going = going, kept = going.kept, answers = {} }
        assert(other.talk:begin{})
        other:pass(400000)
        assert(other.result and other.result.failed == nil, "who goes on has no end: " .. seed)
        check_lines(other, seed)
      end
      for _, timer in ipairs(w.timers) do assert(timer.own or not timer.fn or how == 2, "a clock is left: " .. seed) end
      local told = {}
      for _, one in ipairs(w.model.told) do
        if one[1] == "tool_result" then told[one[2]] = (told[one[2]] or 0) + 1 end
      end
      for id, count in pairs(told) do assert(count <= 3, ("%s has %d results: %d"):format(id, count, seed)) end
    end
  end)
end)
