-- SPDX-License-Identifier: Apache-2.0
--- What a model and its server understand. A target's flags say where it differs; the rest is as here.
--- `compatible = true` is any server that speaks Chat Completions without being OpenAI: only what all of them know is sent.
local flags = {}

local OPENAI = {
  system_role = "developer",                     -- or "system"
  max_tokens_field = "max_completion_tokens",    -- or "max_tokens"
  allows_temperature = true,                     -- many reasoning models refuse temperature and top_p
  allows_prefill = false,                        -- goes on from an answer that the conversation ends with
  supports_stop = true,                          -- o3 and o4-mini have none
  supports_strict_tools = true,
  supports_parallel_tools = true,                -- knows parallel_tool_calls
  supports_json_schema = true,                   -- else the schema is asked for in words
  supports_json_object = true,
  reasoning = nil,                               -- true, false, or nil: nobody said; false: effort is not sent
  efforts = nil,                                 -- a list of the words for effort that it takes; nil: all
  prompt_cache_key = true,
  include_usage = true,                          -- knows stream_options.include_usage
  include_obfuscation = true,                    -- knows stream_options.include_obfuscation
  store = true,                                  -- knows `store`, which is always false
  sends_done = true,                             -- ends its streams with [DONE]; false: with finish_reason
  embedding_base64 = true,
  embedding_dimensions = true,
}
local COMPATIBLE = {
  system_role = "system", max_tokens_field = "max_tokens", supports_strict_tools = false, supports_parallel_tools = false, reasoning = false,
  prompt_cache_key = false, include_obfuscation = false, store = false, embedding_base64 = false,
}

--- The flag of a target, or what holds for its kind of server.
function flags.of(target, name)
  local own = target.flags or {}
  if own[name] ~= nil then return own[name] end
  if own.compatible and COMPATIBLE[name] ~= nil then return COMPATIBLE[name] end
  return OPENAI[name]
end

--- The word for effort to send, or nil when the model takes none or not this one.
function flags.effort(target, effort)
  if effort == nil or flags.of(target, "reasoning") == false then return nil end
  local efforts = flags.of(target, "efforts")
  if efforts == nil then return effort end
  for _, word in ipairs(efforts) do
    if word == effort then return effort end
  end
  return nil
end

return flags
