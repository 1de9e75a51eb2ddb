-- SPDX-License-Identifier: Apache-2.0
--- Can a request have used what its provider says? Who claims more than that has made a mistake, and it is not paid for: one such answer
--- would be a tenant's budget, and some of them more than a sum can hold. No I/O.
---
--- The bounds are wide, for what is true is billed: a provider adds words of its own to tools, counts thinking beside the answer, and a
--- request that has fields of the provider's own (extras) may name what is stored there.
local estimate = require "ai.estimate"

local ADDED = 2 ^ 16   -- tokens
local STORED = 2 ^ 22

--- @param usage table    a usage event: counts, zero or more
--- @param request table  canonical; or { texts = list } for embeddings
local function plausible(usage, request, target)
  local input, output = usage.input or 0, usage.output or 0
  if input <= ADDED and output <= ADDED then return true end
  local most = (estimate.input(request)) + (request.extras and STORED or ADDED)
  return input <= most and output <= 2 * estimate.output(request, target) + ADDED
end

return plausible
