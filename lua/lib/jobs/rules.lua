-- SPDX-License-Identifier: Apache-2.0
--- When a job comes again. Arithmetic only.
local rules = {}

--- Seconds until the next try: 1, 2, 4 ... at most an hour, spread by a fifth so that failures do not march in step.
--- @param attempt number  tries so far, from 1
--- @param random number  0..1
function rules.backoff_s(attempt, random)
  local seconds = math.min(3600, 2 ^ math.min(attempt - 1, 12))
  return seconds * (0.9 + 0.2 * random)
end

--- The next turn of a recurring job, spread by a tenth.
function rules.next_turn_s(every_s, random)
  return every_s * (0.95 + 0.1 * random)
end

return rules
