-- SPDX-License-Identifier: Apache-2.0
--- The book of fenced writes: which worker wrote what for a call with which fence, and which write was refused.
--- A refusal is always told (write.refused, fenced_writes_refused_total). What is let through is told at log level debug
--- (write.fenced), with Redis's own time for a record, so that the writes of several hosts can be put in order.
local config = require "core.config"
local log = require "core.log"
local metrics = require "core.metrics"
local worker = require "core.worker"

local fence = {}

local told = config.log and config.log.level == "debug"

--- @param what string  "record", "row", "lead": where it was written
--- @param at_us string|nil  Redis's time in us
function fence.passed(what, slot, id, number, at_us)
  if told then log.debug("write.fenced", { what = what, slot = slot, call = id, fence = number, owner = worker.owner, at_us = at_us }) end
end

function fence.refused(what, slot, id, number)
  log.warn("write.refused", { what = what, slot = slot, call = id, fence = number, owner = worker.owner })
  metrics.count("fenced_writes_refused_total", { what = what }, 1, "writes of a worker that another had taken the call from")
end

return fence
