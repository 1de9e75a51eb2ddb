-- SPDX-License-Identifier: Apache-2.0
--- Keeps cards' numbers out of a call's recordings, whether they are pressed or said, and by whom.
---
--- What may become a number is held back (recordings.hold) from its first sign on: nothing of it is in a file before it is known what it is.
--- A card's number is silence from there to its end, and so is what is told with it, its expiry and check number; all else is written as it was.
---
---   pressed    (calls.card_keys) key by key, across the verbs that ask for them, until FOLLOW_MS pass without one; what a verb takes of it before a fourth key
---              has come is written, for most are a menu's. What gathers gave of it is masked in the journal when the number is whole, or when the
---              caller leaves with most of one. Until then the call's record has what of it scripts were given (cards.kept), so that whoever takes
---              the call up finds the number too. What a menu gave is not masked: it is what the script has put down for a key, and who wants a
---              number from menus has to put down each of ten figures a dozen times; but many an account number begins right behind a menu's key,
---              and a menu that is masked is asked again by whoever takes the call up
---   heard      in a conversation: from the moment at which the caller's voice begins until the text of what he said is there; what ends in
---              digits waits for what he says next, as a transcript's line does, or presses (calls.card_mix). However long a text takes: who is asked
---              for one tells when it is there, or that none will come. Where only a recogniser hears him it begins with its first words. What
---              nobody understood within KNOWN_WITHIN_MS, or ever, is left out (recordings.leave_out): a slow or broken recogniser costs the
---              caller's sound, not ours, and lets out no number. Where a tenant has a realtime model's provider write nothing down, all of it is
---              kept as it is
---   spoken     by us, whose text is known before its sound, sentence by sentence and reply by reply
---
--- Of a number that is on its way when the call is given to another worker it is known there that it may go on (call.card_near): whatever digits
--- follow are silence until FOLLOW_MS pass without any.
---
--- What is said outside a conversation, in a message or to a human, cannot be known and is kept as it is.
local card_chain = require "calls.card_chain"
local card_keys = require "calls.card_keys"
local card_mix = require "calls.card_mix"
local clock = require "core.clock"
local recordings = require "calls.recordings"
local restart = require "lib.restart"
local task = require "core.task"

local cards = {
  gathered = card_keys.gathered, is_pressed = card_keys.is_pressed, kept = card_keys.kept, left = card_keys.left, restore = card_keys.restore, taken = card_keys.taken,
}

local FOLLOW_MS = 15000     -- as in calls.transcript: a number is told in groups
local TAIL_MS = 1000        -- behind the last sign: the sound of a key comes behind the word of it, and some say aloud what they press
local KNOWN_WITHIN_MS = 45000  -- of the end of what was said its text must be there
local TEXT_MS = 8000        -- so late the text of what was said may come while he speaks on, and nobody was asked for one
local LATE_MS = 20000       -- the same where he is quiet
local SURE_MS = 2500        -- the same behind a text: one that listens all the time tells a sentence in parts
local LONG_MS = 60000       -- he speaks on and no text comes: nobody understands it
local DIGIT_MS = 250        -- nobody says a digit in less
local BEHIND_MS = 500       -- so far a text is behind what is being said
local MANY = 12             -- digits that may be most of a number

-- Digits that are pressed or said, of which with those of the other kind a card's number may be made: is it one?
local function is_mixed(call, how, digits)
  local is_card
  call.card_mix, is_card = card_mix.add(call.card_mix, how, digits, clock.mono_ms())
  if is_card then call.card_mix = nil end
  return is_card
end

-- Other workers' part of a number: goes on with digits only.
local function follow(call)
  local near = call.card_follow or {}
  call.card_follow = near
  restart(near, FOLLOW_MS, function() call.card_follow = nil end)
end

local function is_over(call) return call.gone_why or call.frozen or call.removed end

-- heard ---------------------------------------------------------------------------------------------------------------------

-- What was told, where the number may have begun at another worker.
local function told_near(call, text, told)
  if not call.card_follow or not card_chain.may_go_on(text) then return told end
  follow(call)
  return "card"
end

