-- SPDX-License-Identifier: Apache-2.0
--- POST /v1/chat/completions, whole and streamed. A stream begins with the first word: what fails before it has its status, what
--- fails after it is an error event, and then [DONE] never comes.
local ai = require "ai"
local answer = require "ai.compatible.answer"
local choice = require "ai.choice"
local clock = require "core.clock"
local errors = require "ai.compatible.errors"
local hearing = require "ai.hearing"
local json = require "core.json"
local problem = require "lib.problem"
local refusal = require "ai.refusal"
local request = require "ai.compatible.request"

local chat = {}

local function no_such_model(name)
  problem.raise(404, "model_not_found", ("The model '%s' does not exist or you do not have access to it. GET /v1/models lists those there are."):format(name:sub(1, 100)), { param = "model" })
end

--- The options of ai.chat and ai.embed for a model's name; raises when there is no such model.
function chat.options(ctx, model)
  local options = choice.of(ctx.tenant, model)
  if not options then no_such_model(model) end
  options.purpose, options.trace = "api", ctx.trace
  return options
end

--- The headers of an answer; their clients show the id.
function chat.headers(ctx)
  return { ["X-Request-Id"] = "req_" .. ctx.trace.id }
end

local function event(value)
  return "data: " .. (type(value) == "string" and value or json.encode(value)) .. "\n\n"
end

-- Writes the chunks of an answer that has begun. Ends when it is over, or when the client has gone. What is there at the same time leaves
-- in one write.
local function write(out, heard, chunks)
  out:on_gone(function() heard:cancel() end)
  local parts = { event(chunks:first()) }
  while true do
    local said, whole, err = heard:next()
    local more = said and chunks:event(said) or err and { { error = errors.object(refusal.of(err)) } } or chunks:last(whole)
    for _, chunk in ipairs(more) do parts[#parts + 1] = event(chunk) end
    if not said then
      if not err then parts[#parts + 1] = event("[DONE]") end
      return out:write(table.concat(parts))
    end
    if #parts > 0 and not heard:ready() then
      if not out:write(table.concat(parts)) then return heard:cancel() end
      parts = {}
    end
  end
end

--- Answers a request of the route.
function chat.complete(ctx)
  local asked, how = request.of(ctx.body)
  local options = chat.options(ctx, how.model)
  options.call_id = how.call
  -- The span is of this request alone, and random, whatever trace a client may send twice.
  local id, created = "chatcmpl-" .. ctx.trace.span .. ctx.trace.id:sub(1, 8), math.floor(clock.wall_us() / 1e6)
  if not how.stream then
    local whole, err = ai.chat(ctx.tenant, asked, options)
    if not whole then return refusal.of(err) end
    return 200, answer.whole(whole, id, created, how.model), chat.headers(ctx)
  end
  local heard = hearing.open(ctx.tenant, asked, options)
  local begun, err = heard:began()
  if not begun then return refusal.of(err) end
  local headers = chat.headers(ctx)
  headers["Content-Type"] = "text/event-stream"
  local chunks = answer.chunks(id, created, how.model, how.usage)
  return { status = 200, headers = headers, stream = function(out) write(out, heard, chunks) end }
end

return chat
