-- SPDX-License-Identifier: Apache-2.0
--- POST /ai/chat: one message and its history, answered by whom the tenant's policy chooses; with stream the events as they come,
--- as server-sent events `text`, `tool`, then `end` with what a whole answer holds, or `error` with a problem.
local ai = require "ai"
local answer = require "ai.compatible.answer"
local choice = require "ai.choice"
local hearing = require "ai.hearing"
local json = require "core.json"
local problem = require "lib.problem"
local refusal = require "ai.refusal"
local router = require "lib.router"
local schema = require "lib.schema"

local routes = {}

local MOST_CHARACTERS = 200000

local function text(most, more)
  local s = { type = "string", maxLength = most }
  for name, value in pairs(more or {}) do s[name] = value end
  return s
end

local call_schema = schema.object({
  id = text(200, { minLength = 1 }), name = text(64, { minLength = 1 }), arguments = text(MOST_CHARACTERS, { description = "JSON, as text" }),
}, { "id", "name", "arguments" })

local turn_schema = schema.object({
  role = { type = "string", enum = { "user", "assistant", "tool" } }, text = text(MOST_CHARACTERS), toolCalls = { type = "array", maxItems = 128, items = call_schema },
  toolCallId = text(200), isError = { type = "boolean" },
}, { "role" })

local tool_schema = schema.object({
  name = text(64, { minLength = 1 }), description = text(4000), parameters = { type = "object", additionalProperties = true }, strict = { type = "boolean" },
}, { "name" })

local body_schema = schema.object({
  tenantId = text(63), message = text(MOST_CHARACTERS, { minLength = 1 }),
  context = schema.object{ callId = text(64, { minLength = 1, description = "the call this belongs to; any other id is kept as it is" }),
    history = { type = "array", maxItems = 500, items = turn_schema } },
  system = text(MOST_CHARACTERS), tools = { type = "array", maxItems = 128, items = tool_schema },
  schema = schema.object({ name = text(64), schema = { type = "object", additionalProperties = true }, strict = { type = "boolean" } }, { "schema" }),
  model = text(200, { default = choice.AUTO, description = "auto, a policy, a model, or provider/model: GET /v1/models lists them" }),
  maxTokens = { type = "integer", minimum = 1, maximum = 1000000 }, temperature = { type = "number", minimum = 0, maximum = 2 }, stream = { type = "boolean", default = false },
}, { "message" })

local response_schema = schema.object{
  text = { type = "string" }, toolCalls = { type = "array", items = call_schema }, reason = { type = "string" }, provider = { type = "string", nullable = true },
  model = { type = "string", nullable = true }, cache = { type = "string" }, degraded = { type = "string", nullable = true }, attempts = { type = "integer" },
  cost = { type = "object", nullable = true, properties = { amount = { type = "string" }, currency = { type = "string" } } },
  usage = schema.object{ input = { type = "integer" }, cached = { type = "integer" }, output = { type = "integer" }, reasoning = { type = "integer" } },
}

local function request_of(body)
  local messages = {}
  for i, turn in ipairs(body.context and body.context.history or {}) do
    messages[i] = { role = turn.role, text = turn.text, tool_calls = turn.toolCalls, tool_call_id = turn.toolCallId, is_error = turn.isError }
  end
  messages[#messages + 1] = { role = "user", text = body.message }
  return { messages = messages, system = body.system, tools = body.tools, schema = body.schema, max_tokens = body.maxTokens, temperature = body.temperature }
end

local function options_of(ctx)
  local options = choice.of(ctx.tenant, ctx.body.model)
  if not options then
    problem.raise(404, "model_not_found", "There is no such model or policy here. GET /v1/models lists them.")
  end
  options.purpose, options.trace, options.call_id = "api", ctx.trace, ctx.body.context and ctx.body.context.callId
  return options
end

local function shown(found)
  local out, usage, calls = answer.about(found), found.usage or {}, json.array{}
  for i, call in ipairs(found.tool_calls or {}) do calls[i] = { id = call.id, name = call.name, arguments = call.arguments } end
  out.text, out.toolCalls, out.reason = found.text or "", calls, found.reason or "end"
  out.usage = { input = usage.input or 0, cached = usage.cached or 0, output = usage.output or 0, reasoning = usage.reasoning or 0 }
  return out
end

local function event(name, value)
  return ("event: %s\ndata: %s\n\n"):format(name, json.encode(value))
end

local function write(out, heard, ctx)
  out:on_gone(function() heard:cancel() end)
  while true do
    local said, whole, err = heard:next()
    if err then return out:write(event("error", problem.document(refusal.of(err), ctx.request.path, ctx.trace.id))) end
    if not said then return out:write(event("end", shown(whole))) end
    local frame
    if said.type == "text" then
      frame = event("text", { text = said.text })
    elseif said.type == "tool" then
      frame = event("tool", { id = said.id, name = said.name, arguments = said.arguments })
    end
    if frame and not out:write(frame) then return heard:cancel() end
  end
end

local function chat(ctx)
  local request, options = request_of(ctx.body), options_of(ctx)
  if not ctx.body.stream then
    local found, err = ai.chat(ctx.tenant, request, options)
    if not found then return refusal.of(err) end
    return 200, shown(found)
  end
  local heard = hearing.open(ctx.tenant, request, options)
  local begun, err = heard:began()
  if not begun then return refusal.of(err) end
  return { status = 200, headers = { ["Content-Type"] = "text/event-stream" }, stream = function(out) write(out, heard, ctx) end }
end

--- Declares the route.
function routes.register()
  router.add{ method = "POST", path = "/ai/chat", summary = "Ask a model: one message with its history", roles = { "admin", "supervisor", "agent", "platform" },
    scope = "ai:use", body = body_schema, response = response_schema, handler = chat }
end

return routes
