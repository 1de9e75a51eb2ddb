-- SPDX-License-Identifier: Apache-2.0
--- A canonical request as Claude's Messages API takes it (anthropic package, types/message_create_params.py, version 2023-06-01).
---
--- Flags of a target, all of them optional; what is not said is allowed:
---   allows_temperature = false    the model refuses temperature and top_p
---   thinking_mode = "adaptive" | "budget" | "none"   how effort is asked for; without one, effort is left out
---   allows_prefill = false        the model refuses a conversation that ends with its own words
---   supports_strict_tools, supports_json_schema = false
---   max_output_tokens             sent where the caller sets no limit, for the API needs one (else 4,096)
---   cache_ttl = "5m" | "1h"       of prompt caching;   beta = the anthropic-beta header;   auth = "bearer" for keys of OAuth
local extras = require "ai.extras"
local json = require "core.json"
local strict_schema = require "plugins.ai_claude.strict_schema"

local request = {}

local BASE = "https://api.anthropic.com"
local VERSION = "2023-06-01"
local MAX_TOKENS = 4096
local LEAST_BUDGET = 1024  -- of thinking, by the API
local BUDGET = { low = 2048, medium = 8192, high = 16384, xhigh = 32768, max = 65536 }
local NO_PARAMETERS = { type = "object", properties = {} }
local GO_ON = "Your answer breaks off there. Go on with exactly the next word, and repeat nothing of it."
local SCHEMA_IN_WORDS = "Answer with nothing but JSON that satisfies this JSON Schema: "

-- What was guarded, what was priced, and what the answer is read by; and nothing that is kept at the provider, where one key serves many.
local KEPT = { model = true, messages = true, system = true, stream = true, max_tokens = true, container = true }

-- -- messages -----------------------------------------------------------------------------------------------------------

local function text_block(text)
  return { type = "text", text = text }
end

local function tool_use(call)
  local input = json.decode(call.arguments or "")
  if type(input) ~= "table" or (json.is_array(input)) then input = {} end
  return { type = "tool_use", id = call.id, name = call.name, input = input }
end

