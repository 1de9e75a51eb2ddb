-- SPDX-License-Identifier: Apache-2.0
--- What callers say in whatever order and at whatever pace, understood late or never: no card's number is in the recording, and what else was understood is.
require "stand_in"
local cards = require "calls.cards"
local clock = require "core.clock"
local timer = require "core.timer"

local GROUPS = { "five five zero zero", "zero zero zero zero", "zero zero zero zero", "zero zero zero four" }
local WORDS = { "hello", "I would like to know your opening hours", "thank you very much", "is it on its way", "what does that cost" }
local IDLE = { "um", "yes", "okay", "." }

describe("what is said", function()
  local real = { mono_ms = clock.mono_ms, after = timer.after }
  local call, now, timers, tape, seed

  after_each(function() clock.mono_ms, timer.after = real.mono_ms, real.after end)

  local function random(n)
    seed = (seed * 16807) % 2147483647
    return seed % n + 1
  end

  local function begin(first)
    seed, now, timers = first, 100000, {}
    call = { recorders = {}, digits = {}, make_secret = function() return {} end, keep_keys = function() end, keep = function() end }
    clock.mono_ms = function() return now end
    timer.after = function(ms, fn)
      local one = { at = now + ms, fn = fn }
      one.cancel = function() one.fn = nil end
      timers[#timers + 1] = one
      return one
    end
    tape = { opened_ms = now, silences = {}, samples = 0, received = 0, left_out = 0, left_out_to = 0 }
    function tape:begin_silence() table.insert(self.silences, { from = (now - self.opened_ms) * 8 - 2000, open = true }) end
    function tape:end_silence()
      for _, one in ipairs(self.silences) do
        if one.open then one.to, one.open = (now - self.opened_ms) * 8 + 2000, nil end
      end
    end
    call.recorders[tape] = true
  end

  local function pass_to(ms)
    while true do
      local first
      for i = #timers, 1, -1 do
        if not timers[i].fn then table.remove(timers, i)
        elseif timers[i].at <= ms and (not first or timers[i].at < first.at) then first = timers[i] end
      end
      if not first then break end
      now = math.max(now, first.at)
      local fn = first.fn
      first.fn = nil
      fn()
    end
    now = ms
  end

  -- What was written too early cannot be silence any more: it is what nobody holds, a second later.
  local written_ms
  local function look()
    local limit = now - 1000
    for _, hold in pairs(call.holds or {}) do limit = math.min(limit, hold.since_ms) end
    written_ms = math.max(written_ms, limit)
    tape.samples, tape.received = math.floor((written_ms - 100000) * 8), math.floor((now - 100000) * 8)
  end

  -- Is it silence at that time? Of what was said there when it was written.
  local heard
  local function mark_to(ms)
    for at = heard.to, ms - 100, 100 do
      local sample, is_silent = (at - 100000) * 8, false
      for _, one in ipairs(tape.silences) do is_silent = is_silent or one.from <= sample and sample <= (one.to or math.huge) end
      heard[at] = not is_silent
      heard.to = at + 100
    end
  end

  -- The recording ends: what is held and doubtful is silence.
  local function hang_up()
    for _, hold in pairs(call.holds or {}) do
      if hold.is_doubtful() then table.insert(tape.silences, { from = (hold.since_ms - 100000) * 8 - 2000, to = math.huge }) end
    end
    mark_to(now)
  end

  -- A list of { at, fn } in the order of time, to its end or until he hangs up.
  local function play(events, stops_ms)
    for i, event in ipairs(events) do event.n = i end
    table.sort(events, function(a, b)
      if a.at ~= b.at then return a.at < b.at end
      return a.n < b.n
    end)
    written_ms, heard = 100000, { to = 100000 }
    for _, event in ipairs(events) do
      if stops_ms and event.at > stops_ms then break end
      for ms = now + 100, event.at - 1, 100 do
        pass_to(ms)
        look()
        mark_to(written_ms)
      end
      pass_to(event.at)
      event.fn()
      look()
    end
    local stop = stops_ms or now + 120000
    for ms = now + 100, stop, 100 do
      pass_to(ms)
      look()
      mark_to(written_ms)
    end
    if stops_ms then hang_up() end
  end

  -- What a caller says: utterances with a number among them, of which each is understood some time after it, in their order.
  -- @param fails_at number|nil  then nobody understands any more what he has said until then
  local function scene(is_live, fails_at)
    local said, at, texts_at = {}, 101000, 0
    local list = {}
    for _ = 1, random(4) do list[#list + 1] = { text = WORDS[random(#WORDS)] } end
    for n, group in ipairs(GROUPS) do
      list[#list + 1] = { text = group, of_card = true }
      if n < 4 and random(3) == 1 then list[#list + 1] = { text = IDLE[random(#IDLE)], between = true } end
    end
    for _ = 1, random(4) do list[#list + 1] = { text = WORDS[random(#WORDS)] } end
    local events = {}
    local function add(ms, kind, fields) events[#events + 1] = { at = math.floor(ms / 10) * 10, fn = function() cards.noticed(call, kind, fields) end } end
    for i, one in ipairs(list) do
      one.from = at
      one.to = at + 1000 + random(20) * 100
      add(one.from + 60, "speech", { ms = 60 })
      add(one.to + 60, "quiet", { ms = 60 })
      local asked_at = is_live and one.from + 300 or one.to + 660
      add(asked_at, "asked", { key = i, goes_on = is_live })
      if is_live then add(one.to + 300, "ended") end
      texts_at = math.max(texts_at + 40, one.to + 700 + random(12) * (random(4) == 1 and 2000 or 100))
      if not fails_at or asked_at > fails_at or texts_at < fails_at then
        add(texts_at, "final", { text = one.text, key = is_live and i or nil })
        add(texts_at + 20, "answered", { key = i })
      end
      said[#said + 1] = one
      at = one.to + 700 + random(30) * 100
    end
    if fails_at then add(fails_at, "unheard") end
    return said, events
  end

  -- How many digits of a number are heard.
  local function digits_heard(said)
    local digits = 0
    for _, one in ipairs(said) do
      for ms = math.ceil(one.from / 100) * 100, one.to - 100, 100 do
        if one.of_card and heard[ms] then digits = digits + 4 * 100 / (one.to - one.from) end
      end
    end
    return digits
  end

  -- The same to one that listens all the time, is behind by up to some seconds, and is asked where he is quiet for a while; some of it is so soft that it
  -- alone hears it.
  local function listened_scene()
    local list, events, at, behind = {}, {}, 101000, random(30) * 100
    for _ = 1, random(4) do list[#list + 1] = { text = WORDS[random(#WORDS)] } end
    for _, group in ipairs(GROUPS) do list[#list + 1] = { text = group, of_card = true } end
    for _ = 1, random(3) do list[#list + 1] = { text = WORDS[random(#WORDS)] } end
    local function add(ms, kind, fields) events[#events + 1] = { at = math.floor(ms / 10) * 10, fn = function() cards.noticed(call, kind, fields) end } end
    local soft = random(3) == 1
    for i, one in ipairs(list) do
      one.from, one.to = at, at + 1500 + random(15) * 100
      at = one.to + 200 + random(25) * 100
      if not soft or not one.of_card then
        add(one.from + 60, "speech", { ms = 60 })
        add(one.to + 60, "quiet", { ms = 60 })
      end
      if soft then behind = math.min(behind, 400) end
      local so_far = ""
      for word in one.text:gmatch("%S+") do
        so_far = so_far == "" and word or so_far .. " " .. word
        add(one.from + behind + (one.to - one.from) * #so_far / #one.text, "partial", { text = so_far })
      end
      add(one.to + behind + 50, "final", { text = one.text })
      if at - one.to > 700 and not (soft and one.of_card) then
        add(one.to + 660, "asked", { key = i })
        add(one.to + math.max(660, behind + 50) + 40, "answered", { key = i })
      end
    end
    return list, events
  end

  it("is silence where it is a card's number, though the recogniser listens all the time, is behind, or hears him alone", function()
    for first = 1, 200 do
      begin(first)
      local said, events = listened_scene()
      play(events)
      assert.is_true(digits_heard(said) < 4, ("seed %d: %d digits"):format(first, digits_heard(said)))
      assert.is_nil(next(call.holds or {}))
    end
  end)

  it("in whatever order it is told of breaks nothing, and nothing is held or silent for ever", function()
    local texts = { "four one one one", "yes", ".", "hello", "one one one one one one one one and thank you", ("one "):rep(30), "my number is 4111 1111", "" }
    local acts = {
      function() cards.noticed(call, "speech", { ms = random(500) }) end, function() cards.noticed(call, "quiet", { ms = 60 }) end,
      function() cards.noticed(call, "asked", { key = random(6), goes_on = random(2) == 1 or nil }) end, function() cards.noticed(call, "ended") end,
      function() cards.noticed(call, "partial", { text = texts[random(#texts)], key = random(6) }) end,
      function() cards.noticed(call, "final", { text = texts[random(#texts)], key = random(3) == 1 and random(6) or nil }) end,
      function() cards.noticed(call, "answered", { key = random(6) }) end, function() cards.noticed(call, "again", { ms = random(20) * 1000 }) end,
      function() cards.noticed(call, "unheard", { again_ms = random(2) == 1 and random(20) * 1000 or nil }) end,
      function() if random(4) == 1 then cards.noticed(call, "untranscribed") end end, function() cards.pressed(call, tostring(random(10) - 1), 100) end,
      function() cards.taken(call) end, function() cards.says(call, texts[random(#texts)]) end, function() cards.tells(call, texts[random(#texts)], random(3)) end,
      function() cards.said(call) end, function() cards.talked(call) end,
    }
    for first = 1, 200 do
      begin(first)
      written_ms = 100000
      for _ = 1, 60 do
        acts[random(#acts)]()
        pass_to(now + random(60) * random(100))
        look()
      end
      cards.said(call)
      cards.noticed(call, "quiet")
      cards.talked(call)
      pass_to(now + 200000)
      assert.is_nil(next(call.holds or {}), first)
      assert.is_nil(next(call.silences or {}), first)
      assert.same({}, timers)
    end
  end)

  for _, kind in ipairs{ "a recogniser", "a model's provider" } do
    it("is silence where it is a card's number and heard where it is none, however late " .. kind .. " is", function()
      for first = 1, 150 do
        begin(first)
        local said, events = scene(kind ~= "a recogniser")
        play(events)
        local first_group, last_group
        for _, one in ipairs(said) do
          if one.of_card then first_group, last_group = first_group or one.from, one.to end
        end
        for _, one in ipairs(said) do
          for ms = math.ceil((one.from + 200) / 100) * 100, one.to - 200, 100 do
            if one.of_card then
              assert.is_false(heard[ms], ("seed %d: %d ms of %s"):format(first, ms - one.from, one.text))
            elseif not one.between and ((one.to < first_group - 1000 or one.from > last_group + 2500)) then
              assert.is_true(heard[ms], ("seed %d: %d ms of %s"):format(first, ms - one.from, one.text))
            end
          end
        end
        assert.is_nil(next(call.holds or {}))
        assert.is_nil(next(call.silences or {}))
      end
    end)

    it("is no card's number in a recording that ends at any time, or where " .. kind .. " fails at any time", function()
      for first = 1, 300 do
        begin(first)
        local is_live, at = kind ~= "a recogniser", 101000 + random(400) * 100
        local said, events = scene(is_live, first % 2 == 0 and at or nil)
        play(events, first % 2 == 1 and at or nil)
        assert.is_true(digits_heard(said) < 12, ("seed %d: %d digits"):format(first, digits_heard(said)))
      end
    end)
  end
end)
