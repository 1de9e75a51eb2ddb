-- SPDX-License-Identifier: Apache-2.0
--- What a turn used, by the kinds of tokens that have a price of their own. Thoughts are paid as output, and are not in the response's count.
local fields = require "ai.fields"

local usage = {}

local function audio_of(list)
  local sum = 0
  for _, one in ipairs(list) do
    if fields.text(one, "modality") == "AUDIO" then sum = sum + (fields.count(one, "tokenCount") or 0) end
  end
  return sum
end

local function image_of(list)
  local sum = 0
  for _, one in ipairs(list) do
    local kind = fields.text(one, "modality")
    if kind == "IMAGE" or kind == "VIDEO" then sum = sum + (fields.count(one, "tokenCount") or 0) end
  end
  return sum
end

--- Of usageMetadata.
function usage.metadata(told)
  local thoughts = fields.count(told, "thoughtsTokenCount") or 0
  local found = fields.usage((fields.count(told, "promptTokenCount") or 0) + (fields.count(told, "toolUsePromptTokenCount") or 0), fields.count(told, "cachedContentTokenCount"), 0,
    (fields.count(told, "responseTokenCount") or 0) + thoughts, thoughts)
  local prompt = fields.object(told, "promptTokensDetails")
  found.input_audio = math.min(audio_of(prompt), found.input)
  found.input_image = math.min(image_of(prompt), found.input - found.input_audio)
  found.cached_audio = math.min(audio_of(fields.object(told, "cacheTokensDetails")), found.cached, found.input_audio)
  found.output_audio = math.min(audio_of(fields.object(told, "responseTokensDetails")), found.output)
  return found
end

--- Both together; the first may be nil.
function usage.sum(a, b)
  if not a then return b end
  local sum = {}
  for name, value in pairs(b) do sum[name] = type(value) == "number" and value + (a[name] or 0) or value end
  return sum
end

return usage
