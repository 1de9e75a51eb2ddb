-- SPDX-License-Identifier: Apache-2.0
--- How long a caller pauses inside his turns: a running quantile of the last few pauses after which he went on.
--- Only what was seen to be a pause counts, so a long one is learned when a turn was ended too early and he went on.
local pauses = {}
pauses.__index = pauses

local KEPT = 32
local LEAST = 4         -- with fewer nothing is known of him
local QUANTILE = 0.9
local MOST_MS = 4000    -- longer is no pause of speaking but one of thinking

function pauses.new()
  return setmetatable({ list = {}, at = 0 }, pauses)
end

--- A pause of that length has ended with more of the same turn.
function pauses:add(ms)
  if not (ms > 0 and ms <= MOST_MS) then return end
  self.at = self.at % KEPT + 1
  self.list[self.at] = ms
end

--- The length that nine of ten of his pauses do not exceed, or nil while too little is known.
function pauses:usual_ms()
  local n = #self.list
  if n < LEAST then return nil end
  local sorted = {}
  for i = 1, n do sorted[i] = self.list[i] end
  table.sort(sorted)
  return sorted[math.ceil(QUANTILE * n)]
end

return pauses
