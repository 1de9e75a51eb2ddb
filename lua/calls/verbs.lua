-- SPDX-License-Identifier: Apache-2.0
--- What the verbs of the gate do to a call: verbs.table[name](call, args, entry, n) -> value | nil, err.
--- Arguments are checked and have their defaults. An err with code "gone" or "frozen" means that nobody waits any more.
local audit = require "audit"
local card_parts = require "calls.card_parts"
local cards = require "calls.cards"
local clock = require "core.clock"
local converse = require "calls.converse"
local db = require "lib.db"
local fault = require "core.fault"
local fences = require "calls.fence"
local keeping = require "calls.keeping"
local keys = require "calls.keys"
local leads = require "leads"
local log = require "core.log"
local media = require "core.media"
local problem = require "lib.problem"
local recordings = require "calls.recordings"
local redact = require "ai.guard.redact"
local scripts = require "scripts"
local sounds = require "calls.sounds"
local speech = require "speech"
local store = require "calls.store"
local tones = require "calls.tones"
local transfer = require "calls.transfer"

local verbs = { table = {} }
local act = verbs.table

local reasons = { gone = "the caller has hung up", frozen = "the call moves to another worker", cut = "a human was asked for" }

--- Does this end every wait? Then left(kind) is what the verb returns.
local function is_left(kind) return reasons[kind] ~= nil end
local function left(kind) return nil, { code = kind, text = reasons[kind] } end

--- Plays audio to the caller. Returns "played" or "digit", or nil, err.
local function play(call, audio, interrupt)
  if interrupt and #call.digits > 0 then return "digit" end
  if not call.leg then return left("gone") end
  if call.cutting then return left("cut") end
  call.next_play = call.next_play + 1
  local id = call.next_play
  local ok, err = call.leg:play(id, audio)
  if not ok then return nil, err end
  local ends = clock.mono_ms() + audio:seconds() * 1000 + 3000
  local kinds = { played = true, stopped = true, digit = interrupt or nil }
  while true do
    local kind, which = call:await(kinds, math.max(1, ends - clock.mono_ms()))
    if kind == "digit" then
      if call.leg then call.leg:stop(id) end
      return "digit"
    elseif is_left(kind) then
      return left(kind)
    elseif kind == "timeout" or which == id then
      return "played"
    end
  end
end

-- What a synthesiser says of itself is no answer to the verb: its "timeout" is not that of a caller who presses no key.
local function rendered(call, text, voice)
  local scope = { purpose = "call", call_row = call.row_id, call_id = call.id, trace = call.trace and { id = call.trace } }
  local asked, audio, err = { text = text, voice = voice }
  if not cards.may_keep(call, text) then  -- a rendering is kept for the next time
    local wav
    wav, err = speech.wav(call.tenant, asked, scope)
    if wav then audio, err = media.wav(wav) end
  else
    audio, err = speech.audio(call.tenant, asked, scope)
    if audio then keeping.expect(call.tenant) end
  end
  if not audio then return nil, { code = "failed", text = err.text } end
  return audio
end

-- Does what comes behind something, also where that breaks.
local function always(fn, behind)
  local whole, result, more = pcall(fn)
  behind()
  if not whole then error(result, 0) end
  return result, more
end

-- Does what says a text: with a card's number in it, or the last group of one, it is silence in recordings.
local function unrecorded(call, text, fn)
  cards.says(call, text)
  return always(fn, function() cards.said(call) end)
end

--- Says text when there is any. Returns "played", "digit", or nil, err.
local function prompt(call, text, interrupt, voice)
  if not text then return #call.digits > 0 and "digit" or "played" end
  if interrupt and #call.digits > 0 then return "digit" end
  local audio, err = rendered(call, text, voice)
  if not audio then return nil, err end
  return unrecorded(call, text, function() return play(call, audio, interrupt) end)
end

-- Returns whether all of it was heard, or nil, err.
local function sound(call, audio, options)
  local leg, err = call:sound(options.early)
  if not leg then return nil, err end
  local how
  how, err = play(call, audio, options.interrupt)
  if not how then return nil, err end
  return how == "played"
end

function act.answer(call)
  return call:answer()
end

function act.say(call, args)
  local text, options = args[1], args[2]
  if options.interrupt and #call.digits > 0 then  -- stopped before it began: nothing to render
    local up, why = call:sound(options.early)
    if not up then return nil, why end
    return false
  end
  -- Rendered while the call is being answered: no silence at the beginning.
  local audio, err = rendered(call, text, options.voice)
  if not audio then return nil, err end
  return unrecorded(call, text, function() return sound(call, audio, options) end)
