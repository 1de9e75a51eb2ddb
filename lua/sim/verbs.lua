-- SPDX-License-Identifier: Apache-2.0
--- What the verbs do to a simulated call: verbs.table[name](call, args, entry, n) -> value | nil, err. They never wait: time is
--- the call's own and goes on by as much as the verb would have taken. Which keys count is decided by calls/keys, as for a real call.
local caller = require "sim.caller"
local hooks = require "sim.hooks"
local keys = require "calls.keys"
local lead_rules = require "leads.rules"
local media = require "core.media"
local phone = require "core.phone"
local talk = require "sim.talk"

local verbs = { table = {} }

--- Does the verb only go on, with what a function of the script gave?
function verbs.goes_on(name, args) return name == "converse" and args[2] ~= nil and args[2].id ~= nil end

local act = verbs.table

local BEEP_MS, THINKS_MS = 300, 2000
local RINGS_MS = { answered = 5000, busy = 1000, rejected = 2000, limit = 0, failed = 0 }
local TALK_MS = 30000
local refusals = {
  busy = "the other side is busy", no_answer = "nobody answered", rejected = "the other side rejected the call",
  limit = "the carrier has no line free", failed = "the number could not be reached (cause 3)",
}

local function left() return nil, { code = "gone", text = "the caller has hung up" } end

-- Answers unless early; what every verb with sound begins with.
local function sound(call, early)
  if call.gone_why then return left() end
  if not early then call.up = true end
  return true
end

-- The caller hears something for so long. Returns "played" or "digit", or nil, err.
local function hear(call, ms, stoppable)
  if stoppable and #call.digits > 0 then return "digit" end
  local ends = call.now_ms + ms
  while true do
    local kind = call.caller:await(call, ends - call.now_ms, "sound", stoppable)
    if kind == "gone" then return left() end
    if kind == "timeout" then return "played" end
    if kind == "digit" and stoppable then return "digit" end
  end
end