-- The blocks that came, when they are still what the message says: thoughts go back unchanged and in their places, with their signatures.
-- A text that was changed since (masked, cut where the caller heard the end of it) makes them another message's.
local function blocks_as_they_came(message)
  local data = message.provider_data
  if type(data) ~= "table" or data.kind ~= "claude" or type(data.content) ~= "table" then return nil end
  local texts, ids = {}, {}
  for _, block in ipairs(data.content) do
    if type(block) ~= "table" or (block.type == "text" and type(block.text) ~= "string") then return nil end
    if block.type == "text" then texts[#texts + 1] = block.text end
    if block.type == "tool_use" then ids[#ids + 1] = block.id end
  end
  local calls = message.tool_calls or {}
  if table.concat(texts) ~= (message.text or "") or #ids ~= #calls then return nil end
  for i, call in ipairs(calls) do
    if ids[i] ~= call.id then return nil end
  end
  local blocks = {}
  for _, block in ipairs(data.content) do
    -- The API refuses texts that are empty, though it sends them.
    if not (block.type == "text" and block.text == "") then blocks[#blocks + 1] = block end
  end
  return blocks
end

local function assistant_blocks(message)
  local came = blocks_as_they_came(message)
  if came then return came end
  local blocks = {}
  if message.text and message.text ~= "" then blocks[1] = text_block(message.text) end
  for _, call in ipairs(message.tool_calls or {}) do blocks[#blocks + 1] = tool_use(call) end
  return blocks
end

local function tool_result(message)
  local text = message.text
  return { type = "tool_result", tool_use_id = message.tool_call_id, content = text ~= "" and text or nil, is_error = message.is_error and true or nil }
end

-- Roles are user and assistant in turn: the results of tools are the user's, and neighbours of one role are one message.
local function messages_of(list)
  local messages = json.array{}
  for _, message in ipairs(list) do
    local role = message.role == "assistant" and "assistant" or "user"
    local blocks
    if role == "assistant" then blocks = assistant_blocks(message)
    elseif message.role == "tool" then blocks = { tool_result(message) }
    else blocks = message.text and message.text ~= "" and { text_block(message.text) } or {} end
    if #blocks > 0 then
      local last = messages[#messages]
      if not last or last.role ~= role then
        last = { role = role, content = json.array{} }
        messages[#messages + 1] = last
      end
      for _, block in ipairs(blocks) do last.content[#last.content + 1] = block end
    end
  end
  return messages
end

-- A conversation that ends with the model's own words asks it to go on from there.
local function ask_to_go_on(messages, paused, flags)
  local last = messages[#messages]
  if not last or last.role ~= "assistant" or paused then return end
  if flags.allows_prefill == false then
    messages[#messages + 1] = { role = "user", content = json.array{ text_block(GO_ON) } }
    return
  end
  local block = last.content[#last.content]
  if block.type ~= "text" then return end
  local trimmed = block.text:gsub("%s+$", "")  -- white space at the end is refused
  last.content[#last.content] = trimmed ~= "" and text_block(trimmed) or nil
  if #last.content == 0 then messages[#messages] = nil end
end

-- -- tools and thinking --------------------------------------------------------------------------------------------------

local function tools_of(list, flags)
  local tools = json.array{}
  for i, tool in ipairs(list) do
    local parameters = tool.parameters or NO_PARAMETERS
    local strict = tool.strict and flags.supports_strict_tools ~= false and not strict_schema.is_open(parameters)
    tools[i] = {
      name = tool.name, description = tool.description, input_schema = strict and strict_schema.of(parameters) or parameters, strict = strict and true or nil,
    }
  end
  return tools
end

local function tool_choice(wanted, parallel)
  local one_at_a_time = parallel == false and true or nil
  if type(wanted) == "table" then return { type = "tool", name = wanted.name, disable_parallel_tool_use = one_at_a_time } end
  if wanted == "none" then return { type = "none" } end
  if wanted == "required" then return { type = "any", disable_parallel_tool_use = one_at_a_time } end
  if wanted == "auto" or one_at_a_time then return { type = "auto", disable_parallel_tool_use = one_at_a_time } end
  return nil
end

-- thinking, effort: what the model takes of them. A call that is forced leaves no room for thoughts.
local function thinking_of(asked, flags, max_tokens)
  local effort, mode = asked.effort, flags.thinking_mode
  if not effort or not mode or mode == "none" then return nil, nil end
  local forced = type(asked.tool_choice) == "table" or asked.tool_choice == "required"
  if mode == "adaptive" then
    local word = effort == "minimal" and "low" or effort
    if effort == "none" then return { type = "disabled" }, nil end
    if forced then return { type = "disabled" }, word end
    return { type = "adaptive" }, word
  end
  local budget = BUDGET[effort == "minimal" and "low" or effort]
  if forced or not budget then return nil, nil end
  -- It is part of max_tokens, which was priced: half of it at most, or there is nothing left to say.
  budget = math.min(budget, math.floor(max_tokens / 2))
  if budget < LEAST_BUDGET then return nil, nil end
  return { type = "enabled", budget_tokens = budget }, nil
end

-- -- prompt caching ------------------------------------------------------------------------------------------------------

-- Three of the four places there may be: after the tools, after the system prompt, and after the conversation so far, which the next turn begins with.
local function mark_cache(body, flags)
  local function mark(list)
    local last = list and list[#list]
    if not last or last.type == "thinking" or last.type == "redacted_thinking" then return end
    local marked = { cache_control = { type = "ephemeral", ttl = flags.cache_ttl } }
    for name, value in pairs(last) do marked[name] = value end
    list[#list] = marked
  end
  mark(body.tools)
  mark(body.system)
  local last = body.messages[#body.messages]
  mark(last and last.content)
end

-- -- the whole -----------------------------------------------------------------------------------------------------------

local function system_of(asked, flags)
  local text = asked.system or ""
  if asked.schema and flags.supports_json_schema == false then
    text = (text ~= "" and text .. "\n\n" or "") .. SCHEMA_IN_WORDS .. json.encode(asked.schema.schema)
  end
  return text ~= "" and json.array{ text_block(text) } or nil
end

local function was_paused(messages)
  local last = messages[#messages]
  local data = last and last.role == "assistant" and last.provider_data
  return type(data) == "table" and data.kind == "claude" and data.paused == true
end

local function add_sampling(body, asked, flags)
  local thinks = body.thinking and body.thinking.type ~= "disabled"
  if flags.allows_temperature == false or thinks then return end
  -- Ours goes to 2; and models from 4.5 on refuse the two together.
  if asked.temperature then body.temperature = math.min(asked.temperature, 1) else body.top_p = asked.top_p end
end

--- The body of a request, as a table.
function request.body(asked, target, stream)
  local flags = target.flags or {}
  local body = {
    model = target.model, max_tokens = asked.max_tokens or flags.max_output_tokens or MAX_TOKENS, stream = stream and true or nil,
    system = system_of(asked, flags), messages = messages_of(asked.messages),
  }
  ask_to_go_on(body.messages, was_paused(asked.messages), flags)
  if asked.tools and #asked.tools > 0 then
    body.tools = tools_of(asked.tools, flags)
    body.tool_choice = tool_choice(asked.tool_choice, asked.parallel_tools)
  end
  if asked.stop and #asked.stop > 0 then body.stop_sequences = asked.stop end
  local effort
  body.thinking, effort = thinking_of(asked, flags, body.max_tokens)
  local format = asked.schema and flags.supports_json_schema ~= false and { type = "json_schema", schema = strict_schema.of(asked.schema.schema) } or nil
  if effort or format then body.output_config = { effort = effort, format = format } end
  add_sampling(body, asked, flags)
  if asked.prompt_cache then mark_cache(body, flags) end
  extras.put(body, asked.extras and asked.extras.claude, KEPT)
  return body
end

--- The request for the orchestrator's HTTP client.
--- @param target table  its url is the server without the version, https://api.anthropic.com unless given
function request.of(asked, target, stream)
  local flags = target.flags or {}
  local bearer = flags.auth == "bearer" and target.key
  return {
    method = "POST", url = (target.url or BASE):gsub("/+$", ""):gsub("/v1$", "") .. "/v1/messages", framing = stream and "sse" or "json",
    body = json.encode(request.body(asked, target, stream)),
    headers = {
      ["content-type"] = "application/json", accept = stream and "text/event-stream" or "application/json", ["anthropic-version"] = VERSION,
      ["anthropic-beta"] = flags.beta, ["x-api-key"] = not bearer and target.key or nil, authorization = bearer and "Bearer " .. target.key or nil,
    },
  }
end

return request
