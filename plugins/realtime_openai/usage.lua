-- SPDX-License-Identifier: Apache-2.0
--- What a response or a transcription used, by the kinds of tokens that have a price of their own.
local fields = require "ai.fields"

local usage = {}

--- Of response.done: { total_tokens, input_tokens, output_tokens, input_token_details, output_token_details }; nil where it does not say.
function usage.response(told)
  if type(told) ~= "table" then return nil end
  local input, output = fields.object(told, "input_token_details"), fields.object(told, "output_token_details")
  local cached = fields.object(input, "cached_tokens_details")
  local found = fields.usage(fields.count(told, "input_tokens"), fields.count(input, "cached_tokens"), 0, fields.count(told, "output_tokens"))
  found.input_audio = math.min(fields.count(input, "audio_tokens") or 0, found.input)
  found.input_image = math.min(fields.count(input, "image_tokens") or 0, found.input - found.input_audio)
  found.cached_audio = math.min(fields.count(cached, "audio_tokens") or 0, found.cached, found.input_audio)
  found.output_audio = math.min(fields.count(output, "audio_tokens") or 0, found.output)
  return found
end

--- Of a transcription, which is another model's work: by tokens, or by the second.
function usage.transcription(told, model)
  local input = fields.object(told, "input_token_details")
  local found = fields.usage(fields.count(told, "input_tokens"), 0, 0, fields.count(told, "output_tokens"))
  found.input_audio, found.output_audio, found.cached_audio = math.min(fields.count(input, "audio_tokens") or 0, found.input), 0, 0
  found.model = model
  if type(told) == "table" and type(told.seconds) == "number" and told.seconds >= 0 and told.seconds < 86400 then found.seconds = told.seconds end
  return found
end

return usage
