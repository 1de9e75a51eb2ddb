-- SPDX-License-Identifier: Apache-2.0
--- How many recordings a worker gives out at a time: its calls need the processor that opens and packs them, and a slow client listens for hours.
local timer = require "core.timer"

local downloads = {}

local AT_ONCE, OF_TENANT = 8, 2
local RETRY_AFTER_S = 10
local UNBEGUN_MS = 10000  -- nobody asks for the body of a HEAD, nor for that of a client that has gone

local running, running_of = 0, {}  -- tenant id -> how many

local function refused(text) return nil, { code = "too_many", text = text, retry_after_s = RETRY_AFTER_S } end

-- A place among them: a function that leaves it, once.
local function enter(tenant_id)
  running, running_of[tenant_id] = running + 1, (running_of[tenant_id] or 0) + 1
  return function()
    if not tenant_id then return end
    local left = running_of[tenant_id] - 1
    running, running_of[tenant_id] = running - 1, left > 0 and left or nil
    tenant_id = nil
  end
end

--- Runs answer(...), which gives a reply of lib.router with a stream, or a problem, and keeps a place until the stream has ended.
--- @return table  the reply; or nil, { code = "too_many", text =, retry_after_s = } where there is no place
function downloads.run(tenant, answer, ...)
  if (running_of[tenant.id] or 0) >= OF_TENANT then
    return refused(("%d recordings are being downloaded already, more are not given out at a time"):format(OF_TENANT))
  end
  if running >= AT_ONCE then return refused("Others are downloading as many recordings as are given out at a time") end
  local leave = enter(tenant.id)
  local ok, reply = pcall(answer, ...)
  local stream = ok and reply.stream
  if not stream then
    leave()
    if not ok then error(reply, 0) end
    return reply
  end
  local unbegun = timer.after(UNBEGUN_MS, leave)
  reply.stream = function(out)
    unbegun:cancel()
    local whole, problem = pcall(stream, out)
    leave()
    if not whole then error(problem, 0) end
  end
  return reply
end

return downloads
