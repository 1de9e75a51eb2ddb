-- SPDX-License-Identifier: Apache-2.0
--- How calls sounded and how long their callers waited, as sums that can be added: of a call while it is up, of a day, of many days. Flat however many
--- turns there were, JSON as it is; arithmetic only.
---   { turns, slow (that took longer than SLOW_MS), longest (ms), times = { measure -> histogram }, made = { bucket of the gap -> ms of each of STAGES },
---     calls, heard (calls of which audio came), received, lost (packets), mos (sum), mos_least }
local histogram = require "lib.histogram"
local json = require "core.json"

local figures = {}

figures.SLOW_MS = 1000
local MOST = 2 ^ 52  -- of anything that is summed: what says more was never counted

local function sum(a, b) return (a or b) and (a or 0) + (b or 0) end

-- What is measured of a turn, by voice.timeline's report of it.
local MEASURES = {
  gap = function(report) return report.gap_ms end,
  own = function(report) return report.own_ms end,
  barge_in = function(report) return report.barge_in_ms end,
  final_text = function(report) return report.final_text_ms end,
  first_token = function(report) return report.model_ms end,
  first_audio = function(report) return sum(report.chunk_ms, report.voice_ms) end,
}

-- What a gap is made of, one behind the other, by what each ends with.
local STAGES = { "finalText", "endOfTurn", "firstToken", "firstAudio", "firstPacket" }

local function stages_of(report)
  local endpoint = report.endpoint_ms or 0
  local text = math.min(report.final_text_ms or 0, endpoint)
  return { text, endpoint - text, report.model_ms or 0, (report.chunk_ms or 0) + (report.voice_ms or 0), report.send_ms or 0 }
end

function figures.new() return { turns = 0, slow = 0, longest = 0, times = {}, made = {} } end

local function add_list(lists, key, other)
  local list = lists[key] or {}
  for i = 1, #STAGES do list[i] = (list[i] or 0) + other[i] end
  lists[key] = list
end

--- A turn was timed. A report without a gap is of no turn (a greeting), but may have been interrupted.
function figures.turn(all, report)
  for name, of in pairs(MEASURES) do
    local ms = of(report)
    if ms then
      all.times[name] = all.times[name] or {}
      histogram.add(all.times[name], ms)
    end
  end
  if not report.gap_ms then return end
  all.turns, all.longest = all.turns + 1, math.max(all.longest, report.gap_ms)
  if report.gap_ms > figures.SLOW_MS then all.slow = all.slow + 1 end
  local stages = stages_of(report)
  for i = 1, #stages do stages[i] = math.floor(stages[i] + 0.5) end
  add_list(all.made, histogram.bucket(report.gap_ms), stages)
end

--- A call as a day counts it.
--- @param measured table|nil  of its turns
--- @param seen table|nil      calls.quality of its audio
function figures.call(measured, seen)
  local all = measured or figures.new()
  local one = { calls = 1, turns = all.turns, slow = all.slow, longest = all.longest, times = {}, made = all.made }
  for name, counts in pairs(all.times) do one.times[name] = counts end
  if not seen then return one end
  one.heard, one.received, one.lost, one.mos, one.mos_least = 1, seen.received, seen.lost, seen.mos, seen.mos
  one.times.jitter = {}
  histogram.add(one.times.jitter, seen.jitterMs)
  return one
end

-- Nothing that is summed is ever less than nothing: what is would take from other days what they have.
local function is_figure(value) return type(value) == "number" and value >= 0 and value <= MOST end

