-- SPDX-License-Identifier: Apache-2.0
--- Joins the caller with a second party: dialled over the tenant's trunk, joined in our own mixer, recorded on two channels.
--- The second channel's id is made from the verb's key, so a successor finds it, and never dials twice.
local call_recording = require "calls.call_recording"
local clock = require "core.clock"
local log = require "core.log"
local media = require "core.media"
local recordings = require "calls.recordings"
local task = require "core.task"
local telephony = require "core.telephony"
local tones = require "calls.tones"
local trunks = require "calls.trunks"

local transfer = {}

local LOOKS, LOOK_MS = 25, 200

--- Dials under way or talking, by channel id: the driver brings them their events.
transfer.dials = {}

local Dial = {}
Dial.__index = Dial

-- Q.850 causes as the script hears them.
local function outcome_of(cause)
  if cause == 17 then return "busy", "the other side is busy" end
  if cause == 21 then return "rejected", "the other side rejected the call" end
  if cause == 18 or cause == 19 or cause == 127 or cause == 16 then return "no_answer", "nobody answered" end
  if cause == 34 or cause == 38 or cause == 42 then return "limit", "the carrier has no line free" end
  return "failed", "the number could not be reached (cause " .. tostring(cause) .. ")"
end

function Dial:on_start()
  self.answered = true
  self.call:happen("dial_answered")
end

function Dial:on_end(cause)
  if self.ended then return end
  self.ended, self.cause = true, cause or 16
  self.call:happen("dial_ended")
end

--- The caller went: the other side is hung up.
function Dial:end_dial()
  telephony.request(self.call.slot, "DELETE", "/channels/" .. self.channel .. "?reason_code=16")
end

--- The call is another worker's now.
function Dial:leave()
  if transfer.dials[self.channel] == self then transfer.dials[self.channel] = nil end
end

--- Its sound goes on until the other worker's is there.
function Dial:linger()
  if self.leg then self.leg:linger() end
end

--- And then ends.
function Dial:let_go()
  if self.leg then self.leg:close(true) end
  self.leg = nil
end

-- What Asterisk says of a channel that a predecessor may have dialled. No answer is no "it is gone": nobody is rung twice.
local function look(call, channel)
  for _ = 1, LOOKS do
    local status, found = telephony.request(call.slot, "GET", "/channels/" .. channel)
    if status or call.frozen or call.gone_why then return status, found end
    task.sleep(LOOK_MS)
  end
end

local function dial_channel(call, dial, to, timeout)
  local number, err = trunks.parse(call.tenant, to)
  if not number or not number.possible then
    return nil, { code = "failed", text = ("'%s' is not a number that can be called%s"):format(to, err and ": " .. err.text or "") }
  end
  local trunk
  trunk, err = trunks.outbound(call.tenant)
  if not trunk then return nil, err end
  local app = telephony.slot(call.slot)
  app = app and app.app
  return call:patiently(function()
    if not app then return nil, { code = "stale", text = "the slot is another worker's now" } end
    local status, body = telephony.request(call.slot, "POST", "/channels/" .. dial.channel, {
      endpoint = ("PJSIP/%s@%s"):format(number.e164, trunks.endpoint(trunk)), app = app,
      appArgs = "leg," .. call.id, callerId = call.direction == "inbound" and call.to or trunks.caller_id(call.tenant),
      timeout = math.floor(timeout), formats = "ulaw,alaw",
    })
    if status == 200 then return true end
    if status then return nil, { code = "failed", text = "the number could not be dialled: " .. tostring(type(body) == "table" and body.message or status) } end
    -- It may have been dialled all the same, when the answer was lost.
    if body.code ~= "stale" and look(call, dial.channel) == 200 then return true end
    return nil, body
  end)
end

