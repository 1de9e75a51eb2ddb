-- SPDX-License-Identifier: Apache-2.0
--- What a turn used, in the units of speech.realtime_usage. Thoughts are paid as output, and are not in the response's count.
local fields = require "ai.fields"
local realtime_usage = require "speech.realtime_usage"

local usage = {}

local function sound_of(list)
  local sum = 0
  for _, one in ipairs(list) do
    if fields.text(one, "modality") == "AUDIO" then sum = sum + (fields.count(one, "tokenCount") or 0) end
  end
  return sum
end

local function count(told, name) return fields.count(told, name) or 0 end

--- Of usageMetadata.
function usage.metadata(told)
  return realtime_usage.of(
    { input = count(told, "promptTokenCount") + count(told, "toolUsePromptTokenCount"), cached = count(told, "cachedContentTokenCount"),
      output = count(told, "responseTokenCount") + count(told, "thoughtsTokenCount") },
    { input = sound_of(fields.object(told, "promptTokensDetails")), cached = sound_of(fields.object(told, "cacheTokensDetails")),
      output = sound_of(fields.object(told, "responseTokensDetails")) })
end

return usage