end

function act.play(call, args)
  local path, options = args[1], args[2]
  local audio, err = sounds.audio(call.tenant, call.hash, path)
  if not audio then return nil, err end
  return sound(call, audio, options)
end

local function consume(call, count)
  for _ = 1, count do call:take_digit() end
  call.consumed = function() return call:keep_keys{} end
end

--- Waits for keys: how many were used and the text ("" on silence); or nil, err. They are taken only now, with the result.
local function collect(call, options, wanted)
  local used, text = keys.collect(call, options, wanted, function(seconds) return (call:await({ digit = true }, seconds * 1000)) end)
  if not used then return left(text) end
  return used, text
end

-- Does what asks the caller for keys.
local function asking(call, fn)
  keys.asked(call, true)
  return always(fn, function() keys.asked(call, false) end)
end

-- Does what asks for a secret: its keys are not written, and recordings are silent, as some say aloud what they press.
local function in_secret(call, fn)
  return always(function()
    call.secret = true
    recordings.pause(call, "secret")
    return fn()
  end, function()
    call.secret = nil
    recordings.resume(call, "secret")
  end)
end

function act.gather(call, args, entry, n)
  local options = args[1]
  local leg, err = call:sound()
  if not leg then return nil, err end
  entry.secret = options.secret or nil
  local function ask()
    return asking(call, function()
      local how, problem_of = prompt(call, options.prompt, true)
      if not how then return nil, problem_of end
      return collect(call, options, options.digits)
    end)
  end
  local used, text
  if options.secret then used, text = in_secret(call, ask) else used, text = ask() end
  if not used then return nil, text end
  -- A card's number is a secret, whoever asked for it and how; it may be asked for in groups.
  local of_card = text ~= "" and cards.gathered(call, { visit = call.visit, n = n, entry = entry })
  local is_card = redact.keys(text) == true
  if of_card or is_card then entry.secret = true end
  consume(call, used)
  if of_card and not is_card and not options.secret then
    card_parts.note(call, text)
    call:keep_head()
  end
  return keys.gathered(text)
end

function act.menu(call, args)
  local options = args[1]
  local leg, err = call:sound()
  if not leg then return nil, err end
  return asking(call, function()
    return keys.menu(options, function()
      local how, problem_of = prompt(call, options.prompt, true)
      if not how then return nil, problem_of end
      local used, text = collect(call, { timeout = options.timeout, finish = "" }, 1)
      if not used then return nil, text end
      if text == "" then return text end
      consume(call, used)
      if options[text] == nil then call:keep(call.consumed()) end
      return text
    end)
  end)
end

function act.wait(call, args)
  local ends = clock.mono_ms() + args[1] * 1000
  while true do
    local remaining = ends - clock.mono_ms()
    if remaining <= 0 then return true end
    local kind = call:await({}, remaining)
    if is_left(kind) then return left(kind) end
  end
end

local function effect_key(call, entry, n)
  return entry.key or ("%s:%d:%d"):format(call.id, call.visit, n)
end

-- Keys from before a message, such as one that was to end the prompt, are none of it.
local function forget_keys(call)
  if #call.digits == 0 then return end
  call.digits = {}
  call:keep{ digits = call:digits_kept() }
end

-- Takes the keys that have come, up to the one that ends a message: was it there?
local function ended_by_key(call, finish)
  repeat
    local digit = call:take_digit()
    if digit and digit == finish then return true end
  until not digit
  return false
end

