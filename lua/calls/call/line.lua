-- SPDX-License-Identifier: Apache-2.0
--- What verbs do to a call's line: the caller's channel is answered, has sound, and is hung up.
--- A part of calls.call: methods of a call.
local call_recording = require "calls.call_recording"
local clock = require "core.clock"
local fault = require "core.fault"
local media = require "core.media"
local task = require "core.task"
local telephony = require "core.telephony"
local time = require "lib.time"

local line = {}

function line:request(method, path, body)
  return telephony.request(self.slot, method, path, body)
end

-- A slot that changes hands or dials in again does nothing for a moment. That is no answer for a script: either this worker
-- has the slot back, or the call is another's, who takes the verb up.
local PATIENCE_MS, PAUSE_MS = 20000, 50
local passing = { stale = true, closed = true, timeout = true }

-- An err where nobody waits for this worker's verb any more.
local function why_left(call)
  if call.frozen then return { code = "frozen", text = "the call moves to another worker" } end
  if call.gone_why then return { code = "gone", text = "the caller has hung up" } end
end

--- Does fn (a result, or nil, err) until what stands in its way has passed. fn may be done twice, so it looks before it repeats
--- or has ids of its own.
function line:patiently(fn)
  local ends = clock.mono_ms() + PATIENCE_MS
  while true do
    local result, err = fn()
    if result ~= nil or not passing[err.code] then return result, err end
    if not why_left(self) then task.sleep(PAUSE_MS) end
    local left = why_left(self)
    if left then return nil, left end
    if clock.mono_ms() > ends then return nil, err end
  end
end

local function answer(call)
  local status, body = call:request("POST", "/channels/" .. call.channel .. "/answer")
  if status == 204 then return true end
  if not status then return nil, body end
  if status == 404 then
    call:on_gone("channel gone")
    return nil, { code = "gone", text = "the caller has hung up" }
  end
  return nil, { code = "failed", text = "the call could not be answered: " .. tostring(type(body) == "table" and body.message or status) }
end

-- Who hangs up at that very moment can be answered no more, and Asterisk has several words for it; that he is gone comes a moment later. Waits for that.
local GOING_MS = 500

local function gone_by_then(call)
  local ends = clock.mono_ms() + GOING_MS
  while not why_left(call) and clock.mono_ms() < ends do task.sleep(PAUSE_MS) end
  return why_left(call)
end

function line:answer()
  if self.up then return true end
  local ok, err = self:patiently(function() return answer(self) end)
  if not ok and err.code == "failed" then err = gone_by_then(self) or err end
  if not ok then return nil, err end
  fault.point("call.answered")
  if self.gone_why then return nil, { code = "gone", text = "the caller has hung up" } end
  self:answered()
  return true
end

--- The call is up: by our answer, or by the other side's. Not after its end: the row may be closed already.
function line:answered()
  if self.up or self.gone_why then return end
  self.up, self.status, self.answered_us, self.answered_mono_ms = true, "connected", clock.wall_us(), clock.mono_ms()
  self:keep_head()
  fault.point("call.answer_written")
  self:change({ status = "connected", answer_time = time.sql(self.answered_us) }, { type = "call.answered", data = { direction = self.direction } },
    function() return self.removed end)  -- its end is written already, with the answer's time
end

-- Its leg is there. An announcement may be said first, and the caller may go or be given away meanwhile.
local function sounding(call, early)
  if not early then call_recording.begin(call) end
  if call.leg then return call.leg end
  return nil, { code = call.frozen and "frozen" or "gone", text = "the call is not ours any more" }
end

--- The caller's leg with its media, opened when sound is first needed.
function line:sound(early)
  if not early then
    local ok, err = self:answer()
    if not ok then return nil, err end
  elseif not self.up and not self.progressed then
    -- Without it the caller's side hears its own ringing and not us.
    self.progressed = true
    self:request("POST", "/channels/" .. self.channel .. "/progress")
  end
  if self.leg then return sounding(self, early) end
  local leg, err = self:patiently(function()
    return media.leg(self.slot, { id = self.id .. ".a", channel = self.channel, codec = "ulaw", on_media = function(...) self:on_media(...) end })
  end)
  if not leg then
    if err.code == "not_found" then
      self:on_gone("channel gone")
      return nil, { code = "gone", text = "the caller has hung up" }
    end
    return nil, err
  end
  if self.gone_why or self.frozen then
    leg:close(self.frozen)
    return nil, { code = self.frozen and "frozen" or "gone", text = "the call is not ours any more" }
  end
  self.leg = leg
  return sounding(self, early)
end

function line:hangup(cause, by)
  self.hangup_by = self.hangup_by or by or "flow"
  self.cause_sent = cause or 16
  local path = ("/channels/%s?reason_code=%d"):format(self.channel, self.cause_sent)
  local status, body = self:request("DELETE", path)
  fault.point("call.hung_up")
  if status == 404 then self:on_gone("channel gone") end
  if not self.hanging_up then
    -- The request, or the word that it was done, may be lost: nobody is kept on a line with nothing on it.
    self.hanging_up = true
    task.spawn(function()
      while true do
        task.sleep(2000)
        if self.gone_why or self.frozen then return end
        if self:request("DELETE", path) == 404 then return self:on_gone("channel gone") end
      end
    end)
  end
  return status ~= nil, body
end

return line
