-- SPDX-License-Identifier: Apache-2.0
--- How a call's sound came over the wire, from what its leg has counted: kept with the call, shown with it, and in the metrics. Of a call
--- that was taken up it is what the last worker saw. Pure but for the metrics.
local metrics = require "core.metrics"

local quality = {}

local function rounded(n, places) return math.floor(n * 10 ^ places + 0.5) / 10 ^ places end

--- @param stats table|nil  of a leg: received, lost, late, jitter_ms, concealed_ms, mos
--- @return table|nil  { received, lost, late (packets), lossPercent, jitterMs, concealedMs, mos }; nil when nothing came
function quality.of(stats)
  if not stats or stats.received == 0 then return nil end
  return {
    received = stats.received, lost = stats.lost, late = stats.late, lossPercent = rounded(100 * stats.lost / (stats.received + stats.lost), 2),
    jitterMs = rounded(stats.jitter_ms, 1), concealedMs = rounded(stats.concealed_ms, 0), mos = rounded(stats.mos, 2),
  }
end

--- Counts the call in.
function quality.observe(seen)
  metrics.count("call_packets_received_total", nil, seen.received, "audio packets that callers sent, as they came")
  metrics.count("call_packets_lost_total", nil, seen.lost, "audio packets of callers that never came")
  metrics.observe("call_jitter_seconds", nil, seen.jitterMs / 1000, "jitter of a caller's audio at the call's end")
end

return quality
