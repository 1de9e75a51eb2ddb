-- SPDX-License-Identifier: Apache-2.0
--- How many recordings a worker gives out at a time. Its calls need the processor that opens and packs them, so few are worked on at a time; one whose
--- client is slow, and he may listen for hours, is not while it waits for him, and keeps nothing but memory.
local places = require "lib.places"
local timer = require "core.timer"

local downloads = {}

local AT_WORK, OF_TENANT = 8, 2
local MOST = 128  -- each is a third of a megabyte as WAV and nearly one as MP3 while its client is slow
local RETRY_AFTER_S = 10
local UNBEGUN_MS = 10000  -- nobody asks for the body of a HEAD, nor for that of a client that has gone

local at_work = places.new(AT_WORK)
local running, running_of = 0, {}  -- tenant id -> how many

local function refused(text) return nil, { code = "too_many", text = text, retry_after_s = RETRY_AFTER_S } end

local function refused_by_others() return refused("Others are downloading as many recordings as are given out at a time") end

-- Counts it in. A function that counts it out, once.
local function enter(tenant_id)
  running, running_of[tenant_id] = running + 1, (running_of[tenant_id] or 0) + 1
  return function()
    if not tenant_id then return end
    local left = running_of[tenant_id] - 1
    running, running_of[tenant_id] = running - 1, left > 0 and left or nil
    tenant_id = nil
  end
end

-- Runs a reply's stream with a place to work, which others have while the client is waited for.
local function work(stream, out)
  at_work:take()
  local working = true
  local whole, problem = pcall(stream, { write = function(_, bytes)
    working = false
    at_work:give()
    local wanted, why = out:write(bytes)
    working = at_work:take()
    return wanted, why
  end })
  if working then at_work:give() end
  if not whole then error(problem, 0) end
end

--- Runs answer(...), which gives a reply of lib.router with a stream, or a problem, and counts it until the stream has ended.
--- @return table  the reply; or nil, { code = "too_many", text =, retry_after_s = } where there are too many
function downloads.run(tenant, answer, ...)
  if (running_of[tenant.id] or 0) >= OF_TENANT then
    return refused(("%d recordings are being downloaded already, more are not given out at a time"):format(OF_TENANT))
  end
  if running >= MOST then return refused_by_others() end
  local leave = enter(tenant.id)
  if not at_work:take(RETRY_AFTER_S * 1000) then
    leave()
    return refused_by_others()
  end
  local ok, reply = pcall(answer, ...)
  at_work:give()
  local stream = ok and reply.stream
  if not stream then
    leave()
    if not ok then error(reply, 0) end
    return reply
  end
  local unbegun = timer.after(UNBEGUN_MS, leave)
  reply.stream = function(out)
    unbegun:cancel()
    local whole, problem = pcall(work, stream, out)
    leave()
    if not whole then error(problem, 0) end
  end
  return reply
end

return downloads