-- Until it is answered: true | nil, err. The caller hears ringing.
local function wait_for_answer(call, dial, timeout)
  local ends = clock.mono_ms() + timeout * 1000 + 2000
  while not dial.answered do
    if dial.ended then
      local code, text = outcome_of(dial.cause)
      return nil, { code = code, text = text }
    end
    local kind = call:await({ dial_answered = true, dial_ended = true }, math.max(1, ends - clock.mono_ms()))
    if kind == "gone" or kind == "frozen" or kind == "cut" then return nil, { code = kind, text = kind } end
    if kind == "timeout" then
      dial:end_dial()
      return nil, { code = "no_answer", text = "nobody answered" }
    end
  end
  return true
end

local function talk(call, dial, options, key)
  local leg, err = call:patiently(function()
    return media.leg(call.slot, { id = dial.leg_id, channel = dial.channel, codec = "ulaw", on_media = function() end })
  end)
  if not leg then
    if err.code == "not_found" then return "answered" end  -- they hung up at once
    return nil, err
  end
  dial.leg = leg
  if not call.leg then return nil, { code = "gone", text = "the caller has hung up" } end
  local ok
  ok, err = call.leg:join(leg)
  if not ok then return nil, err end
  local recording
  if options.record and call_recording.wanted(call) then
    local problem
    recording, problem = recordings.open(call, { kind = "call", key = key .. ":recording", left = call.leg, right = leg })
    if not recording then log.warn("transfer.not_recorded", { call = call.id, text = problem.text }) end
  end
  local kind
  repeat kind = dial.ended and "dial_ended" or call:await({ dial_ended = true }) until kind ~= "timeout"
  if recording then recording:close(kind ~= "frozen" and "hangup" or nil) end
  if kind == "frozen" or kind == "gone" or kind == "cut" then return nil, { code = kind, text = kind } end
  if call.leg then call.leg:unjoin(leg) end
  return "answered"
end

--- @param entry table  journal entry; entry.resumed when a predecessor began it
function transfer.run(call, to, options, key, entry)
  local leg_id = key:gsub("[^%w%._-]", "-")
  local dial = setmetatable({ call = call, channel = "pc-" .. leg_id, leg_id = leg_id }, Dial)
  transfer.dials[dial.channel] = dial
  call.legs[leg_id] = dial
  local ring
  local result, err
  if entry.resumed then
    local status, channel = look(call, dial.channel)
    if not status then
      local why = call.frozen and "frozen" or call.gone_why and "gone" or "failed"
      result, err = nil, { code = why, text = "Asterisk does not say what became of the second party" }
    elseif status == 200 then
      dial.answered = channel.state == "Up"
      result = true
    elseif call.dial and call.dial.answered then
      result, err = nil, nil
      dial.over = true  -- they had talked and the other side has hung up meanwhile
    elseif status == 404 and call.dial and call.dial.placed then
      dial.ended = true
      result, err = nil, { code = "no_answer", text = "nobody answered" }  -- it had rung and ended meanwhile: nobody is rung twice
    else
      result, err = dial_channel(call, dial, to, options.timeout)
    end
  else
    call.dial = { leg_id = leg_id, answered = false }
    call:keep_head()
    result, err = dial_channel(call, dial, to, options.timeout)
  end
  if result and not (call.dial and call.dial.placed) then
    call.dial = { leg_id = leg_id, answered = false, placed = true }
    call:keep_head()
  end
  if dial.over then
    result = "answered"
  elseif result then
    if not dial.answered then
      call.next_play = call.next_play + 1
      ring = call.next_play
      if call.leg then call.leg:play(ring, tones.ringing(), true) end
    end
    result, err = wait_for_answer(call, dial, options.timeout)
    if ring and call.leg then call.leg:stop(ring) end
    if result then
      call.dial = { leg_id = leg_id, answered = true }
      call:keep_head()
      result, err = talk(call, dial, options, key)
    end
  end
  if not (err and err.code == "frozen") then
    transfer.dials[dial.channel] = nil
    call.legs[leg_id] = nil
    if dial.leg then dial.leg:close(false) end
    if not dial.ended and not dial.over then dial:end_dial() end
    call.dial = nil
  end
  return result, err
end

return transfer