local function voice_of(call)
  local voice = call.card_voice
  if not voice then
    voice = { chain = {}, texts = {} }
    call.card_voice = voice
  end
  return voice
end

-- What scripts were given of a number that is whole now is masked in the journal, and no key of it is in the record. Nobody waits here until that is
-- written.
local function make_secret(call, gathers)
  local fields = call:keep_keys(call:make_secret(gathers))
  task.spawn(call.keep, call, fields)
end

-- The same, where the number may have been pressed in part: what was pressed is held for as long.
local function told_mixed(call, voice, text, told)
  local keys = call.card_keys
  if told == "no" and not keys then call.card_mix = nil end
  if told == "card" or told == "no" and not keys then return told end
  local head, tail, whole = card_chain.ends(text)
  local is_card = head ~= "" and is_mixed(call, "voice", head)
  if not whole then
    call.card_mix = nil
    if tail ~= "" then is_mixed(call, "voice", tail) end
  end
  if head ~= "" then card_keys.go_on(call) end
  if not is_card then return told end
  local since_ms, gathers = card_keys.join(call)
  if since_ms then voice.since_ms = math.min(voice.since_ms or since_ms, since_ms) end
  if gathers then make_secret(call, gathers) end
  return "card"
end

local function stop_again(voice)
  if voice.again and voice.again.clock then voice.again.clock:cancel() end
end

local function free_voice(call)
  local voice = call.card_voice
  if not voice then return end
  if voice.clock then voice.clock:cancel() end
  if voice.texts.clock then voice.texts.clock:cancel() end
  stop_again(voice)
  call.card_voice = nil
  recordings.free(call, "voice")
  recordings.resume(call, "voice")
end

-- For how long he has spoken without a text of it.
local function untold_ms(voice, since_ms)
  local from_ms = voice.began_ms or not voice.told and since_ms
  if not from_ms then return 0 end
  return math.max(0, (not voice.speaking and voice.quiet_ms or clock.mono_ms()) - math.max(from_ms, voice.known_ms or 0))
end

-- May most of a number be in what he has said since a time, whether it was told or not?
local function is_doubtful(voice, since_ms)
  local digits = card_chain.digits(voice.chain, voice.partial)
  return digits >= MANY or digits + untold_ms(voice, since_ms) / DIGIT_MS > MANY
end

-- Holds what he says since a time, and what he said before that a text is still to come for.
local function hold_voice(call, voice, since_ms)
  local first = voice.texts[1]
  if first and not voice.silent then since_ms = math.min(since_ms, first.since_ms) end
  voice.since_ms = since_ms
  recordings.hold(call, "voice", since_ms, function()
    return voice.texts[1] ~= nil or call.card_follow ~= nil or is_doubtful(voice, since_ms)
  end, "caller")
end

-- Nobody will understand what was said between two times: neither that is kept nor the digits before and behind it, of which it may have been one number.
local function leave_out(call, voice, from_ms, to_ms)
  if voice.silent or from_ms >= to_ms then return end
  if voice.told == "open" and voice.since_ms then from_ms = math.min(from_ms, voice.since_ms) end
  recordings.leave_out(call, from_ms, to_ms, "caller")
  voice.has_gap, voice.told = true, nil
  card_chain.clear(voice.chain)
end

-- Silence from where it was held, as long as he speaks; what he says within a while may be told with it. Where it is known when its text ended, one of
-- voice.texts, what is said since then stays held.
local function silence_voice(call, voice, one)
  local ends_ms = one and not one.goes_on and one.until_ms and math.max(one.until_ms, one.ended_ms or 0) + TAIL_MS
  if not voice.silent and voice.since_ms and ends_ms then
    recordings.silence(call, voice.since_ms, ends_ms)
    one.since_ms = ends_ms
    return hold_voice(call, voice, ends_ms)
  end
  if not voice.silent then
    recordings.pause(call, "voice", voice.since_ms)
    recordings.free(call, "voice")
  end
  voice.silent, voice.since_ms = true, nil
end

