-- SPDX-License-Identifier: Apache-2.0
--- Tools that the realtime model calls: run while it waits, and what came of them.
--- A part of calls.talk.live: each function takes its conversation.
local bounded = require "calls.talk.bounded"
local clocks = require "calls.talk.live.clocks"
local json = require "core.json"
local leaving = require "calls.talk.live.leaving"
local log = require "core.log"
local outgoing = require "calls.talk.live.outgoing"
local task = require "core.task"
local tools = require "calls.talk.tools"

local tool_calls = {}

local TOOL_MS = 10000
local CALLS_MOST = 12      -- of tools in an exchange
local CALLS_LAST = 24      -- whoever calls on has gone round in circles, and each answer is paid
local LEAVE_SOON_MS = 400  -- a sentence may stand behind the call that puts him through

-- Nothing more is said of this call, unless he stays.
local function keep_call(self, exchange, id, text)
  self.exchanges:leave(exchange)
  self.last_calls[#self.last_calls + 1] = { id = id, text = text }
end

local function leave_by(self, exchange, id, how)
  keep_call(self, exchange, id)
  self:leave(how)
  clocks.after(self, "leave_soon", LEAVE_SOON_MS, function() end)
end

-- Stands with its exchange, whoever leads by now: nobody is to ask for it again.
local function note_result(self, exchange, event, result, err)
  local given = result or { error = err.text }
  local ok, text = pcall(json.encode, given)
  if not ok then
    log.error("converse.tool_broke", { call = self.call.id, tool = event.name, text = tostring(text) })
    result, err = nil, { code = "failed", text = "something went wrong on our side" }
    given = { error = err.text }
    text = json.encode(given)
  end
  exchange.steps[#exchange.steps + 1] = { role = "tool", tool_call_id = event.id, text = text, is_error = not result or nil }
  return result, err, outgoing.result(given, text)
end

local function on_result(self, exchange, event, result, err, text)
  if self.running[event.id] ~= exchange then return end  -- the provider took it back
  if result and result.leave then return leave_by(self, exchange, event.id, result.leave) end
  if not result and err.code ~= "invalid" then
    log.warn("converse.tool_failed", { call = self.call.id, tool = event.name, code = err.code })
    keep_call(self, exchange, event.id, text)
    if self.muted then return end  -- he has been told why he is put through
    return leaving.to_human(self, "tool_failed", self.says.broken)
  end
  self.running[event.id] = nil
  local is_sent = self.session:tool_result(event.id, text, not result)
  if not is_sent and not self.lost then return self.exchanges:uncalled(exchange) end
  self.exchanges:calls(exchange, -1)
  self.awaits = true
end

--- Runs one that the session told of. Returns at once; the model has its result when it is there. Where it does nothing but call, the caller is put through.
function tool_calls.run(self, event)
  local exchange = self.exchanges:of(event.reply)
  if exchange.made >= CALLS_LAST then
    log.warn("converse.calls_without_end", { call = self.call.id, tool = event.name })
    keep_call(self, exchange, event.id, "there were too many calls")
    return leaving.to_human(self, "tool_failed", self.says.broken)
  end
  self.exchanges:calls(exchange, 1)
  self.running[event.id] = exchange
  exchange.steps[#exchange.steps + 1] = { role = "assistant", text = "", tool_calls = { { id = event.id, name = event.name, arguments = event.arguments } } }
  self.said_now, self.steps_now = self.exchanges.said(exchange), exchange.steps
  self.player:pause(event.reply)
  task.spawn(function()
    local result, err
    if exchange.made > CALLS_MOST then
      result, err = nil, { code = "invalid", text = "there were too many calls; answer with what is known" }
    else
      result, err = bounded(self.world.after, TOOL_MS, tools.run, self, self.tools, event.name, event.arguments)
    end
    self:safely(on_result, exchange, event, note_result(self, exchange, event, result, err))
  end)
end

return tool_calls
