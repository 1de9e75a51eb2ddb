-- SPDX-License-Identifier: Apache-2.0
--- The machine of turns told anything in any order: it is never stuck, commits no speech twice, says nothing of what it has stopped, and stays small.
local turns = require "voice.turns"

local TEXTS = { "", " ", "yes", "no", "mm-hm", "I want to talk", "I want to talk about roofs", "and um", "stop", "4711", "four seven", "...", "\255\254\0", "b a k",
  "ja genau", ("long "):rep(300), "\226\128", "\240\159\152\128", "Tuesday." }
local EXPECTS = { { kind = "open" }, { kind = "yes_no" }, { kind = "digits", count = 4 }, { kind = "digits" }, { kind = "spelling", silence_ms = 12000 } }
local GUARDS = { false, false, false, "speech", "all" }

local random = math.random
local function one_of(list) return list[random(#list)] end

-- What is known of all that was said so far, and what must hold of each thing said.
local function judge()
  local self = { open = {}, replies = {}, turns = {}, last_turn = 0 }
  local function reply_of(action)
    local reply = self.replies[action.reply]
    assert(reply, "a reply that was never opened: " .. action.act)
    return reply
  end
  local act = {}
  function act.begin_model(a)
    assert(not self.eager, "two models begun")
    self.eager = a
  end
  function act.cancel_model(a)
    assert(self.eager and self.eager.turn == a.turn and self.eager.try == a.try, "a model cancelled that was not begun")
    self.eager = nil
  end
  function act.commit(a)
    assert(self.turns[a.turn] ~= "committed", "committed twice")
    assert(a.turn >= self.last_turn, "an older turn committed")
    assert(a.text:find("%S") or a.keys, "an empty turn committed")
    assert(a.began <= a.ended and a.waited >= 0)
    assert(not self.eager or (a.eager == self.eager.try and a.turn == self.eager.turn), "a model left running")
    self.eager, self.turns[a.turn], self.last_turn = nil, "committed", a.turn
    assert(not self.replies[a.reply], "a reply used twice")
    self.replies[a.reply] = { turn = a.turn }
  end
  function act.take_back(a)
    local reply = reply_of(a)
    assert(self.turns[a.turn] == "committed" and reply.turn == a.turn and not reply.gone, "taken back what was not there")
    self.turns[a.turn], reply.gone = "taken back", true
  end
  function act.prompt(a)
    assert(not self.eager, "a model left running")
    self.replies[a.reply] = {}
  end
  function act.speak(a) self.replies[a.reply] = self.replies[a.reply] or {} end
  function act.stop(a)
    if a.why == "stale" then return end
    local reply = reply_of(a)
    assert(not reply.gone)
    if a.why == "held" then return assert(reply.held or reply.hushed) end
    assert(not reply.held, "stopped twice")
    reply.ducked, reply.held = nil, not a.sure or nil
  end
  function act.drop(a)
    local reply = reply_of(a)
    assert(not reply.gone, "dropped twice")
    reply.gone = true
  end
  function act.resume(a)
    local reply = reply_of(a)
    assert((reply.held or reply.hushed) and not reply.gone, "resumed what was neither held nor hushed")
    reply.held, reply.hushed = nil, nil
  end
  function act.hush(a)
    local reply = reply_of(a)
    assert(not reply.hushed and not reply.ducked and not reply.held and not reply.gone)
    reply.hushed = true
  end
  function act.duck(a)
    local reply = reply_of(a)
    assert(not reply.ducked and not reply.hushed and not reply.held and not reply.gone)
    reply.ducked = true
  end
  function act.unduck(a)
    local reply = reply_of(a)
    assert(reply.ducked and not reply.held and not reply.gone)
    reply.ducked = nil
  end
  function act.filler(a)
    local reply = reply_of(a)
    assert(not reply.held and not reply.hushed and not reply.gone)
  end
  function act.amend(a) assert(self.turns[a.turn], "a turn that is not known") end
  function act.aside(a) assert(a.text) end
  function act.give_up() end
  function act.go() end
  function act.stay() end
  function self.hear(action) (act[action.act] or error("said what nobody knows: " .. tostring(action.act)))(action) end
  return self
end

local function size(value, seen)
  if type(value) == "string" then return #value end
  if type(value) ~= "table" or seen[value] then return 8 end
  seen[value] = true
  local sum = 40
  for k, v in pairs(value) do sum = sum + size(k, seen) + size(v, seen) end
  return sum
end

local function any_event(machine)
  local reply = machine.replies - (random(5) == 1 and random(-1, 2) or 0)
  local pick = random(21)
  if pick <= 3 then return { kind = "speech", ms = random(0, 100) } end
  if pick <= 6 then return { kind = "quiet", ms = one_of{ 200, 400, 60000 } } end
  if pick <= 9 then return { kind = "partial", text = one_of(TEXTS) } end
  if pick <= 11 then return { kind = "final", text = one_of(TEXTS) } end
  if pick == 12 then return { kind = "key", digit = one_of{ "1", "#", "A", "x", "" } } end
  if pick == 13 then return { kind = "expect", expect = one_of(EXPECTS) } end
  if pick == 14 then return { kind = "say" } end
  if pick <= 16 then
    return { kind = "play", reply = reply, id = random(1000), ms = one_of{ false, 0, 500, 8000 } or nil, guard = one_of(GUARDS) or nil, filler = random(4) == 1 or nil }
  end
  local head = machine.reply and machine.reply.pieces:head()
  if pick == 17 then return { kind = "played", id = head and head.id or random(1000) } end
  if pick == 18 then
    if random(4) == 1 then return { kind = "whole", id = head and head.id or 1, ms = random(0, 2000) } end
    return { kind = "replied", reply = reply }
  end
  if pick == 19 then return random(2) == 1 and { kind = "bound", reply = reply } or { kind = "position", id = head and head.id or 1, ms = random(0, 5000) } end
  if pick == 20 then return random(8) == 1 and { kind = "leave", how = "hangup" } or { kind = "opinion", probability = random() } end
  return { kind = "tick" }
end

-- A call of so many things told at random; then nothing more is told but that time passes.
local function call(seed, count, options)
  math.randomseed(seed)
  local now = 1000
  local machine = turns.new(options, now)
  local court, over = judge(), false
  local function take(event)
    local of = event.kind == "play" and event.reply
    local plays = of and machine.reply ~= nil and machine.reply.id == of
    local stopped
    for _, action in ipairs(machine:take(event, now)) do
      court.hear(action)
      stopped = stopped or (action.act == "stop" and action.reply == of)
    end
    assert(not of or plays or stopped, "plays what is not to be heard")
    local due = machine:due()
    assert(not due or due > now, "something is left undone")
    over = due == nil
    assert(not over or machine.over, "waits for nothing")
  end
  for i = 1, count do
    local pass = random(4) == 1 and random(0, 4000) or random(0, 300)
    local stop = now + pass
    while machine:due() and machine:due() <= stop do
      now = math.max(now, machine:due())
      take{ kind = "tick" }
    end
    now = stop
    take(any_event(machine))
    if i % 50 == 0 then assert(size(machine, {}) < 100000, "grows") end
  end
  return machine, take, function(ms) now = now + ms end, function() return over end
end

describe("the machine of turns, told anything in any order,", function()
  it("keeps its promises, and comes to an end when nothing more is told", function()
    for seed = 1, 150 do
      local ok, err = pcall(function()
        local machine, take, pass, over = call(seed, 250, { language = one_of{ "en", "de", "xx" }, prompts = random(0, 2) })
        local spent = 0
        while not over() do
          local wait = math.max(1, machine:due() - machine.now)
          pass(wait)
          spent = spent + wait
          assert(spent < 20 * 60000, "is stuck")
          take{ kind = "tick" }
        end
      end)
      assert(ok, "seed " .. seed .. ": " .. tostring(err))
    end
  end)

  it("commits whatever has a word, or asks, after the longest time a turn may take", function()
    for seed = 1, 100 do
      local machine, take, pass = call(seed, 60, { language = "en" })
      if not machine.over then
        take{ kind = "expect", expect = { kind = "open" } }
        local before = machine.turn + machine.replies
        for _ = 1, 2000 do  -- he never stops
          pass(100)
          take{ kind = "speech", ms = 60 }
          if machine.over or machine.turn + machine.replies > before + 1 then break end
        end
        assert.is_true(machine.over == true or machine.turn + machine.replies > before + 1, "seed " .. seed)
      end
    end
  end)

  it("takes a late wake-up as if all had come in time", function()
    for seed = 1, 100 do
      local machine, take, pass = call(seed, 50, { language = "en" })
      pass(3600000)
      take{ kind = "tick" }
      assert.is_true(machine:due() == nil or machine:due() > machine.now)
    end
  end)
end)