-- What was said until now is silent, also that which a text is still to come for.
local function end_silence(call, voice)
  local now = clock.mono_ms()
  recordings.resume(call, "voice")
  voice.silent = nil
  for _, one in ipairs(voice.texts) do
    one.since_ms, one.until_ms, one.is_silent = now, one.until_ms and now, one.until_ms ~= nil
  end
end

-- Behind his voice, not behind its text, which may come while we speak.
local function wait_behind_card(call, voice)
  local now = clock.mono_ms()
  restart(voice, math.max(0, (voice.quiet_ms or now) + TAIL_MS - now), function()
    end_silence(call, voice)
    restart(voice, FOLLOW_MS - TAIL_MS, function()
      if not voice.texts[1] then return free_voice(call) end
      card_chain.clear(voice.chain)
      voice.told = nil
    end)
  end)
end

-- From then on he says what no text has come for; where one may still come for what he said before, it was since that began.
local function begin_untold(voice, since_ms)
  local known = voice.told_ms and not voice.partial and since_ms - math.max(voice.told_ms, voice.quiet_ms or 0) > SURE_MS
  if known or not voice.untold_ms then voice.untold_ms = since_ms end
  voice.told_ms = nil
end

-- Is it known when the voice began, and ended, of which one of voice.texts comes? Of who tells texts unasked some may still be on their way.
local function is_exact(voice, one) return one ~= nil and one.is_exact and not voice.unasked end

-- A text has come, to which nothing belongs that was told before: that of one of voice.texts, or one that nobody asked for.
local function hold_from_text(call, voice, one)
  local since_ms = is_exact(voice, one) and one.since_ms or voice.untold_ms
  if voice.since_ms and since_ms and since_ms > voice.since_ms then hold_voice(call, voice, since_ms) end
end

local wait_on

-- What is known by now is let out; the rest is waited for.
local function settle(call, voice)
  local since_ms = voice.texts[1] and voice.texts[1].since_ms or voice.began_ms
  if voice.told ~= "open" and voice.since_ms and since_ms and since_ms > voice.since_ms then hold_voice(call, voice, since_ms) end
  if (voice.told == "card" or voice.has_gap and not voice.told) and not voice.speaking and not since_ms then
    voice.since_ms = nil
    recordings.free(call, "voice")
  end
  if not voice.speaking then wait_on(call, voice) end
end

-- The oldest text that is still to come must be there in time.
local function watch(call, voice)
  local texts = voice.texts
  local first = texts[1]
  if texts.clock then texts.clock:cancel() end
  if not (first and first.until_ms) then return end
  restart(texts, math.max(0, first.until_ms + KNOWN_WITHIN_MS - clock.mono_ms()), function()
    if is_over(call) then return end
    table.remove(texts, 1)
    leave_out(call, voice, first.since_ms, first.until_ms)
    watch(call, voice)
    settle(call, voice)
  end)
end

-- More of the same voice may come as a text of its own.
local function note_told(voice)
  voice.told_ms = clock.mono_ms()
  voice.untold_ms = math.max(voice.untold_ms or 0, voice.told_ms - TEXT_MS)
end

-- He speaks on: what is further back than a text can be late is known, or will not be.
local function move_on(call, voice)
  local since_ms = clock.mono_ms() - TEXT_MS
  if voice.since_ms and since_ms > voice.since_ms then hold_voice(call, voice, since_ms) end
end

local function await_text(call, voice)
  restart(voice, LONG_MS, function()
    if is_over(call) then return end
    if voice.since_ms and not voice.texts[1] then leave_out(call, voice, voice.since_ms, clock.mono_ms() - TEXT_MS) end
    move_on(call, voice)
    await_text(call, voice)
  end)
end

local on = {}

