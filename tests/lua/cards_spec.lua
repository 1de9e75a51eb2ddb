-- SPDX-License-Identifier: Apache-2.0
--- What of a call's sound is kept back while it may become a card's number, and what is silence in the end.
require "stand_in"
local cards = require "calls.cards"
local clock = require "core.clock"
local timer = require "core.timer"

local CARD = "4111111111111111"
local SAID = "four one one one one one one one one one one one one one one one"

describe("a card's number", function()
  local real = { mono_ms = clock.mono_ms, after = timer.after }
  local call, now, timers

  before_each(function()
    call = { recorders = {}, make_secret = function() return {} end, keep_keys = function() end, keep = function() end }
    now, timers = 100000, {}
    clock.mono_ms = function() return now end
    timer.after = function(ms, fn)
      local one = { at = now + ms, fn = fn }
      one.cancel = function() one.fn = nil end
      timers[#timers + 1] = one
      return one
    end
  end)
  after_each(function() clock.mono_ms, timer.after = real.mono_ms, real.after end)

  local function pass(ms)
    now = now + ms
    for _, one in ipairs(timers) do
      if one.fn and one.at <= now then
        local fn = one.fn
        one.fn = nil
        fn()
      end
    end
  end

  local function press(text)
    for digit in text:gmatch(".") do
      cards.pressed(call, digit, 100)
      pass(400)
    end
  end

  local function held(why) return call.holds and call.holds[why] end
  local function silent(why) return call.silences ~= nil and call.silences[why] ~= nil end
  local function says(text)
    cards.noticed(call, "speech", { ms = 60 })
    pass(5000)
    cards.noticed(call, "quiet", { ms = 300 })
    pass(500)
    cards.noticed(call, "final", { text = text })
  end

  -- What is silent of the recording, each time in seconds of the call and without the margins around it.
  local function with_tape()
    local tape = { opened_ms = now, silences = {}, samples = 0, received = 0, left_out = 0, left_out_to = 0, begin_silence = function() end, end_silence = function() end }
    call.recorders[tape] = true
    return function(second)
      tape.received = math.floor((now - tape.opened_ms) * 8)
      for _, one in ipairs(tape.silences) do
        if one.from <= second * 8000 and second * 8000 <= one.to then return true, one.whose end
      end
      return false
    end
  end

  it("that is pressed is held from its first key on, and silence when its last has come", function()
    press(CARD:sub(1, 15))
    assert.equal(100000 - 100, held("keys").since_ms)
    assert.is_false(silent "keys")
    press "1"
    assert.is_true(silent "keys")
    assert.is_nil(held "keys")
    pass(1000)
    assert.is_false(silent "keys")
    press "12"
    assert.is_true(silent "keys", "its expiry is told with it")
    pass(1000)
    assert.is_false(silent "keys")
    pass(14000)
    press "27"
    assert.is_false(silent "keys")
  end)

  it("may be pressed in groups, which a script takes one by one", function()
    for _, group in ipairs{ "4111", "1111", "1111", "1111" } do
      press(group)
      cards.taken(call)
    end
    assert.is_true(silent "keys")
  end)

  it("is none in a menu's key, which is written when the menu has it", function()
    press "1"
    assert.truthy(held "keys")
    cards.taken(call)
    assert.is_nil(held "keys")
  end)

  -- Each key ended the chain: none of sixteen was ever a card's, and the sound of all was written.
  it("may be pressed for a script that takes each key at once: its first three are written at most", function()
    press "4"
    local since_ms
    cards.taken(call)
    for digit in CARD:sub(2):gmatch(".") do
      press(digit)
      cards.taken(call)
      since_ms = since_ms or held "keys" and held("keys").since_ms
    end
    assert.is_true(silent "keys")
    assert.equal(100000 + 3 * 400 - 100, since_ms)
  end)

  it("may be pressed in a group of three and then the rest", function()
    press(CARD:sub(1, 3))
    cards.taken(call)
    assert.is_nil(held "keys")
    press(CARD:sub(4))
    assert.is_true(silent "keys")
  end)

  -- Half of it was among the keys, and half among the words.
  it("may be pressed in part and said in part, in turns", function()
    local is_silent = with_tape()
    press(CARD:sub(1, 6))
    says "one one"
    press(CARD:sub(9, 10))
    assert.is_false(silent "keys")
    says "one one one one one one"
    for second = 0, 13 do assert.is_true(is_silent(second)) end
    press "1227"
    assert.is_true(silent "keys", "its expiry is told with it")
  end)

  it("may be said first and pressed to its end, slowly", function()
    local is_silent = with_tape()
    says "my number is four one one one one one one one"
    for _ = 1, 7 do
      pass(3500)
      press "1"
    end
    assert.is_false(is_silent(2))
    press "1"
    assert.is_true(silent "keys")
    for second = 1, 5 do assert.is_true(is_silent(second)) end
    pass(1500)
    pass(20000)
    assert.is_nil(held "voice")
    press "4711"
    says "my number is four one one one one one one one"
    says "no, wait"
    press "11111111"
    assert.is_false(silent "keys")
  end)

  it("may come behind a menu's key", function()
    press "1"
    cards.taken(call)
    press(CARD)
    assert.is_true(silent "keys")
  end)

  -- Of eight texts at most a number was made: who paused behind each digit, and was understood well, had all sixteen in the recording.
  it("may be said digit by digit, with a pause behind each", function()
    local since_ms
    for word in SAID:gmatch("%S+") do
      cards.noticed(call, "speech", { ms = 60 })
      pass(500)
      cards.noticed(call, "quiet", { ms = 200 })
      cards.noticed(call, "final", { text = word })
      since_ms = since_ms or held("voice").since_ms
    end
    assert.is_true(silent "voice")
    assert.equal(100000 - 60, since_ms)
  end)

  it("is none in an order number, which is written when no key follows", function()
    press "4111111111111112"
    pass(16000)
    assert.is_nil(held "keys")
    assert.is_false(silent "keys")
  end)

  it("that was not finished when the recording ends is silence as well", function()
    press(CARD:sub(1, 11))
    assert.is_false(held("keys").is_doubtful())
    press "1"
    assert.is_true(held("keys").is_doubtful())
  end)

  it("that is said is held from the voice's beginning, and silence until something else is said", function()
    says(SAID)
    assert.is_true(silent "voice")
    assert.is_nil(held "voice")
    pass(1500)
    assert.is_false(silent "voice")
    says "twelve twenty seven"
    assert.is_true(silent "voice", "its expiry is told with it")
    pass(1500)
    says "that is all, thank you"
    assert.is_false(silent "voice")
    assert.truthy(held "voice")
    pass(3000)
    assert.is_nil(held "voice")
  end)

  it("that a model says is silence from its first digit on, though its words come with their sound", function()
    local told, since_ms = "I read it back: ", nil
    for word in SAID:gmatch("%S+") do
      told = told .. word .. " "
      cards.tells(call, told)
      since_ms = since_ms or held "words" and held("words").since_ms
      pass(300)
    end
    assert.is_true(silent "words")
    assert.equal(100000 + 300, since_ms, "one number alone begins no card's, two do")
    cards.said(call)
    assert.is_false(silent "words")
    cards.tells(call, "We open at nine and close at five.")
    assert.is_false(silent "words")
    assert.is_nil(held "words")
  end)

  it("may be said in several breaths", function()
    says "my number is four one one one"
    pass(3000)
    local since_ms = held("voice").since_ms
    says "one one one one"
    says "one one one one"
    assert.is_false(silent "voice")
    assert.equal(since_ms, held("voice").since_ms)
    says "one one one one"
    assert.is_true(silent "voice")
  end)

  it("ends where other words follow it, and digits behind them are another", function()
    says "four one one one one one one one one one one one one one one one did you get that"
    says "twelve twenty six"
    assert.is_true(silent "voice")
    says "and that was it"
  end)

  it("is found behind other digits, however many texts of them there were", function()
    for _, text in ipairs{ "oh", "two", "four", "oh", "one", "nine", "four one one one", "one one one one", "one one one one", "one one one one" } do says(text) end
    assert.is_true(silent "voice")
  end)

  it("is one though a digit of it was misheard, and a phone number is none", function()
    says "four one one one one one one one one one five one one one one one"
    assert.is_true(silent "voice")
    says "that was it"
    pass(3000)
    assert.is_false(silent "voice")
    says "plus four nine one seven six one two three four five six seven eight"
    says "or also"
    says "zero zero four nine one seven six one two three four five six"
    assert.is_false(silent "voice")
  end)

  it("keeps nothing back where none was said, as soon as that is known", function()
    says "I would like to know your opening hours"
    assert.truthy(held "voice", "a sentence may be told in parts")
    pass(3000)
    assert.is_nil(held "voice")
  end)

  it("keeps back what was said and is not understood yet, for as long as a text can be late", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    assert.is_false(held("voice").is_doubtful(), "nobody says it so fast")
    pass(4000)
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "quiet", { ms = 300 })
    pass(19000)
    assert.truthy(held "voice")
    pass(1500)
    assert.is_nil(held "voice")
  end)

  local asked = 0
  -- An utterance of two seconds, and half a second more until its text is asked for.
  local function says_unanswered()
    asked = asked + 1
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(500)
    cards.noticed(call, "asked", { key = asked })
    return asked
  end

  local function answer(key, text)
    if text then cards.noticed(call, "final", { text = text }) end
    cards.noticed(call, "answered", { key = key })
  end

  local GROUPS = { "four one one one", "one one one one", "one one one one", "one one one one" }

  -- It was let out 20 s after the voice, or 15 s behind the first group's text, whatever was still on its way: on a busy machine the number was heard.
  it("is silence in all its groups however slow the recogniser is, and comes however late", function()
    local is_silent = with_tape()
    local began_ms, keys = now - 60, {}
    for n = 1, 4 do keys[n] = says_unanswered() end
    for n, seconds in ipairs{ 22, 16, 1, 1 } do
      for _ = 1, seconds do
        pass(1000)
        assert.is_true(held("voice").since_ms <= began_ms)
      end
      answer(keys[n], GROUPS[n])
    end
    for second = 0, 9 do assert.is_true(is_silent(second)) end
  end)

  it("is held though what was said before it is understood by now, and nothing else is", function()
    local is_silent = with_tape()
    local hello = says_unanswered()
    pass(1000)
    local began_ms = now - 60
    local number = says_unanswered()
    answer(hello, "hello")
    pass(30000)
    assert.equal(began_ms, held("voice").since_ms)
    answer(number, SAID)
    assert.is_true(is_silent(4))
    assert.is_false(is_silent(8))
  end)

  it("is left out where its text is not there in time, and what is said behind that is understood again", function()
    local is_silent = with_tape()
    says_unanswered()
    pass(44000)
    assert.is_true(held("voice").is_doubtful())
    assert.is_false(is_silent(1))
    pass(1500)
    assert.is_true(is_silent(1))
    assert.is_false(is_silent(5))
    answer(says_unanswered(), "are you still there")
    pass(3000)
    assert.is_nil(held "voice")
    assert.is_false(is_silent(47))
  end)

  it("is left out with the groups around it where the recogniser failed in its midst", function()
    local is_silent = with_tape()
    answer(says_unanswered(), GROUPS[1])
    says_unanswered()
    cards.noticed(call, "unheard")
    assert.is_true(is_silent(1))
    assert.is_true(is_silent(3))
    local third_at = (now - 100000) / 1000 + 1
    answer(says_unanswered(), GROUPS[3])
    pass(1500)
    assert.is_true(is_silent(third_at))
    pass(5000)
    local fourth_at = (now - 100000) / 1000 + 1
    answer(says_unanswered(), "thank you very much")
    pass(3000)
    assert.is_nil(held "voice")
    assert.is_false(is_silent(fourth_at))
  end)

  -- With "yes" understood it was forgotten that there had been a group before: twelve digits were heard.
  it("is left out with the groups behind it where the recogniser failed between them, in a word that says nothing", function()
    local is_silent = with_tape()
    answer(says_unanswered(), GROUPS[1])
    cards.noticed(call, "speech", { ms = 60 })
    pass(500)
    cards.noticed(call, "unheard")
    pass(500)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(500)
    cards.noticed(call, "asked", { key = "yes" })
    answer("yes", "yes")
    pass(3500)
    local second = (now - 100000) / 1000
    for n = 2, 4 do answer(says_unanswered(), GROUPS[n]) end
    assert.is_true(is_silent(1))
    for at = second, second + 7 do assert.is_true(is_silent(at)) end
    pass(20000)
    assert.is_nil(held "voice")
  end)

  it("is left out where nobody listens any more while he speaks, and not what he says to a human then", function()
    local is_silent = with_tape()
    cards.noticed(call, "speech", { ms = 60 })
    pass(4000)
    cards.noticed(call, "unheard")
    cards.talked(call)
    pass(25000)
    assert.is_nil(held "voice")
    assert.is_true(is_silent(1))
    assert.is_true(is_silent(3))
    assert.is_false(is_silent(6))
  end)

  it("is all that is lost where it was left out: what we say when the conversation has ended for it is there", function()
    local is_silent = with_tape()
    says_unanswered()
    cards.noticed(call, "unheard")
    cards.talked(call)
    assert.is_true(is_silent(1))
    assert.is_nil(held "voice")
  end)

  it("is none where the recogniser says that there were no words, which is let out", function()
    local is_silent = with_tape()
    answer(says_unanswered())
    pass(21000)
    assert.is_nil(held "voice")
    assert.is_false(is_silent(1))
  end)

  it("is none in the text that ended the conversation before its recogniser had told that this was all", function()
    local is_silent = with_tape()
    says_unanswered()
    cards.noticed(call, "final", { text = "no thank you goodbye" })
    cards.noticed(call, "unheard")
    cards.talked(call)
    pass(3000)
    assert.is_nil(held "voice")
    assert.is_false(is_silent(1))
  end)

  it("is silence where the call ends, or moves, before what was said is understood", function()
    answer(says_unanswered(), "hello")
    says_unanswered()
    assert.is_true(held("voice").is_doubtful())
    local from = call
    call.frozen = true
    cards.moves(call)
    assert.is_true(from.silences.moves)
  end)

  it("that a model's provider hears is awaited turn by turn, from its beginning to the voice's end", function()
    local is_silent = with_tape()
    cards.noticed(call, "speech", { ms = 60 })
    pass(300)
    cards.noticed(call, "asked", { key = "turn 1", goes_on = true })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(1000)
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(44000)
    assert.is_true(held("voice").since_ms <= 100000)
    pass(1500)
    assert.is_true(is_silent(0))
    assert.is_true(is_silent(5))
    assert.is_false(is_silent(7))
  end)

  -- A turn of a model's caller: its voice, the provider's word of it, and no text yet.
  local function turn(n)
    cards.noticed(call, "speech", { ms = 60 })
    pass(300)
    cards.noticed(call, "asked", { key = "turn " .. n, goes_on = true })
    pass(3700)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(1000)
    cards.noticed(call, "ended")
  end

  -- The recording was silence from the first turn without a text to the next one's end, and of all turns where none had one.
  it("that a model's provider does not write down costs that turn alone, and of the caller only", function()
    local is_silent = with_tape()
    turn(1)
    pass(5000)
    turn(2)
    answer("turn 2", "hello, are you there")
    pass(36000)
    assert.same({ true, "caller" }, { is_silent(2) })
    for second = 5, 40 do assert.is_false(is_silent(second)) end
    pass(3000)
    assert.is_nil(held "voice")
  end)

  it("is none where the provider's own words for a pause are one turn, of which all is understood", function()
    local is_silent = with_tape()
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "asked", { key = "turn 1", goes_on = true })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(500)
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    answer("turn 1", "I would like to know your opening hours")
    pass(3000)
    assert.is_nil(held "voice")
    turn(2)
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "asked", { key = "turn 3", goes_on = true })
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "ended")
    for n = 2, 3 do cards.noticed(call, "final", { text = "and where you are", key = "turn " .. n }) end
    for n = 2, 3 do cards.noticed(call, "answered", { key = "turn " .. n }) end
    cards.noticed(call, "unheard")
    for second = 1, (now - 100000) / 1000 do assert.is_false(is_silent(second)) end
  end)

  -- The text of the second stood for the first's, which was written.
  it("is silence in a turn that was not understood, though a later one was", function()
    local is_silent = with_tape()
    turn(1)
    turn(2)
    cards.noticed(call, "final", { text = "yes, thanks", key = "turn 2" })
    cards.noticed(call, "answered", { key = "turn 2" })
    cards.noticed(call, "unheard")
    assert.is_true(is_silent(1))
    assert.is_false(is_silent(7))
  end)

  it("is left out where the provider alone heard it, until it said that this was all", function()
    local is_silent = with_tape()
    answer(says_unanswered(), "hello")
    pass(2000)
    cards.noticed(call, "asked", { key = "turn 1", goes_on = true })
    pass(5000)
    cards.noticed(call, "unheard")
    assert.is_true(is_silent(8))
    assert.is_false(is_silent(2))
    pass(5500)
    cards.noticed(call, "asked", { key = "turn 2", goes_on = true })
    pass(4000)
    cards.noticed(call, "ended")
    pass(46000)
    assert.is_true(is_silent(17))
    assert.is_false(is_silent(25))
  end)

  it("is none where a recogniser that listens all the time had told it before it was asked: its sound is let out at once", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(4000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(300)
    cards.noticed(call, "final", { text = "thank you very much, goodbye" })
    cards.noticed(call, "asked", { key = 1 })
    cards.noticed(call, "answered", { key = 1 })
    assert.is_false(held("voice").is_doubtful())
    pass(3000)
    assert.is_nil(held "voice")
  end)

  it("is doubtful behind its first digits when he says more that nobody has told of yet", function()
    says "four one one one one one one one"
    cards.noticed(call, "speech", { ms = 60 })
    pass(3000)
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "final", { text = "I mean" })
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "partial", { text = "four one one one" })
    pass(1000)
    assert.is_false(held("voice").is_doubtful())
    pass(4000)
    assert.is_true(held("voice").is_doubtful(), "its words so far are old")
  end)

  it("is not looked for where the tenant has nobody write down what is said", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(5000)
    cards.noticed(call, "untranscribed")
    assert.is_nil(held "voice")
    local is_silent = with_tape()
    turn(1)
    cards.noticed(call, "untranscribed")
    pass(21000)
    assert.is_nil(held "voice")
    assert.is_true(is_silent(2), "of who wrote it down before")
  end)

  it("is held from the voice's beginning where the provider told of it before our own voice detection", function()
    pass(1000)
    cards.noticed(call, "asked", { key = "turn 1", goes_on = true })
    pass(100)
    cards.noticed(call, "speech", { ms = 360 })
    assert.equal(now - 360, held("voice").since_ms)
  end)

  -- What the first text did not tell was let out with it, though the recogniser was only behind.
  it("is silence where a recogniser that listens all the time is behind, and tells another sentence before it", function()
    local is_silent = with_tape()
    local began_ms = now - 60
    cards.noticed(call, "speech", { ms = 60 })
    pass(5000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(300)
    cards.noticed(call, "final", { text = "here it is" })
    pass(300)
    cards.noticed(call, "asked", { key = "late" })
    pass(500)
    assert.is_true(held("voice").since_ms <= began_ms)
    answer("late", SAID)
    for second = 1, 6 do assert.is_true(is_silent(second)) end
    pass(1500)
    pass(15000)
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(100)
    cards.noticed(call, "final", { text = "hello" })
    began_ms = now
    cards.noticed(call, "speech", { ms = 60 })
    pass(5000)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(600)
    cards.noticed(call, "asked", { key = "later" })
    cards.noticed(call, "final", { text = "my number is four one one one" })
    assert.is_true(held("voice").since_ms <= began_ms - 2000)
  end)

  it("leaves little silence behind the voice when its text comes late: what we say meanwhile is heard", function()
    local is_silent = with_tape()
    local key = says_unanswered()
    pass(10000)
    answer(key, SAID)
    assert.is_false(silent "voice")
    for second = 0, 3 do assert.is_true(is_silent(second)) end
    for second = 4, 12 do assert.is_false(is_silent(second)) end
    answer(says_unanswered(), "twelve twenty seven")
    assert.is_true(is_silent(13), "its expiry is told with it")
    assert.is_false(is_silent(10))
  end)

  -- All was silence that he said until its text came, and behind that until he paused.
  it("whose text comes late costs nothing of what he says meanwhile, which is understood", function()
    local is_silent = with_tape()
    local number = says_unanswered()
    pass(2000)
    local more = says_unanswered()
    cards.noticed(call, "speech", { ms = 60 })
    pass(1000)
    answer(number, SAID)
    pass(1000)
    answer(more, "hello, are you there")
    cards.noticed(call, "quiet", { ms = 60 })
    pass(500)
    cards.noticed(call, "asked", { key = "last" })
    answer("last", "is it on its way")
    pass(3000)
    assert.is_nil(held "voice")
    assert.is_true(is_silent(2))
    for second = 4, 12 do assert.is_false(is_silent(second)) end
  end)

  it("is all that is lost of what he says right behind it, though nobody understands that", function()
    local is_silent = with_tape()
    answer(says_unanswered(), SAID)
    cards.noticed(call, "speech", { ms = 60 })
    pass(300)
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "asked", { key = "cough" })
    pass(3000)
    answer(says_unanswered(), "that was it")
    pass(5000)
    cards.noticed(call, "unheard")
    assert.is_true(is_silent(1))
    for second = 6, 10 do assert.is_false(is_silent(second)) end
  end)

  it("does not keep back more and more of who talks on and on", function()
    cards.noticed(call, "speech", { ms = 60 })
    for _ = 1, 10 do
      pass(20000)
      cards.noticed(call, "final", { text = "and then we went home again" })
      assert.is_true(now - held("voice").since_ms <= 8000)
    end
    pass(70000)
    assert.is_true(now - held("voice").since_ms <= 20000, "and no text came")
  end)

  -- What ended in digits held all behind it, however often something else was said: a minute and a half later it was lost for good.
  it("is none in what ends in digits again and again, of which only the newest is kept back", function()
    for _ = 1, 12 do
      local began_ms = now - 60
      says "the reading of the next meter is four one one one"
      assert.equal(began_ms, held("voice").since_ms)
      pass(8000)
    end
  end)

  it("is kept back from where its text may have begun, when that comes after more was said", function()
    says "hello"
    pass(1000)
    local began_ms = now - 60
    cards.noticed(call, "speech", { ms = 60 })
    pass(4000)
    cards.noticed(call, "quiet", { ms = 300 })
    pass(3000)
    cards.noticed(call, "speech", { ms = 60 })
    pass(500)
    cards.noticed(call, "final", { text = "my number is four one one one" })
    assert.is_true(held("voice").since_ms <= began_ms)
  end)

  it("is none in an account number and menus' keys behind it, which are let out in time", function()
    press "4111222243"
    for _ = 1, 20 do
      cards.taken(call)
      pass(14000)
      press "1"
      assert.is_false(silent "keys")
      assert.is_true(not held "keys" or now - held("keys").since_ms < 75000)
    end
  end)

  it("in the midst of a long speech is silence, and what comes behind it is not", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(10000)
    cards.noticed(call, "final", { text = "here it is " .. SAID })
    assert.is_true(silent "voice")
    pass(5000)
    cards.noticed(call, "final", { text = "so much about that" })
    assert.is_false(silent "voice")
    assert.equal(now, held("voice").since_ms)
  end)

  it("that grows in what is heard meanwhile is doubtful before its text is final", function()
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "partial", { text = "four one one one one one" })
    assert.is_false(held("voice").is_doubtful())
    cards.noticed(call, "partial", { text = "four one one one one one one one one one one one" })
    assert.is_true(held("voice").is_doubtful())
  end)

  it("that we say ourselves is silence until it was said", function()
    cards.says(call, "Thank you.")
    assert.is_nil(held "words")
    cards.says(call, "I have four one one one, one one one one,")
    assert.truthy(held "words")
    pass(500)
    cards.says(call, "one one one one, one one one one.")
    assert.is_true(silent "words")
    cards.says(call, "Is that right?")
    assert.is_true(silent "words")
    cards.said(call)
    assert.is_false(silent "words")
  end)

  -- Each reply was looked at alone.
  it("that we read back group by group is silence from the first on, with what is told behind it", function()
    local since_ms = now
    for n, group in ipairs(GROUPS) do
      cards.says(call, n == 1 and "I repeat: " .. group .. "." or group .. ".")
      pass(2000)
      cards.said(call)
      says "yes"
    end
    assert.is_nil(held "words")
    assert.equal(0, since_ms - 100000)
    cards.says(call, "twelve twenty seven.")
    assert.is_true(silent "words")
    cards.said(call)
    assert.is_false(silent "words")
    cards.says(call, "And that was it.")
    assert.is_false(silent "words")
    cards.said(call)
    assert.is_nil(call.card_words)
  end)

  it("is none in an order number of ours, though the recording ends behind it", function()
    cards.says(call, "Your order is four one one one one one one one one one one one one one.")
    pass(3000)
    cards.said(call)
    assert.is_false(held("words").is_doubtful())
    cards.says(call, "one.")
    cards.said(call)
    assert.is_true(held("words").is_doubtful())
    pass(16000)
    cards.says(call, "Your order is four one one one one one one one one one one one one one.")
    call.gone_why = "hung up"
    cards.said(call)
    assert.is_false(held("words").is_doubtful(), "nor where he hangs up in its midst")
  end)

  it("that a model reads back reply by reply is silence from the first on", function()
    local since_ms
    for reply, group in ipairs(GROUPS) do
      for _, stop in ipairs{ 8, #group } do
        cards.tells(call, group:sub(1, stop), reply)
        pass(500)
      end
      since_ms = since_ms or held("words").since_ms
      assert.equal(reply == 4, silent "words")
      if reply < 4 then assert.equal(since_ms, held("words").since_ms) end
      if reply == 2 then cards.said(call) end
    end
    cards.said(call)
    assert.is_false(silent "words")
    cards.tells(call, "We close at", 5)
    cards.said(call)
    cards.tells(call, "four one one one", 6)
    cards.said(call)
    pass(16000)
    assert.is_nil(held "words")
  end)

  -- The hold stayed where we had said our first digits: what was kept back grew, and was all silence when the call moved.
  it("is none in what we end in digits again and again, of which only the newest is kept back", function()
    for n = 12, 32 do
      cards.says(call, ("You are caller number %d."):format(n))
      assert.equal(now, held("words").since_ms)
      pass(3000)
      cards.said(call)
      pass(7000)
    end
    for reply = 1, 20 do
      cards.tells(call, "You are", reply)
      local began_ms = now
      for _, text in ipairs{ "You are caller number 12", "You are caller number 12." } do
        pass(500)
        cards.tells(call, text, reply)
        assert.is_true(held("words").since_ms >= began_ms)
      end
      pass(3000)
      cards.said(call)
    end
  end)

  it("that begins anew behind other digits of a reply is silence from that reply's beginning on at the latest", function()
    cards.tells(call, "You are caller number 12.", 1)
    pass(3000)
    cards.said(call)
    local began_ms = now
    cards.tells(call, "Your card is 4111", 2)
    pass(1000)
    cards.tells(call, "Your card is 4111 1111 1111", 2)
    assert.equal(began_ms, held("words").since_ms)
    pass(1000)
    cards.tells(call, "Your card is 4111 1111 1111 1111.", 2)
    assert.is_true(silent "words")
  end)

  -- What held the groups before it was dropped before the recording had asked.
  it("of which we had said most when the caller hung up is silence", function()
    local since_ms = now
    for n, text in ipairs{ "It is 4111", "1111.", "1111.", "11" } do
      cards.says(call, text)
      pass(2000)
      if n == 4 then call.gone_why = "hung up" end
      cards.said(call)
    end
    assert.equal(since_ms, held("words").since_ms)
    assert.is_true(held("words").is_doubtful())
    assert.is_false(silent "words")
    for _, one in ipairs(timers) do assert.is_nil(one.fn) end
  end)

  it("is not kept for the next time in what we say, nor most of one, nor what goes on with one", function()
    local function may_keep(text)
      local may = cards.may_keep(call, text)
      cards.says(call, text)
      cards.said(call)
      return may
    end
    assert.is_false(may_keep "It is 4111 1111 1111 1111, is it not?")
    assert.is_true(may_keep "For sales, press 1.")
    assert.is_true(may_keep "You are caller number 12.")
    assert.is_true(may_keep "You are caller number 13.")
    pass(16000)
    assert.is_true(may_keep "It is 4111")
    for _ = 1, 3 do assert.is_false(may_keep "1111.") end
    assert.is_true(may_keep "Is that right?")
    pass(16000)
    assert.is_true(may_keep "Or call us at 800 555 0142.")
    pass(16000)
    assert.is_false(may_keep "It is 4111 1111 1111")
    pass(16000)
    call.card_near = true
    cards.came(call)
    assert.is_false(may_keep "1111.")
    assert.is_true(may_keep "We open at nine.")
  end)

  local function moved()
    call.frozen = true
    cards.moves(call)
    call = { recorders = {}, card_near = call.card_near }
    timers = {}
    cards.came(call)
  end

  -- Ten keys were in one segment's sound and six in the next one's, and neither worker saw a card.
  it("that is on its way when the call moves is silence at both workers, until nothing follows", function()
    local from = call
    press(CARD:sub(1, 10))
    moved()
    assert.is_true(from.silences.moves)
    assert.is_nil(call.card_near, "told once")
    press(CARD:sub(11))
    assert.is_true(silent "keys")
    pass(1500)
    pass(15000)
    assert.is_false(silent "keys")
    press "1"
    assert.is_false(silent "keys")
  end)

  it("that was there before the call moved has its check number silent behind that", function()
    press(CARD)
    pass(3000)
    moved()
    pass(5000)
    press "123"
    assert.is_true(silent "keys")
    moved()
    says "one two three"
    assert.is_true(silent "voice")
  end)

  it("that is being said when the call moves is silence from its first group on", function()
    local from = call
    says "my number is four one one one"
    moved()
    assert.is_true(from.silences.moves)
    says "one one one one"
    assert.is_true(silent "voice")
    pass(1500)
    says "a table for two"
    assert.is_false(silent "voice")
    pass(20000)
    says "the house number is one one one"
    assert.is_false(silent "voice")
  end)

  it("of which nothing is understood yet when the call moves is silence where it goes on", function()
    local hello = says_unanswered()
    cards.noticed(call, "speech", { ms = 60 })
    answer(hello, "hello")
    pass(2500)
    moved()
    says "one one one one one one one one"
    assert.is_true(silent "voice")
  end)

  it("is not looked for at the next worker where none was on its way", function()
    local from = call
    says "I would like to know your opening hours"
    moved()
    assert.is_nil(from.silences)
    press "1"
    assert.is_false(silent "keys")
  end)

  it("that a model reads back when the call moves is silence as well", function()
    local from = call
    cards.says(call, "I have four one one one, one one one one,")
    moved()
    cards.said(from)
    assert.is_true(from.silences.moves)
    cards.says(call, "one one one one, one one one one.")
    assert.is_true(silent "words")
  end)

  -- It raised, and the conversation was over.
  it("is none, nor an error, in more digits than any number has with words behind them", function()
    says(("one "):rep(10))
    says(("one "):rep(35) .. "thank you")
    says "hello"
    pass(3000)
    assert.is_nil(held "voice")
  end)

  -- The text of what he had said before stood for it.
  it("is doubtful where he says it while the text of something else comes, or behind a card's", function()
    local hello = says_unanswered()
    cards.noticed(call, "speech", { ms = 60 })
    pass(1000)
    answer(hello, "hello")
    pass(4000)
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "final", { text = SAID })
    pass(2000)
    cards.noticed(call, "speech", { ms = 60 })
    pass(4000)
    assert.is_true(held("voice").is_doubtful())
  end)

  it("is doubtful where a model's turn is told to its end and he has spoken on without a pause", function()
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "asked", { key = "turn 1", goes_on = true })
    pass(2000)
    cards.noticed(call, "ended")
    answer("turn 1", "hello")
    pass(4000)
    assert.is_true(held("voice").is_doubtful())
  end)

  it("is doubtful wherever it stands in the words so far, and with what he has said behind its first digits", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(3000)
    cards.noticed(call, "partial", { text = "my number is " .. SAID .. " and I would like" })
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "partial", { text = "four one one one one one one one" })
    pass(1000)
    assert.is_true(held("voice").is_doubtful())
  end)

  -- Fifteen seconds of him were lost for it.
  it("is none in a cough, with which a recording may end", function()
    cards.noticed(call, "speech", { ms = 60 })
    pass(300)
    cards.noticed(call, "quiet", { ms = 60 })
    pass(15000)
    assert.is_false(held("voice").is_doubtful())
  end)

  -- Nothing was held: all sixteen were written before their text had come.
  it("is held from its first words on where our own voice detection hears nobody", function()
    cards.noticed(call, "partial", { text = "four one one one" })
    assert.is_true(held("voice").since_ms < now)
    local since_ms = held("voice").since_ms
    pass(5000)
    cards.noticed(call, "partial", { text = "four one one one one one one one" })
    pass(5000)
    cards.noticed(call, "final", { text = SAID })
    assert.is_true(silent "voice")
    pass(1500)
    assert.is_false(silent "voice")
    pass(20000)
    cards.noticed(call, "partial", { text = "thank you" })
    assert.is_true(held("voice").since_ms > since_ms)
    cards.noticed(call, "final", { text = "thank you" })
    pass(3000)
    assert.is_nil(held "voice")
    says "hello"
    pass(2000)
    cards.noticed(call, "partial", { text = "four one one one" })
    pass(2000)
    assert.truthy(held "voice", "and behind what it did hear")
  end)

  it("is known by its text so far where no other comes", function()
    local is_silent = with_tape()
    local key = says_unanswered()
    cards.noticed(call, "partial", { text = SAID })
    answer(key)
    assert.is_true(is_silent(1))
    pass(30000)
    assert.is_false(silent "voice")
    local paused
    call.recorders[{ opened_ms = now, silences = {}, begin_silence = function() paused = true end, end_silence = function() end }] = true
    cards.noticed(call, "speech", { ms = 60 })
    cards.noticed(call, "partial", { text = SAID })
    cards.noticed(call, "quiet", { ms = 60 })
    pass(20500)
    assert.is_true(paused)
  end)

  it("may have noises between its groups, and words that say nothing", function()
    local since_ms = now - 60
    for _, text in ipairs{ GROUPS[1], ".", GROUPS[2], "uh, yes", "[coughs]", GROUPS[3], "and then" } do says(text) end
    assert.equal(since_ms, held("voice").since_ms)
    says(GROUPS[4])
    assert.is_true(silent "voice")
    says "yes"
    pass(1500)
    says "forty two"
    for _ = 1, 4 do says "yes" end
    pass(3000)
    assert.is_nil(held "voice", "and few digits are not held for them")
  end)

  it("is one though a digit of it was misheard and other words stand behind it, and an account number is none", function()
    says "here it is four one one one one one one one one one five one one one one one thank you"
    assert.is_true(silent "voice")
    says "that was it"
    says "my account is D E eight nine three seven zero four zero zero four four zero five three two zero one three zero zero thank you"
    pass(3000)
    assert.is_false(silent "voice")
  end)

  -- What the next ones heard again was silence though they understood it.
  it("is none in what others hear again who go on without the model, and understand", function()
    local is_silent = with_tape()
    local began_ms = now
    turn(1)
    answer("turn 1", "hello")
    pass(5000)
    turn(2)
    pass(1000)
    cards.noticed(call, "unheard", { again_ms = 6000 })
    assert.is_true(held("voice").since_ms <= began_ms + 10000)
    cards.noticed(call, "speech", { ms = 4500 })
    cards.noticed(call, "asked", { key = 1 })
    cards.noticed(call, "quiet", { ms = 600 })
    assert.is_true(held("voice").is_doubtful())
    answer(1, "I would like to know your opening hours")
    pass(3000)
    assert.is_nil(held "voice")
    for second = 0, (now - began_ms) / 1000 do assert.is_false(is_silent(second)) end
  end)

  it("is silence in all its groups though the model was lost in the midst of it", function()
    local is_silent = with_tape()
    turn(1)
    answer("turn 1", "four one one one one one one one")
    cards.noticed(call, "speech", { ms = 60 })
    pass(2000)
    cards.noticed(call, "unheard", { again_ms = 2060 })
    cards.noticed(call, "speech", { ms = 2060 })
    pass(2000)
    cards.noticed(call, "quiet", { ms = 60 })
    cards.noticed(call, "asked", { key = 1 })
    answer(1, "one one one one one one one one")
    for second = 0, 8 do assert.is_true(is_silent(second)) end
  end)

  it("is left out where nobody has heard it again, and so is what was too long for that", function()
    local is_silent = with_tape()
    turn(1)
    pass(25000)
    turn(2)
    cards.noticed(call, "again", { ms = 5100 })
    cards.noticed(call, "asked", { key = "turn 3", goes_on = true })
    cards.noticed(call, "ended")
    answer("turn 3", "hello")
    pass(20000)
    assert.is_true(is_silent(2))
    assert.is_false(is_silent(32))
    turn(4)
    local second = (now - 100000) / 1000 - 2
    cards.noticed(call, "again", { ms = 5100 })
    cards.talked(call)
    assert.is_true(is_silent(second))
  end)

  -- With the first of its turns that was answered all of it was known, though the others were not asked for yet.
  it("is silence though what is heard again comes in more turns than one, of which it is the second", function()
    local is_silent = with_tape()
    local function lost_turn(key, ms)
      cards.noticed(call, "speech", { ms = 60 })
      pass(300)
      cards.noticed(call, "asked", { key = key, goes_on = true })
      pass(ms - 300)
      cards.noticed(call, "quiet", { ms = 60 })
      pass(1000)
      cards.noticed(call, "ended")
    end
    lost_turn("turn 1", 1000)
    lost_turn("turn 2", 7000)
    cards.noticed(call, "again", { ms = 12000 })
    pass(500)
    cards.noticed(call, "asked", { key = "turn 3", goes_on = true })
    cards.noticed(call, "ended")
    cards.noticed(call, "final", { text = "hello", key = "turn 3" })
    cards.noticed(call, "answered", { key = "turn 3" })
    pass(1000)
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "again", { ms = 15000 })  -- lost once more
    pass(3000)
    assert.is_true(held("voice").is_doubtful())
    cards.noticed(call, "asked", { key = "turn 4", goes_on = true })
    cards.noticed(call, "ended")
    cards.noticed(call, "final", { text = SAID, key = "turn 4" })
    cards.noticed(call, "answered", { key = "turn 4" })
    for second = 2, 9 do assert.is_true(is_silent(second)) end
    pass(20000)
    assert.is_nil(held "voice")
    assert.is_false(silent "voice")
  end)

  it("is looked for no longer when the call has ended in the midst of a word", function()
    cards.noticed(call, "speech", { ms = 60 })
    call.gone_why = "hung up"
    cards.talked(call)
    pass(61000)
    local count = #timers
    pass(61000)
    assert.equal(count, #timers)
    for _, one in ipairs(timers) do assert.is_nil(one.fn) end
  end)

  it("is looked for no longer when the call is over", function()
    call.gone_why = "hung up"
    cards.noticed(call, "speech", { ms = 60 })
    assert.is_nil(held "voice")
  end)
end)