function act.record(call, args, entry, n)
  local options = args[1]
  local leg, err = call:sound()
  if not leg then return nil, err end
  if not entry.resumed then
    local how
    how, err = prompt(call, options.prompt, false)
    if not how then return nil, err end
    if options.beep then
      how, err = play(call, tones.beep(1000, 300))
      if not how then return nil, err end
    end
    forget_keys(call)
  end
  local recording
  recording, err = recordings.open(call, { kind = "message", key = effect_key(call, entry, n), left = call.leg })
  if not recording then return nil, err end
  local started, reason = clock.mono_ms(), entry.reason or recording.closed and "limit" or nil
  -- Before the first word people think for a moment: silence counts from two seconds in.
  local quiet_since, spoken = started + 2000, false
  while not reason do
    local now = clock.mono_ms()
    local over_at = started + (options.seconds - recording.seconds_before) * 1000
    -- Looked at before waiting: a key may have come while the recording was opened, or to the worker before.
    if ended_by_key(call, options.finish) then
      reason = "key"
    elseif now >= over_at then
      reason = "limit"
    elseif quiet_since and now - quiet_since >= options.silence * 1000 then
      reason = "silence"
    else
      local next_look = quiet_since and math.min(over_at, quiet_since + options.silence * 1000) or over_at
      local kind, _, position = call:await({ digit = true, speech = true, quiet = true }, math.max(1, next_look - now))
      if is_left(kind) then
        recording:close(kind ~= "frozen" and "hangup" or nil)
        return left(kind)
      elseif kind == "speech" then
        quiet_since, spoken = nil, true
      elseif kind == "quiet" then
        -- Quiet from before the recording does not count.
        quiet_since = math.max(clock.mono_ms() - (position or 0), spoken and started or started + 2000)
      end
    end
  end
  consume(call, 0)
  -- Kept before it is closed: whoever takes the call up from there does not record again, and knows why it ended.
  if n and not recording.closed then
    entry.reason = reason
    call:keep{ [("j%d.%d"):format(call.visit, n)] = entry }
  end
  recording:close(reason)
  return { id = recording.public_id, seconds = recording:seconds(), reason = reason }
end

-- Kept in the call's record: whoever takes the call up pauses too.
local function set_pausing(call, pausing)
  if (call.pausing or false) ~= pausing then
    call.pausing = pausing or nil
    call:keep_head()
  end
  recordings[pausing and "pause" or "resume"](call, "script")
  return next(call.recorders) ~= nil
end

function act.pause_recording(call) return set_pausing(call, true) end
function act.resume_recording(call) return set_pausing(call, false) end

function act.transfer(call, args, entry, n)
  local to, options = args[1], args[2]
  local leg, err = call:sound()
  if not leg then return nil, err end
  if not entry.resumed then
    local how
    how, err = prompt(call, options.prompt, false)
    if not how then return nil, err end
  end
  return transfer.run(call, to, options, effect_key(call, entry, n), entry)
end

local causes = { normal = 16, busy = 17, rejected = 21 }

function act.hangup(call, args)
  call:hangup(causes[args[1].cause], "flow")
  call.outcome = call.outcome or "hangup"
  local kind = call:await({}, 5000)
  if kind == "timeout" then call:on_gone("no word from Asterisk") end
  return left("gone")
end

--- Also a tool of conversations, which is told as a third value whether there was one of that key before.
function act.create_lead(call, args, entry, n)
  local given = args[1] or {}
  local fields = { name = given.name, phone = given.phone or call.from, email = given.email, score = given.score,
    notes = given.notes and redact.cards(given.notes), status = given.status, source = "call" }
  local decided = leads.decide(call.tenant, fields, call:about())
  local ok, lead, existed = db.patiently(function()
    return audit.transaction(call.tenant, function(tx)
      -- An owner that was cut off may have come to another verb than its successor: the key alone would not stop it.
      if not store.hold(tx, call.row_id, call.fence) then return false end
      return leads.create(call.tenant, tx, fields, { effect_key = effect_key(call, entry, n), call_id = call.row_id, call = call.id,
        trace = call.trace, actor = "flow", decided = decided })
    end)
  end, function() return call.frozen end)
  if ok and not lead then
    fences.refused("lead", call.slot, call.id, call.fence)
    call:lost()
    return left("frozen")
  end
  if not ok then
    if call.frozen then return left("frozen") end
    if problem.is(lead) then return nil, { code = "invalid", text = lead.detail } end
    log.error("lead.not_created", { call = call.id, text = tostring(lead) })
    return nil, { code = "failed", text = "the lead could not be stored" }
  end
  fault.point("lead.committed")
  fences.passed("lead", call.slot, call.id, call.fence)
  call.lead = lead.id
  return { id = lead.id, score = lead.score, status = lead.status }, nil, existed
end

function act.converse(call, args, entry, n)
  local told = args[2]
  return converse.run(call, args[1] or {}, entry, n, told and told.id and told or nil)
end

function act.log(call, args)
  local text = args[1]
  if args[2] and next(args[2]) then text = text .. " " .. require("core.json").encode(args[2]) end
  scripts.log(call.tenant, { level = "info", call = call.id, call_id = call.row_id, state = call.state, bundle_hash = call.hash, text = text })
  return true
end

function act.now()
  return math.floor(clock.wall_us() / 1e6)
end

return verbs
