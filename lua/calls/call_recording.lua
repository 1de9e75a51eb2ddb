-- SPDX-License-Identifier: Apache-2.0
--- The recording of a whole call, where the tenant's policy wants one (calls.keeping): left the caller, right what the caller hears. It begins
--- with the call's first sound; a worker that takes the call up goes on with it.
local db = require "lib.db"
local keeping = require "calls.keeping"
local log = require "core.log"
local recordings = require "calls.recordings"
local task = require "core.task"

local call_recording = {}

-- Nobody waits longer in a silent line for what the policy is: the first time, and each time that it is asked again.
local KNOWN_WITHIN_MS, AGAIN_WITHIN_MS = 500, 50

-- Says it; whether it was heard to its end.
local function announce(call, text)
  if call.announced then return true end
  local heard = call.verbs.say(call, { text, {} }, {})
  if not heard then return false end
  call.announced = true
  call:keep_head()
  return true
end

local function open(call)
  if not call.leg or call.gone_why or call.frozen then return end
  local recording, err = recordings.open(call, { kind = "call", key = call.id .. ":call", left = call.leg })
  if not recording then
    if err.code ~= "gone" and err.code ~= "frozen" then log.error("call.not_recorded", { call = call.id, text = err.text }) end
    return
  end
  call.whole = not recording.closed and recording or nil
  if call.gone_why then call_recording.close(call) end
end

--- The call has sound and is up. Returns when the announcement, if there is one, has been heard; the rest is done meanwhile.
function call_recording.begin(call)
  if call.recording_begun or not call.up or not call.leg then return end
  call.recording_begun = true
  local settings = keeping.soon(call.tenant, call.policy_late and AGAIN_WITHIN_MS or KNOWN_WITHIN_MS)
  if not settings then
    if not call.policy_late then log.warn("call.policy_not_known", { call = call.id, text = "the call goes on without being recorded whole as yet" }) end
    call.policy_late, call.recording_begun = true, nil  -- its next sound asks again
    return
  end
  call.recording_policy = settings.recording
  if settings.recording == "announce" then
    local text = settings.announcement or keeping.ANNOUNCEMENT
    if not announce(call, text) then
      -- Nobody was told, so nothing is kept. The call itself goes on: whoever takes it up, or its next sound, says it again.
      call.recording_begun = nil
      return
    end
  elseif settings.recording ~= "on" then
    return
  end
  task.spawn(open, call)
end

--- May a script have the call recorded? Not where the policy is that none is, or is not known, and not twice. May wait.
function call_recording.wanted(call)
  if not call.recording_policy then
    db.patiently(function() call.recording_policy = keeping.of(call.tenant).recording end, function() return call.frozen or call.gone_why end)
  end
  return call.recording_policy ~= nil and call.recording_policy ~= "off" and not call.whole
end

--- The caller has gone.
function call_recording.close(call)
  local whole = call.whole
  call.whole = nil
  if whole then whole:close("hangup") end
end

return call_recording
