-- SPDX-License-Identifier: Apache-2.0
--- What a response or a transcription used, in the units of speech.realtime_usage.
local fields = require "ai.fields"
local realtime_usage = require "speech.realtime_usage"

local usage = {}

local TOKENS_A_SECOND = 10  -- of the caller's sound
local DAY_S = 86400

--- Of response.done: { total_tokens, input_tokens, output_tokens, input_token_details, output_token_details }; nil where it does not say.
function usage.response(told)
  if type(told) ~= "table" then return nil end
  local input, output = fields.object(told, "input_token_details"), fields.object(told, "output_token_details")
  return realtime_usage.of(
    { input = fields.count(told, "input_tokens"), cached = fields.count(input, "cached_tokens"), output = fields.count(told, "output_tokens") },
    { input = fields.count(input, "audio_tokens"), cached = fields.count(fields.object(input, "cached_tokens_details"), "audio_tokens"), output = fields.count(output, "audio_tokens") })
end

--- Of a transcription, which is another model's work, and paid as a recogniser's is: { model, seconds }. It is told by the second, or in tokens of so long
--- a sound each.
function usage.transcription(told, model)
  local seconds = type(told) == "table" and told.seconds
  if type(seconds) ~= "number" or not (seconds >= 0 and seconds < DAY_S) then
    seconds = math.min((fields.count(fields.object(told, "input_token_details"), "audio_tokens") or 0) / TOKENS_A_SECOND, DAY_S)
  end
  return { model = model, seconds = seconds }
end

return usage