local function prompt(call, text, stoppable)
  if stoppable and #call.digits > 0 then return "digit" end
  if not text then return "played" end
  call.said[#call.said + 1] = text
  return hear(call, caller.speaking_ms(text), stoppable)
end

-- The flow says nothing for so long. True, or nil, err.
local function rest(call, ms)
  local ends = call.now_ms + ms
  while true do
    local kind = call.caller:await(call, ends - call.now_ms, "quiet")
    if kind == "gone" then return left() end
    if kind == "timeout" then return true end
  end
end

function act.answer(call)
  if call.gone_why then return left() end
  call.up = true
  return true
end

function act.say(call, args)
  local options = args[2] or {}
  local up, err = sound(call, options.early)
  if not up then return nil, err end
  local how
  how, err = prompt(call, args[1], options.interrupt)
  if not how then return nil, err end
  return how == "played"
end

-- Length of a sound file, read once a world.
local function sound_ms(world, path)
  local known = world.sounds[path]
  if not known then
    if not world.files[path] then
      known = { nil, { code = "not_found", text = ("the bundle has no file '%s'"):format(path) } }
    else
      local audio, err = media.wav(world.files[path])
      known = audio and { math.floor(audio:seconds() * 1000) } or { nil, { code = "invalid", text = path .. ": " .. err.text } }
    end
    world.sounds[path] = known
  end
  return known[1], known[2]
end

function act.play(call, args)
  local options = args[2] or {}
  local ms, err = sound_ms(call.world, args[1])
  if not ms then return nil, err end
  local up
  up, err = sound(call, options.early)
  if not up then return nil, err end
  local how
  how, err = hear(call, ms, options.interrupt)
  if not how then return nil, err end
  return how == "played"
end

local function collect(call, options, wanted)
  local used, text = keys.collect(call, options, wanted, function(seconds)
    local ends = call.now_ms + seconds * 1000
    while true do
      local kind = call.caller:await(call, ends - call.now_ms, "keys", true)
      if kind ~= "speech" then return kind end
    end
  end)
  if not used then return left() end
  return used, text
end

local function consume(call, count)
  for _ = 1, count do table.remove(call.digits, 1) end
end

function act.gather(call, args, entry)
  local options = args[1]
  local up, err = sound(call)
  if not up then return nil, err end
  entry.secret = options.secret or nil
  local how
  how, err = prompt(call, options.prompt, true)
  if not how then return nil, err end
  local used, text = collect(call, options, options.digits)
  if not used then return nil, text end
  consume(call, used)
  return keys.gathered(text)
end

function act.menu(call, args)
  local options = args[1]
  local up, err = sound(call)
  if not up then return nil, err end
  return keys.menu(options, function()
    local how, problem = prompt(call, options.prompt, true)
    if not how then return nil, problem end
    local used, text = collect(call, { timeout = options.timeout, finish = "" }, 1)
    if not used then return nil, text end
    consume(call, used)
    return text
  end)
end

function act.wait(call, args)
  if call.gone_why then return left() end
  return rest(call, args[1] * 1000)
end

-- Takes the keys that have come, up to the one that ends a message: was it there?
local function ended_by_key(call, finish)
  while #call.digits > 0 do
    if table.remove(call.digits, 1) == finish then return true end
  end
  return false
end

function act.record(call, args)
  local options = args[1] or {}
  local up, err = sound(call)
  if not up then return nil, err end
  local how
  how, err = prompt(call, options.prompt, false)
  if how and options.beep then how, err = hear(call, BEEP_MS, false) end
  if not how then return nil, err end
  call.digits = {}
  local started, reason = call.now_ms, nil
  -- Before the first word people think for a moment: silence counts from two seconds in.
  local over_at, quiet_since = started + options.seconds * 1000, started + THINKS_MS
  while not reason do
    local silent_at = quiet_since + options.silence * 1000
    local kind, ms = call.caller:await(call, math.min(over_at, silent_at) - call.now_ms, "keys", true)
    if kind == "gone" then return left() end
    if kind == "digit" then
      reason = ended_by_key(call, options.finish) and "key" or nil
    elseif kind == "speech" then
      call:move_to(math.min(over_at, call.now_ms + ms))
      quiet_since = call.now_ms
      reason = call.now_ms >= over_at and "limit" or nil
    else
      reason = call.now_ms >= over_at and "limit" or "silence"
    end
    if call.gone_why then return left() end
  end
  call.recordings = call.recordings + 1
  return { id = ("rc_sim%d"):format(call.recordings), seconds = math.floor((call.now_ms - started) / 100) / 10, reason = reason }
end

-- A simulated call has no recording of its whole.
function act.pause_recording() return false end
function act.resume_recording() return false end

-- What a number is, asked once a world: parsing costs more than all else a verb does.
local function parsed(world, text)
  local known = world.numbers[text]
  if known == nil then
    known = phone.parse(text, world.region) or false
    world.numbers[text] = known
  end
  return known or nil
end

function act.transfer(call, args)
  local to, options = args[1], args[2] or {}
  local up, err = sound(call)
  if not up then return nil, err end
  local how
  how, err = prompt(call, options.prompt, false)
  if not how then return nil, err end
  local number = parsed(call.world, to)
  if not number or not number.possible then return nil, { code = "failed", text = ("'%s' is not a number that can be called"):format(to) } end
  local outcome = call.caller:transfer_outcome()
  local heard
  heard, err = rest(call, RINGS_MS[outcome] or options.timeout * 1000)
  if not heard then return nil, err end
  if outcome ~= "answered" then return nil, { code = outcome, text = refusals[outcome] } end
  heard, err = rest(call, TALK_MS)
  if not heard then return nil, err end
  return "answered"
end

function act.hangup(call)
  if call.gone_why then return left() end
  call.outcome = call.outcome or "hangup"
  call:on_gone("flow")
  return left()
end

function act.create_lead(call, args)
  local given = args[1] or {}
  local text = given.phone or call.from
  local number = lead_rules.phone(text, parsed(call.world, text))
  if not number then return nil, { code = "invalid", text = ("'%s' is not a phone number"):format(text) } end
  local lead = { id = ("ld_sim%d"):format(#call.leads + 1), source = "call" }
  for name, value in pairs(given) do lead[name] = value end
  lead.phone = number
  local decided = lead_rules.decide({ name = given.name, phone = text, email = given.email, score = given.score, notes = given.notes,
    status = given.status, source = "call" }, call:about(), {
    ask = function(name, input) return hooks.ask(call, name, input) end,
    offers = function(name) return hooks.offers(call.world, name) end,
    agents = function() return call.agents end,
  })
  lead.score = tonumber(lead_rules.score_text(given.score or decided.score or 0))
  lead.reasons, lead.agent = decided.reasons, decided.agent
  if lead.agent then lead.status = lead_rules.status_when_assigned(lead.status) end
  call.leads[#call.leads + 1] = lead
  return { id = lead.id, score = lead.score, status = lead.status }
end

local conversation = {
  prompt = function(call, text) return (prompt(call, text, false)) end,
  hear = function(call, text) return (hear(call, caller.speaking_ms(text), false)) end,
  rest = function(call, ms) return (rest(call, ms)) end,
  create_lead = act.create_lead,
}

function act.converse(call, args)
  local up, err = sound(call)
  if not up then return nil, err end
  local told = args[2]
  local result = talk.play(call, args[1] or {}, told and told.id and told or nil, conversation)
  if not result then return left() end
  return result
end

function act.log(call, args)
  local text = args[1]
  if args[2] and next(args[2]) then text = text .. " " .. require("core.json").encode(args[2]) end
  call.logged[#call.logged + 1] = text
  return true
end

function act.now(call)
  return math.floor(call:wall_us() / 1e6)
end

return verbs