-- Why a table cannot be figures that are added to others and shown; nil when it can.
local function fault(kept)
  for _, name in ipairs{ "turns", "slow", "longest" } do
    if not is_figure(kept[name]) then return name .. " is no number from 0 to 2^52" end
  end
  if kept.calls ~= nil and not is_figure(kept.calls) then return "calls is no number from 0 to 2^52" end
  for _, name in ipairs{ "heard", "received", "lost", "mos", "mos_least" } do
    if (kept.heard ~= nil or kept[name] ~= nil) and not is_figure(kept[name]) then return name .. " is no number from 0 to 2^52" end
  end
  if type(kept.times) ~= "table" or type(kept.made) ~= "table" then return "it has no times" end
  for name, counts in pairs(kept.times) do
    if not histogram.is_one(counts) then return name .. " is no histogram" end
  end
  for bucket, stages in pairs(kept.made) do
    for i = 1, #STAGES do
      if type(stages) ~= "table" or not is_figure(stages[i]) then return ("what the gaps of bucket %s are made of is not known"):format(bucket) end
    end
  end
  local gaps = kept.times.gap or {}
  if kept.turns > 0 and not next(gaps) then return "its turns have no gaps" end
  for bucket in pairs(gaps) do
    if not kept.made[bucket] then return ("what the gaps of bucket %s are made of is not known"):format(bucket) end
  end
end

--- Figures that were kept.
--- @param text string  JSON
--- @return table  or nil, why: it is damaged
function figures.read(text)
  local kept, err = json.decode(text)
  if type(kept) ~= "table" then return nil, err and err.text or "it is no object" end
  local why = fault(kept)
  if why then return nil, why end
  return kept
end

--- Adds others to these.
function figures.merge(all, other)
  for _, name in ipairs{ "calls", "turns", "slow", "heard", "received", "lost", "mos" } do all[name] = sum(all[name], other[name]) end
  all.longest = math.max(all.longest, other.longest or 0)
  all.mos_least = math.min(all.mos_least or math.huge, other.mos_least or math.huge)
  if all.mos_least == math.huge then all.mos_least = nil end
  for name, counts in pairs(other.times or {}) do
    all.times[name] = all.times[name] or {}
    histogram.merge(all.times[name], counts)
  end
  for bucket, stages in pairs(other.made or {}) do add_list(all.made, bucket, stages) end
end

local function rounded(n, places) return math.floor(n * 10 ^ places + 0.5) / 10 ^ places end

local function spread(counts)
  if not counts or not next(counts) then return json.null end
  local function at(share)
    local ms = histogram.percentile(counts, share)
    return rounded(ms, ms < 100 and 1 or 0)
  end
  return { p50 = at(0.5), p90 = at(0.9), p99 = at(0.99) }
end

-- Of what the turns were made that took about as long as that percentile: parts that are it together.
local function parts(all, share)
  local ms, bucket = histogram.percentile(all.times.gap, share)
  local made, whole, out = all.made[bucket], 0, {}
  for i = 1, #STAGES do whole = whole + made[i] end
  for i, name in ipairs(STAGES) do out[name] = whole > 0 and rounded(made[i] / whole * ms, 0) or 0 end
  return out
end

local function percent(part, whole) return whole > 0 and rounded(100 * part / whole, 2) or json.null end

--- As the API shows them; what was never measured is null. Times in ms.
function figures.shown(all)
  local out = { calls = all.calls or 0, turns = all.turns, slowPercent = percent(all.slow, all.turns), longestGap = all.turns > 0 and rounded(all.longest, 0) or json.null }
  for name, of in pairs{ gap = "gap", own = "own", barge_in = "bargeIn", final_text = "finalText", first_token = "firstToken", first_audio = "firstAudio" } do
    out[of] = spread(all.times[name])
  end
  out.stages = all.turns > 0 and { p50 = parts(all, 0.5), p99 = parts(all, 0.99) } or json.null
  local heard = all.heard or 0
  out.audio = heard > 0 and { calls = heard, received = all.received, lost = all.lost, lossPercent = percent(all.lost, all.received + all.lost),
    jitter = spread(all.times.jitter), mos = rounded(all.mos / heard, 2), mosLeast = all.mos_least } or json.null
  return out
end

return figures