function on.speech(call, fields)
  local voice = voice_of(call)
  if voice.speaking then return end
  voice.speaking = true
  if voice.told == "no" then voice.told = nil end
  local since_ms = clock.mono_ms() - (fields.ms or 0)
  begin_untold(voice, since_ms)
  local newest = voice.texts[#voice.texts]
  if newest and newest.goes_on then
    -- Behind a pause it may be the next one's, too.
    if newest.until_ms then voice.began_ms = voice.began_ms or since_ms end
    newest.since_ms, newest.until_ms = math.min(newest.since_ms, since_ms), nil
    if voice.since_ms then hold_voice(call, voice, voice.since_ms) end
    watch(call, voice)
  else
    voice.began_ms = voice.began_ms or since_ms
  end
  if not (voice.since_ms or voice.silent) then hold_voice(call, voice, since_ms) end
  await_text(call, voice)
end

-- How long what was said may go on, or its text be on its way where nobody tells when it is there.
function wait_on(call, voice)
  if voice.silent then return wait_behind_card(call, voice) end
  if voice.clock then voice.clock:cancel() end
  if voice.texts[1] then return end
  local is_known = voice.told and not voice.partial and not voice.began_ms
  local is_other = voice.told == "no" and not voice.has_gap  -- behind a gap it is a noise or "yes", and the number may go on
  local ms = not is_known and LATE_MS or is_other and SURE_MS or FOLLOW_MS
  restart(voice, ms, function()
    -- A text that never became final is all there is.
    if voice.partial and not is_over(call) then return on.final(call, { text = voice.partial }) end
    free_voice(call)
  end)
end

-- A key behind digits that were said may go on with them: what was said is held for as long, and silence when that makes a card's number.
local function press_behind_words(call, is_card)
  local voice = call.card_voice
  if not voice or voice.silent then return end
  if is_card then
    if voice.since_ms then recordings.silence(call, voice.since_ms, clock.mono_ms()) end
    voice.told, voice.chain.card = "card", true
  elseif voice.told == "open" and not voice.speaking then
    wait_on(call, voice)
  end
end

-- A text comes where our own voice detection heard nobody, or long behind it: what is not written yet is held.
local function hold_unnoticed(call, voice)
  if not (voice.speaking or voice.since_ms or voice.silent) then hold_voice(call, voice, clock.mono_ms() - TEXT_MS) end
end

function on.quiet(call)
  local voice = call.card_voice
  if not (voice and voice.speaking) then return end
  voice.speaking, voice.quiet_ms = nil, clock.mono_ms()
  for _, one in ipairs(voice.texts) do
    if one.goes_on then one.until_ms = voice.quiet_ms end
  end
  watch(call, voice)
  wait_on(call, voice)
end

-- What he says from now on is none of theirs for which a text will come.
local function end_texts(texts)
  for _, one in ipairs(texts) do
    if one.goes_on then one.ended_ms = clock.mono_ms() end  -- the provider may have heard him where we did not
    one.goes_on, one.until_ms = nil, one.until_ms or clock.mono_ms()
  end
end

-- A text will come for what he has said.
function on.asked(call, fields)
  local voice, now = voice_of(call), clock.mono_ms()
  local texts = voice.texts
  for _, one in ipairs(texts) do
    if one.key == fields.key then return end
  end
  end_texts(texts)
  local newest = texts[#texts]
  local told_ms = voice.told_ms and math.max(voice.since_ms or now, voice.told_ms - TEXT_MS)
  local one = { key = fields.key, goes_on = fields.goes_on, is_exact = voice.began_ms ~= nil,
    since_ms = voice.began_ms or newest and newest.until_ms or told_ms or voice.since_ms or now }
  -- A voice that only the provider hears ends when it says so.
  if not fields.goes_on or not voice.speaking and voice.began_ms then one.until_ms = now end
  -- Who listens all the time has told already what is asked for now.
  if not fields.goes_on and not voice.speaking and not voice.began_ms and voice.told_ms then one.is_told = true end
  table.insert(texts, one)
  voice.began_ms = nil
  if not voice.silent then hold_voice(call, voice, voice.since_ms or now) end
  watch(call, voice)
  if not voice.speaking then wait_on(call, voice) end
end

function on.ended(call)
  local voice = call.card_voice
  local newest = voice and voice.texts[#voice.texts]
  if not newest then return end
  if newest.goes_on and not voice.speaking then voice.began_ms = nil end
  end_texts(voice.texts)
  watch(call, voice)
end

function on.partial(call, fields)
  local voice = voice_of(call)
  hold_unnoticed(call, voice)
  voice.partial, voice.known_ms = fields.text, clock.mono_ms() - BEHIND_MS
  if not voice.speaking then wait_on(call, voice) end
end

-- The text that a final one is: that of its key, else the oldest that was asked for; nil where it was not asked for.
local function asked_for(texts, key)
  for i, one in ipairs(texts) do
    if key and one.key == key or not key and not one.again then return one, i end
  end
end

function on.final(call, fields)
  local voice, text = voice_of(call), fields.text
  hold_unnoticed(call, voice)
  local told, goes_on, is_idle = card_chain.add(voice.chain, text, true)
  local one = asked_for(voice.texts, fields.key)
  if not is_idle then
    voice.open_ms = one and one.until_ms or clock.mono_ms()
  elseif told == "open" and (one and one.since_ms or clock.mono_ms()) - voice.open_ms > FOLLOW_MS then  -- nothing that goes on for minutes is held for a few digits
    card_chain.clear(voice.chain)
    told, goes_on = "no", false
  end
  voice.partial, voice.told = nil, told
  if one then one.is_told = true else voice.unasked, voice.known_ms = true, clock.mono_ms() - BEHIND_MS end
  if not voice.texts[1] and not voice.speaking then voice.began_ms = nil end
  if not goes_on then hold_from_text(call, voice, one) end
  note_told(voice)
  if voice.told == "open" and voice.has_gap then voice.told = "card" end
  if voice.told == "no" and not is_idle then voice.has_gap = nil end
  voice.told = told_mixed(call, voice, text, told_near(call, text, voice.told))
  if voice.told == "card" then silence_voice(call, voice, one) end
  if not voice.speaking then return wait_on(call, voice) end
  await_text(call, voice)
  if voice.told ~= "no" then return end
  if not voice.silent then return move_on(call, voice) end
  end_silence(call, voice)
  hold_voice(call, voice, clock.mono_ms())
end

-- What was heard again is told when nothing more of it is awaited, nor asked for within a while: it may come in more turns than one.
local function end_again(call, voice)
  local texts = voice.texts
  if not texts[1] or asked_for(texts) then return end
  voice.again = voice.again or {}
  restart(voice.again, SURE_MS, function()
    if is_over(call) or not texts[1] or asked_for(texts) then return end
    while texts[1] do table.remove(texts) end
    watch(call, voice)
    if voice.told == "no" and not (voice.has_gap or voice.speaking or voice.silent or voice.began_ms or voice.partial) then return free_voice(call) end
    settle(call, voice)
  end)
end

-- All is known that was said until the end of one of voice.texts.
local function hold_behind(call, voice, one)
  local since_ms = is_exact(voice, one) and one.until_ms
  if voice.since_ms and since_ms and since_ms > voice.since_ms then hold_voice(call, voice, since_ms) end
end

-- All has been told of it that there is.
function on.answered(call, fields)
  local voice = call.card_voice
  local one, i = asked_for(voice and voice.texts or {}, fields.key)
  if not one then return end
  if not one.is_told and voice.partial and not voice.texts[2] and not voice.speaking then on.final(call, { text = voice.partial, key = fields.key }) end
  table.remove(voice.texts, i)
  end_again(call, voice)
  watch(call, voice)
  -- Of who speaks on it was all until the provider said so.
  if one.goes_on and not voice.speaking then voice.began_ms = nil end
  if voice.speaking and not voice.began_ms then voice.began_ms = one.until_ms or math.max(one.since_ms, clock.mono_ms() - TEXT_MS) end
  -- One that has heard nothing may only be late.
  if not one.is_told and voice.told == "no" then voice.told = nil end
  if one.is_told and voice.told == "no" and not (voice.texts[1] or voice.began_ms or voice.partial) then hold_behind(call, voice, one) end
  if one.is_told then return settle(call, voice) end
  if not voice.speaking then wait_on(call, voice) end
end

-- What he has said within so many ms, and nobody has told of, will be asked for as others' text.
local function hear_again(voice, ms)
  stop_again(voice)
  local now, texts = clock.mono_ms(), voice.texts
  local ends_ms, from_ms = not voice.speaking and voice.quiet_ms or now, now - ms - BEHIND_MS
  if voice.began_ms then
    table.insert(texts, { since_ms = voice.began_ms, until_ms = ends_ms })
    voice.began_ms = voice.speaking and now or nil
  end
  for _, one in ipairs(texts) do
    if not one.is_told and one.since_ms >= from_ms then
      one.again, one.key, one.goes_on, one.until_ms = true, nil, nil, one.until_ms or ends_ms
    end
  end
end

function on.again(call, fields)
  local voice = call.card_voice
  if not voice then return end
  hear_again(voice, fields.ms)
  voice.partial = nil
  watch(call, voice)
end

-- No text will come of what he has said until now, but where others hear it again.
function on.unheard(call, fields)
  local voice = call.card_voice
  if not voice then return end
  local texts, now = voice.texts, clock.mono_ms()
  local function lose(from_ms, to_ms)
    leave_out(call, voice, from_ms, to_ms > from_ms and to_ms or now)
  end
  if fields.again_ms then hear_again(voice, fields.again_ms) end
  local quiet_ms = not voice.speaking and voice.quiet_ms or now
  local rest = {}
  for _, one in ipairs(texts) do
    if one.again and fields.again_ms then
      rest[#rest + 1] = one
    elseif not (one.is_told or one.is_silent) then  -- what ends a conversation is a text
      lose(one.since_ms, one.until_ms or quiet_ms)
    end
  end
  if voice.began_ms then lose(voice.began_ms, quiet_ms) end
  while texts[1] do table.remove(texts) end
  for i, one in ipairs(rest) do texts[i] = one end
  voice.partial = nil
  voice.began_ms = voice.speaking and now or nil
  watch(call, voice)
  settle(call, voice)
end

-- What he says is written down by nobody, as the tenant wants it.
function on.untranscribed(call)
  local voice = call.card_voice
  if not voice then return end
  if not (voice.texts[1] or voice.told or voice.silent) then return free_voice(call) end
  on.unheard(call, {})  -- of who wrote it down until now
  voice.speaking, voice.began_ms, voice.quiet_ms = nil, nil, voice.speaking and clock.mono_ms() or voice.quiet_ms
  settle(call, voice)
end

--- What a conversation notices of the caller: "speech" and "quiet" of his voice, since how many ms; "partial" and "final", a text of what he said, that
--- of a key where it is given, else the oldest that was asked for; "asked", that a text will come of what he has said, or of what he is saying (goes_on),
--- with a key that no other has; "ended", that what he says from now on is of no key yet; "answered", that all has come which there is for that key;
--- "again", that what nobody has told of the last so many ms is heard once more, and asked for by other keys; "unheard", that nobody understands what
--- he has said until now and was asked for, but what is heard again; "untranscribed", that no texts are to come at all.
--- @param fields table|nil  ms, text, key, goes_on, again_ms
function cards.noticed(call, kind, fields)
  if on[kind] and not is_over(call) then on[kind](call, fields or {}) end
end

--- May the text of what he has said still come?
function cards.is_awaited(call)
  local voice = call.card_voice
  return voice ~= nil and (voice.speaking == true or voice.texts[1] ~= nil)
end

--- A key was pressed.
--- @param ms number|nil  for how long
--- @return table|nil  when it is the last of a card's number: what was gathered of it before, as cards.gathered was told
function cards.pressed(call, digit, ms)
  if not digit:find("^%d$") then return end
  if call.frozen then call.card_near = true end  -- its successor hears the next
  local is_card = is_mixed(call, "keys", digit)
  press_behind_words(call, is_card)
  return card_keys.pressed(call, digit, ms, is_card)
end

-- spoken --------------------------------------------------------------------------------------------------------------------

--- May the sound of a text that we say next be kept for the next time? Not where a card's number is in it, or part of one with what was said before it,
--- nor where it may be most of one; fewer digits that stand alone are like any others, a phone number's say, and asking for their sound costs each time.
function cards.may_keep(call, text)
  if call.card_follow and card_chain.may_go_on(text) then return false end
  local chain = card_chain.copy(call.card_words and call.card_words.chain or {})
  local told, goes_on, is_idle = card_chain.add(chain, text)
  return told == "no" or is_idle or told == "open" and not goes_on and card_chain.digits(chain) < MANY
end

local function words_of(call)
  local own = call.card_words
  if not own then
    own = { chain = {} }
    call.card_words = own
  end
  if own.clock then own.clock:cancel() end
  return own
end

local function forget_words(call)
  local own = call.card_words
  if own and own.clock then own.clock:cancel() end
  call.card_words = nil
  recordings.free(call, "words")
  recordings.resume(call, "words")
end

-- @param from_ms number  when its sentence or reply began
local function add_words(call, own, text, from_ms)
  local told, goes_on = card_chain.add(own.chain, text)
  told = told_near(call, text, told)
  if told == "no" then
    if not own.card then
      own.since_ms = nil
      recordings.free(call, "words")
    end
    return
  end
  -- A number that begins anew begins there at the soonest: what was said before is known.
  if own.since_ms and not goes_on and not own.card then own.since_ms = math.max(own.since_ms, from_ms) end
  own.since_ms = own.since_ms or clock.mono_ms()
  if told == "card" and not own.card then
    own.card = true
    recordings.pause(call, "words", own.since_ms)
    recordings.free(call, "words")
  elseif not own.card then
    recordings.hold(call, "words", own.since_ms, function() return card_chain.digits(own.chain) >= MANY end)
  end
end

--- We begin to make the sound of a text, which follows those before it.
function cards.says(call, text) add_words(call, words_of(call), text, clock.mono_ms()) end

--- The words so far of a reply, the sound of which comes with them.
--- @param reply any  which: its words come in the place of those told before
function cards.tells(call, text, reply)
  local own = words_of(call)
  if own.reply ~= reply or not own.reply_ms then own.reply, own.before, own.reply_ms = reply, card_chain.copy(own.chain), clock.mono_ms() end
  own.chain = card_chain.copy(own.before or {})
  add_words(call, own, text, own.reply_ms)
end

--- Nothing of ours is being heard any more, nor will be of what was begun. It may go on in what we say next.
function cards.said(call)
  local own = call.card_words
  if not own or not own.chain[1] then return forget_words(call) end
  recordings.resume(call, "words")
  if own.card then
    own.card, own.since_ms = nil, nil
  elseif own.since_ms then
    -- An order number that was said in one breath is no card's of which the rest was never said.
    recordings.hold(call, "words", own.since_ms, function() return own.chain[2] ~= nil and card_chain.digits(own.chain) >= MANY end)
  end
  if not is_over(call) then return restart(own, FOLLOW_MS, function() forget_words(call) end) end
  if own.clock then own.clock:cancel() end  -- what is held is for the recording's end to decide
end

-- over to another worker -------------------------------------------------------------------------------------------------------

--- The call moves to another worker: what may be a number's beginning is silence, to the recordings' ends, and call.card_near says that it
--- may go on.
function cards.moves(call)
  local keys, voice, own = call.card_keys, call.card_voice, call.card_words
  local since_ms
  local function near(from_ms)
    call.card_near = true
    since_ms = math.min(since_ms or math.huge, from_ms or clock.mono_ms())
  end
  if keys then near(keys.since_ms) end
  if voice and (voice.silent or voice.texts[1] or card_chain.digits(voice.chain, voice.partial) > 0) then near(voice.since_ms) end
  if voice and (not voice.told or voice.began_ms) then call.card_near = true end  -- its text is not here yet
  if own and own.chain[1] then near(own.since_ms) end
  if since_ms then recordings.pause(call, "moves", since_ms) end
end

--- It has come from one, which had said so.
function cards.came(call)
  if not call.card_near then return end
  call.card_near = nil
  follow(call)
end

--- The conversation is over.
function cards.talked(call)
  cards.said(call)
  local voice = call.card_voice
  if voice and not is_over(call) then
    on.unheard(call, {})
    if voice.speaking then voice.quiet_ms = clock.mono_ms() end
    voice.speaking, voice.began_ms = nil, nil
    wait_on(call, voice)
  end
end

return cards
