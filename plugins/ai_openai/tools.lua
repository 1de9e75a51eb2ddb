-- SPDX-License-Identifier: Apache-2.0
--- Tool calls that come in fragments, several at once: gathers them into tool_start, tool_delta and tool events.
local crypto = require "core.crypto"
local fields = require "ai.fields"

local tools = {}
tools.__index = tools

local MOST_CALLS = 128
local MOST_BYTES = 1024 * 1024  -- of all arguments of an answer; a provider's limit is far below

function tools.new()
  return setmetatable({ calls = {}, at = {}, bytes = 0 }, tools)
end

--- The call at a place, made when it is not there yet, or when another id says that the place has passed to a new call; nil, what is wrong.
--- @param place any  how the provider tells calls apart
--- @param id string|nil  the call's id, where this fragment has it
function tools:open(place, id)
  local call = self.at[place]
  if call and not (id and call.said_id and call.said_id ~= id) then
    call.said_id = call.said_id or id
    return call
  end
  if #self.calls >= MOST_CALLS then return nil, ("more than %d tool calls in one answer"):format(MOST_CALLS) end
  call = { index = #self.calls, said_id = id, pieces = {} }
  self.calls[#self.calls + 1], self.at[place] = call, call
  return call
end

-- A call is announced once its name is known; what came before that follows.
local function announce(call, events)
  if call.announced or not call.name then return end
  call.announced = true
  call.id = call.said_id or "call_" .. crypto.hex(crypto.random(12))
  events[#events + 1] = { type = "tool_start", index = call.index, id = call.id, name = call.name }
  if #call.pieces > 0 then events[#events + 1] = { type = "tool_delta", index = call.index, json = table.concat(call.pieces) } end
end

--- Gives a call what a fragment says of it. Appends events; returns true, or nil and what is wrong.
--- @param name string|nil
--- @param json string|nil  a piece of the arguments
function tools:add(call, name, json, events)
  if not call.announced and name and name ~= "" then
    call.name = name
    announce(call, events)
  end
  if json and json ~= "" then
    self.bytes = self.bytes + #json
    if self.bytes > MOST_BYTES then return nil, ("the arguments of the tool calls are longer than %d bytes"):format(MOST_BYTES) end
    call.pieces[#call.pieces + 1] = json
    if call.announced then events[#events + 1] = { type = "tool_delta", index = call.index, json = json } end
  end
  return true
end

--- Ends a call: its tool event. A call that never got a name is left out.
--- @param cut boolean  the answer ended before the arguments did, or may have
--- @param json string|nil  the arguments as a whole, when the provider repeats them; else the fragments
function tools:close(call, events, cut, json)
  if call.closed or not call.announced then return end
  call.closed = true
  local arguments, valid = fields.arguments(json or table.concat(call.pieces), cut)
  events[#events + 1] = {
    type = "tool", index = call.index, id = call.id, name = call.name, arguments = arguments, valid = valid, provider_data = call.provider_data,
  }
  call.pieces = {}
end

--- Ends all calls that are open, in their order.
function tools:close_all(events, cut)
  for _, call in ipairs(self.calls) do self:close(call, events, cut) end
end

--- Whether there was any call.
function tools:any()
  for _, call in ipairs(self.calls) do
    if call.announced then return true end
  end
  return false
end

return tools
