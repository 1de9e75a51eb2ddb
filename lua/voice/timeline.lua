-- SPDX-License-Identifier: Apache-2.0
--- The times of one turn: from the end of the caller's speech to our first sound at his ear, and from his voice over ours to silence.
--- Told in ms of one clock; arithmetic only. What is told first counts, and stages follow each other without a gap, so their sum is the whole.
---
---   ended ─ endpoint ─> committed ─ model ─> first_token ─ chunk ─> voice_asked ─ voice ─> first_audio ─ send ─> first_packet
---   └──────────────────────────────────────────── gap: what the caller waits ──────────────────────────────────────────────┘
local timeline = {}
timeline.__index = timeline

-- The marks of an answer, in the order of their stages; a stage is named for what ends it.
local STAGES = {
  { mark = "committed", stage = "endpoint", help = "the caller's last sound until his turn was ended" },
  { mark = "first_token", stage = "model", help = "a turn's end until the model's first word" },
  { mark = "voice_asked", stage = "chunk", help = "the model's first word until there was a piece to speak" },
  { mark = "first_audio", stage = "voice", help = "a piece's text until the synthesiser's first audio" },
  { mark = "first_packet", stage = "send", help = "the first audio until its first packet" },
}
local MARKS = {
  ended = true, final_text = true, model_asked = true,
  voice_began = true, ducked = true, stopping = true, silent = true,
}
for _, of in ipairs(STAGES) do MARKS[of.mark] = true end

--- Names of the histograms, in seconds, with what each says.
timeline.histograms = {
  voice_gap_seconds = "the caller's last sound until our first packet",
  voice_own_seconds = "the same without the providers' time and the silence that was chosen to wait",
  voice_final_text_seconds = "the caller's last sound until the recogniser's settled text",
  voice_barge_in_decision_seconds = "the beginning of speech over ours until it was decided to stop",
  voice_barge_in_stop_seconds = "the decision to stop until the last packet",
  voice_barge_in_seconds = "the beginning of speech over ours until the last packet",
  voice_hushed_seconds = "our silence over sounds that were no speech, in a turn",
}
for _, of in ipairs(STAGES) do timeline.histograms["voice_" .. of.stage .. "_seconds"] = of.help end

--- @param turn number|nil  its number, where it is known already; 0: it answers nobody
function timeline.new(turn)
  return setmetatable({ turn = turn or 0, at = {}, counts = {} }, timeline)
end

--- Its turn is that one: known when it is written.
function timeline:is_of(turn) self.turn = turn end

--- So far at that time; only the first telling counts.
function timeline:mark(name, ms)
  assert(MARKS[name], "a mark that is not known")
  if not self.at[name] then self.at[name] = ms end
end

--- The turn was taken back: the caller went on, and everything behind his speech comes again.
function timeline:again()
  self.at = { voice_began = self.at.voice_began, ducked = self.at.ducked, stopping = self.at.stopping, silent = self.at.silent }
  self.chosen_ms = nil
  self:count("taken_back")
end

--- It was a false alarm: we go on, and the next time that we fall silent is told anew.
function timeline:resumed(ms)
  local at = self.at
  if at.stopping then self.hushed_ms = (self.hushed_ms or 0) + ms - at.stopping end
  at.voice_began, at.ducked, at.stopping, at.silent = nil, nil, nil, nil
  self:count("false_alarm")
end

local COUNTS = { taken_back = true, eager = true, eager_used = true, filler = true, false_alarm = true, aside = true }

--- One more of what is counted in a turn.
function timeline:count(name)
  assert(COUNTS[name], "a count that is not known")
  self.counts[name] = (self.counts[name] or 0) + 1
end

--- The silence that was chosen: so many ms of it ended the turn.
function timeline:chose(ms) self.chosen_ms = self.chosen_ms or ms end

-- How much of a stretch of time the intervals cover; where they overlap it counts once.
local function covered(from, to, intervals)
  table.sort(intervals, function(a, b) return a[1] < b[1] end)
  local sum, at = 0, from
  for _, interval in ipairs(intervals) do
    local a, b = math.max(at, interval[1]), math.min(to, interval[2])
    if b > a then sum, at = sum + b - a, b end
  end
  return sum
end

local function own_of(self, gap)
  local at = self.at
  local from, intervals = at.ended, {}
  local function add(a, b)
    if a and b then intervals[#intervals + 1] = { a, b } end
  end
  add(from, self.chosen_ms and from + self.chosen_ms)
  add(from, at.final_text and at.committed and at.final_text <= at.committed and at.final_text)  -- the recogniser's time
  add(at.model_asked or at.committed, at.first_token)
  add(at.voice_asked, at.first_audio)
  return gap - covered(from, at.first_packet, intervals)
end

local function between(list, name, from, to)
  if from and to and to >= from then list[name] = to - from end
end

--- What is known by now: { turn, gap_ms, own_ms, final_text_ms, barge_in_decision_ms, barge_in_stop_ms, barge_in_ms, hushed_ms, and <stage>_ms, counts }.
--- A stage whose mark is missing is part of the next one; one that was over before its time (the model was asked early) took none.
function timeline:report()
  local at = self.at
  local report = { turn = self.turn, counts = self.counts, hushed_ms = self.hushed_ms }
  if at.ended then
    local last = at.ended
    for _, of in ipairs(STAGES) do
      local mark = at[of.mark]
      if mark then
        report[of.stage .. "_ms"] = math.max(0, mark - last)
        last = math.max(last, mark)
      end
    end
    between(report, "final_text_ms", at.ended, at.final_text)
    if at.first_packet then
      report.gap_ms = last - at.ended
      report.own_ms = own_of(self, report.gap_ms)
    end
  end
  between(report, "barge_in_decision_ms", at.voice_began, at.stopping)
  between(report, "barge_in_stop_ms", at.stopping, at.silent)
  between(report, "barge_in_ms", at.voice_began, at.silent)
  return report
end

--- Gives each figure of a report to its histogram, once: observe(name, seconds, help).
function timeline.observe(report, observe)
  local names = {}
  for name in pairs(timeline.histograms) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local ms = report[name:match("^voice_(.*)_seconds$") .. "_ms"]
    if ms then observe(name, ms / 1000, timeline.histograms[name]) end
  end
end

return timeline
