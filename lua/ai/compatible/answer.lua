-- SPDX-License-Identifier: Apache-2.0
--- An answer of ours as a chat.completion, or as the chunks of one. Pure. Form: the openai package, types/chat.
--- The member `parley` is ours and says who answered; their clients leave it alone.
local json = require "core.json"
local money = require "lib.money"

local answer = {}

local null = json.null
local REASONS = { ["end"] = "stop", stop = "stop", length = "length", tool = "tool_calls", refusal = "stop", filter = "content_filter", pause = "stop" }

local function finish_of(found)
  return REASONS[found.reason] or "stop"
end

--- Token counts in their form.
function answer.usage(usage)
  usage = usage or {}
  local input, output = usage.input or 0, usage.output or 0
  return {
    prompt_tokens = input, completion_tokens = output, total_tokens = input + output,
    prompt_tokens_details = { cached_tokens = usage.cached or 0, audio_tokens = 0 },
    completion_tokens_details = { reasoning_tokens = usage.reasoning or 0, audio_tokens = 0, accepted_prediction_tokens = 0, rejected_prediction_tokens = 0 },
  }
end

--- Who answered, at what price, as all the AI endpoints say it.
function answer.about(found)
  local cost = found.cost
  return {
    provider = found.provider or null, model = found.model or null, cache = found.cache or "off", degraded = found.degraded or null,
    attempts = found.attempts and #found.attempts or 0,
    cost = cost and cost.micros and { amount = money.format(cost.micros), currency = cost.currency } or null,
  }
end

local function calls_of(found)
  local calls = json.array{}
  for i, call in ipairs(found.tool_calls or {}) do
    calls[i] = { id = call.id, type = "function", ["function"] = { name = call.name, arguments = call.arguments } }
  end
  return #calls > 0 and calls or nil
end

--- @param id string    of this completion
--- @param created number  seconds since 1970
--- @param asked string  the model as the client named it, for answers that no model gave
function answer.whole(found, id, created, asked)
  local calls = calls_of(found)
  local text = found.text
  if text == "" and (calls or found.reason == "refusal") then text = nil end
  local refused = found.reason == "refusal"
  return {
    id = id, object = "chat.completion", created = created, model = found.model or asked, system_fingerprint = null,
    choices = json.array{ {
      index = 0, finish_reason = finish_of(found), logprobs = null,
      message = { role = "assistant", content = not refused and text or null, refusal = refused and (text or "The model declines to answer.") or null, tool_calls = calls,
        annotations = json.array{} },
    } },
    usage = answer.usage(found.usage), parley = answer.about(found),
  }
end

local Chunks = {}
Chunks.__index = Chunks

--- The chunks of one streamed answer. usage: whether the client asked for it.
function answer.chunks(id, created, asked, usage)
  return setmetatable({ id = id, created = created, model = asked, with_usage = usage, calls = {}, count = 0, said = false }, Chunks)
end

local function chunk(self, choices)
  return { id = self.id, object = "chat.completion.chunk", created = self.created, model = self.model, system_fingerprint = null, choices = choices,
    usage = self.with_usage and null or nil }
end

local function choice(self, delta, finish)
  return chunk(self, json.array{ { index = 0, delta = delta, logprobs = null, finish_reason = finish or null } })
end

--- The first one, before any word.
function Chunks:first()
  return choice(self, { role = "assistant", content = "", refusal = null })
end

-- The call at our index, in the order in which calls came.
local function opened(self, event, out)
  local call = self.calls[event.index]
  if call then return call end
  call = { index = self.count }
  self.calls[event.index], self.count = call, self.count + 1
  out[#out + 1] = choice(self, { tool_calls = json.array{ { index = call.index, id = event.id, type = "function", ["function"] = { name = event.name, arguments = "" } } } })
  return call
end

local function arguments(self, call, text, out)
  call.said = true
  out[#out + 1] = choice(self, { tool_calls = json.array{ { index = call.index, ["function"] = { arguments = text } } } })
end

local EMPTY = '"content":""'

--- The chunk of a text as JSON. All of a stream are the same around it, and written once.
function Chunks:text(text)
  self.said = true
  if not self.head then
    local whole = json.encode(choice(self, { content = "" }))
    local _, last = whole:find(EMPTY, 1, true)
    self.head, self.tail = whole:sub(1, last - 2), whole:sub(last + 1)
  end
  return self.head .. json.encode(text) .. self.tail
end

--- The chunks of one event, maybe none.
function Chunks:event(event)
  local out = {}
  if event.type == "text" then
    self.said = true
    out[1] = event.refusal and choice(self, { refusal = event.text }) or self:text(event.text)
  elseif event.type == "tool_start" then
    opened(self, event, out)
  elseif event.type == "tool_delta" then
    local call = self.calls[event.index]
    if call then arguments(self, call, event.json, out) end
  elseif event.type == "tool" then
    local call = opened(self, event, out)
    if not call.said then arguments(self, call, event.arguments, out) end
  end
  return out
end

--- The last ones: what an answer that was there already (from the cache, from the knowledge base) says, why it ended, and its usage.
function Chunks:last(found)
  local out = {}
  self.model = found.model or self.model
  if not self.said and (found.text or "") ~= "" then
    out[1] = choice(self, found.reason == "refusal" and { refusal = found.text } or { content = found.text })
  end
  if self.count == 0 then
    for i, call in ipairs(found.tool_calls or {}) do
      arguments(self, opened(self, { index = i, id = call.id, name = call.name }, out), call.arguments, out)
    end
  end
  out[#out + 1] = choice(self, {}, finish_of(found))
  if self.with_usage then
    local sum = chunk(self, json.array{})
    sum.usage = answer.usage(found.usage)
    out[#out + 1] = sum
  end
  out[#out].parley = answer.about(found)
  return out
end

return answer
