-- SPDX-License-Identifier: Apache-2.0
--- The fallback of a call whose flow cannot go on: data from its bundle, else the operator's.
local config = require "core.config"
local gate = require "scripts.gate"
local rules = require "scripts.rules"
local scripts = require "scripts"
local verbs = require "calls.verbs"

local fallback = {}

local function operators()
  local own = config.fallback or {}
  local say = own.say ~= "" and own.say or nil
  if own.transfer and own.transfer ~= "" then return { say = say, transfer = own.transfer } end
  if own.voicemail then return { say = say, voicemail = true } end
  return { say = say, hangup = true }
end

function fallback.of(call)
  if call.hash then
    local ok, report = pcall(scripts.report, call.tenant, call.hash)
    local given = ok and report and report.bundle and report.bundle.fallback
    if given and not rules.fallback_problem(given) then return given end
  end
  return operators()
end

--- Runs it to its end. Ends early when the caller goes or the slot is given away. Where a predecessor has dialled the second
--- party already (call.dial), it goes on with that.
function fallback.run(call, data)
  local act = verbs.table
  local words, number = gate.check("say", { data.say }), gate.check("transfer", { data.transfer })
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
