-- SPDX-License-Identifier: Apache-2.0
--- The fallback of a call whose flow cannot go on: data from its bundle, else the operator's.
local config = require "core.config"
local gate = require "scripts.gate"
local rules = require "scripts.rules"
local scripts = require "scripts"

local fallback = {}

local function operators()
  local own = config.fallback or {}
  local say = own.say ~= "" and own.say or nil
  if own.transfer and own.transfer ~= "" then return { say = say, transfer = own.transfer } end
  if own.voicemail then return { say = say, voicemail = true } end
  return { say = say, hangup = true }
end

--- The bundle's own where it has a valid one, else the operator's.
--- @param bundle table|nil  what bundle.lua returns
function fallback.chosen(bundle)
  local given = bundle and bundle.fallback
  if given and not rules.fallback_problem(given) then return given end
  return operators()
end

function fallback.of(call)
  local ok, report
  if call.hash then ok, report = pcall(scripts.report, call.tenant, call.hash) end
  return fallback.chosen(ok and report and report.bundle or nil)
end

--- Runs it to its end. Ends early when the caller goes or the slot is given away. Where a predecessor has dialled the second
--- party already (call.dial), it goes on with that.
--- @param call table  its verbs act: name -> function(call, args, entry, n)
function fallback.run(call, data)
  local act = call.verbs
  local records = not (call.permissions and call.permissions.record == false)
  local words, number = gate.check("say", { data.say }), gate.check("transfer", { data.transfer, { record = records } })
  if words and not call.dial then
    local _, err = act.say(call, words, {})
    if err and (err.code == "gone" or err.code == "frozen" or err.code == "cut") then return end
  end
  if data.voicemail then
    act.record(call, assert(gate.check("record", {})), { key = call.id .. ":fallback" })
  elseif number then
    act.transfer(call, number, { key = call.id .. ":fallback", resumed = call.dial ~= nil })
  end
end

return fallback
