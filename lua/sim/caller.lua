-- SPDX-License-Identifier: Apache-2.0
--- A caller as data: who calls, and step by step what he does. Pure: time is the simulated call's own.
---
---   { from =, to =, direction =, flow =, state =, data =, now =, seed =, limit_s =,
---     steps = { { key = "1" }, { keys = "94107" }, { say = "I need help" }, { silence = 5 }, { hangup = true }, { now = ... } },
---     transfer = "busy" | { "no_answer", "answered" },      what becomes of each transfer in turn; the last one stands for the rest
---     fail = { create_lead = { code =, text = } | { false, { code = } } },     errors of verbs and hooks, each time or in turn
---     ai = { { tool = "price", given = { size = 40 } }, { say = "That costs 5,400 dollars." }, { unclear = true } },
---                                                           what the AI of conversations does, one after the other
---     agents = { { id =, name =, role = } },                for assignment; two of them unless given
---     campaign = { code =, id =, name =, platform =, status = } }   of an outbound call: may_contact is asked about it
---
--- Steps are done one after the other, when the flow gives an occasion: keys when it waits for keys (or records), words too,
--- silence from when it waits, hanging up in the next verb that takes time. A step with `at` (seconds since the call began) is
--- done then, whatever runs. A key with `interrupt = true` does not let a prompt end.
local clock = require "core.clock"
local json = require "core.json"

local caller = {}

local STEPS_MOST = 500
local REACTS_MS, NEXT_KEY_MS = 500, 300      -- from the end of a prompt to the first key; from key to key
local WORDS_A_MS = 15 / 1000                 -- characters spoken in a millisecond
local AGENTS_MOST, CAMPAIGN = 200, { "id", "code", "name", "platform", "status" }
local AGENTS = { { id = "us_sim1", name = "Ann", role = "agent" }, { id = "us_sim2", name = "Bo", role = "agent" } }
local TRANSFERS = { answered = true, busy = true, no_answer = true, rejected = true, limit = true, failed = true }
local kinds = { "key", "keys", "say", "silence", "hangup", "now" }

--- How long it takes to say a text, in milliseconds.
function caller.speaking_ms(text) return math.max(300, math.floor(#text / WORDS_A_MS)) end

--- "steps[2].key" for people, "/steps/1/key" for a problem document.
function caller.where(path)
  local text = ""
  for _, part in ipairs(path) do text = text .. (type(part) == "number" and ("[%d]"):format(part) or (text == "" and "" or ".") .. part) end
  return text
end

function caller.pointer(path)
  local text = ""
  for _, part in ipairs(path) do text = text .. "/" .. (type(part) == "number" and part - 1 or part) end
  return text
end

local function bad(text, ...) error({ path = { ... }, text = text }, 0) end

local function number_between(value, low, high, ...)
  if type(value) ~= "number" or not (value >= low and value <= high) then bad(("must be a number between %d and %d"):format(low, high), ...) end
  return value
end

-- Seconds since 1970 or RFC 3339 -> microseconds.
local function moment(value, ...)
  if type(value) == "number" and value >= 0 and value < 2 ^ 33 then return math.floor(value) * 1000000 end
  local us = type(value) == "string" and clock.parse(value) or nil
  if not us then bad('must be seconds since 1970, or text such as "2026-11-26T09:00:00Z"', ...) end
  return us
end

local step_of = {}

function step_of.key(value, ...)
  if type(value) ~= "string" or not value:match("^[0-9*#]$") then bad('must be one key as text, such as "1"', ...) end
  return { keys = value }
end

function step_of.keys(value, ...)
  if type(value) ~= "string" or not value:match("^[0-9*#]+$") or #value > 64 then bad('must be 1 to 64 keys as text, such as "94107"', ...) end
  return { keys = value }
end

function step_of.say(value, ...)
  if type(value) ~= "string" or value == "" or #value > 4000 then bad("must be what the caller says, at most 4000 bytes", ...) end
  return { say = value }
end

function step_of.silence(value, ...)
  return { silence = number_between(value, 0, 3600, ...) }
end

function step_of.hangup(value, ...)
  if value ~= true then bad("must be true", ...) end
  return { hangup = true }
end

function step_of.now(value, ...)
  return { now = moment(value, ...) }
end

local function check_step(given, i)
  if type(given) ~= "table" then bad('must be a table such as { key = "1" }', "steps", i) end
  local kind
  for _, name in ipairs(kinds) do
    if given[name] ~= nil then
      if kind then bad(("has both %s and %s; a step is one thing"):format(kind, name), "steps", i) end
      kind = name
    end
  end
  if not kind then bad("must have one of " .. table.concat(kinds, ", "), "steps", i) end
  for name in pairs(given) do
    if name ~= kind and name ~= "at" and not (name == "interrupt" and (kind == "key" or kind == "keys")) then
      bad("is no field of such a step", "steps", i, tostring(name))
    end
  end
  local step = step_of[kind](given[kind], "steps", i, kind)
  if given.at ~= nil then
    if kind == "silence" then bad("is no field of such a step", "steps", i, "at") end
    step.at_ms = number_between(given.at, 0, 86400, "steps", i, "at") * 1000
  end
  step.interrupt = given.interrupt == true or nil
  return step
end

local function is_list(value)
  local count = 0
  for _ in pairs(value) do count = count + 1 end
  return count == #value
end

local function error_of(value, ...)
  if type(value) ~= "table" or type(value.code) ~= "string" or not value.code:match("^[%l_]+$") or #value.code > 32 then
    bad('must be an error such as { code = "failed", text = "..." }', ...)
  end
  if value.text ~= nil and type(value.text) ~= "string" then bad("must be text", ...) end
  return { code = value.code, text = (value.text or "simulated"):sub(1, 500) }
end

local checks = {}

for _, name in ipairs{ "from", "to", "flow", "state" } do
  checks[name] = function(value)
    if type(value) ~= "string" or value == "" or #value > 128 then bad("must be text of at most 128 bytes", name) end
    return value
  end
end

function checks.direction(value)
  if value ~= "inbound" and value ~= "outbound" then bad('must be "inbound" or "outbound"', "direction") end
  return value
end

function checks.now(value) return moment(value, "now") end
function checks.seed(value) return math.floor(number_between(value, 0, 2 ^ 31, "seed")) end
function checks.limit_s(value) return number_between(value, 1, 86400, "limit_s") end

function checks.data(value)
  if type(value) ~= "table" then bad("must be a table", "data") end
  return value
end

function checks.steps(value)
  if type(value) ~= "table" or not is_list(value) then bad("must be a list of steps", "steps") end
  if #value > STEPS_MOST then bad(("has more than %d steps"):format(STEPS_MOST), "steps") end
  local steps = {}
  for i, step in ipairs(value) do steps[i] = check_step(step, i) end
  return steps
end

function checks.transfer(value)
  local list = type(value) == "table" and value or { value }
  if not is_list(list) or #list == 0 then bad("must be an outcome or a list of them", "transfer") end
  for i, outcome in ipairs(list) do
    if not TRANSFERS[outcome] then bad("must be answered, busy, no_answer, rejected, limit or failed", "transfer", type(value) == "table" and i or nil) end
  end
  return list
end

function checks.fail(value)
  if type(value) ~= "table" then bad("must be a table of errors by verb or hook", "fail") end
  local gate, hooks, result = require "scripts.gate", require "scripts.hooks.rules", {}
  for name, errors in pairs(value) do
    if not gate.verb(name) and not hooks.named(name) then bad("there is no such verb or hook", "fail", tostring(name)) end
    if type(errors) ~= "table" then bad('must be an error such as { code = "failed", text = "..." }, or a list of them', "fail", name) end
    if errors.code ~= nil then
      result[name] = { every = error_of(errors, "fail", name) }
    else
      if not is_list(errors) then bad("must be an error or a list of them", "fail", name) end
      result[name] = {}
      for i, err in ipairs(errors) do result[name][i] = err and error_of(err, "fail", name, i) end
    end
  end
  return result
end

local AI_MOST = 500

local function check_ai(step, i)
  if type(step) ~= "table" then bad('must be a table such as { say = "Hello." }', "ai", i) end
  local known = { say = "string", tool = "string", unclear = "boolean", given = "table" }
  for name, value in pairs(step) do
    if type(value) ~= known[name] then bad(known[name] and "must be a " .. known[name] or "is no field of such a step; there are say, tool with given, and unclear", "ai", i, tostring(name)) end
  end
  local kinds_given = (step.say and 1 or 0) + (step.tool and 1 or 0) + (step.unclear and 1 or 0)
  if kinds_given ~= 1 or step.given and not step.tool then bad("must be one of say, tool (with given) and unclear = true", "ai", i) end
  if #(step.say or step.tool or "") > 4000 then bad("must be at most 4000 bytes", "ai", i) end
  -- A model writes JSON.
  for name, value in pairs(step) do
    if not pcall(json.encode, value) then bad("must be what JSON knows: text in UTF-8, numbers, true and false, lists and tables of them", "ai", i, name) end
  end
  return step
end

function checks.ai(value)
  if type(value) ~= "table" or not is_list(value) then bad('must be a list such as { { say = "Hello." } }', "ai") end
  if #value > AI_MOST then bad(("has more than %d steps"):format(AI_MOST), "ai") end
  local list = {}
  for i, step in ipairs(value) do list[i] = check_ai(step, i) end
  return list
end

-- A table of texts with no other fields than these.
local function texts(value, fields, ...)
  if type(value) ~= "table" then bad("must be a table", ...) end
  local checked, known = {}, {}
  for _, name in ipairs(fields) do known[name] = true end
  for name, text in pairs(value) do
    local at = { ... }
    at[#at + 1] = tostring(name)
    if not known[name] then bad("is no field here; there are " .. table.concat(fields, ", "), unpack(at)) end
    if type(text) ~= "string" or text == "" or #text > 128 then bad("must be text of at most 128 bytes", unpack(at)) end
    checked[name] = text
  end
  return checked
end

function checks.agents(value)
  if type(value) ~= "table" or not is_list(value) then bad("must be a list of agents", "agents") end
  if #value > AGENTS_MOST then bad(("has more than %d agents"):format(AGENTS_MOST), "agents") end
  local list = {}
  for i, agent in ipairs(value) do
    list[i] = texts(agent, { "id", "name", "role" }, "agents", i)
    if not list[i].id then bad("must have an id", "agents", i) end
  end
  return list
end

function checks.campaign(value)
  local campaign = texts(value, CAMPAIGN, "campaign")
  campaign.id, campaign.status = campaign.id or "cp_sim1", campaign.status or "active"
  campaign.code = campaign.code or campaign.id
  return campaign
end

--- Checks what somebody wrote. Returns a caller of its own making, or nil, { path = list, text = }.
function caller.check(given)
  if type(given) ~= "table" then return nil, { path = {}, text = "a caller must be a table" } end
  local ok, result = pcall(function()
    local checked = { steps = {}, transfer = { "answered" }, fail = {}, agents = AGENTS, direction = "inbound", seed = 1, limit_s = 3600 }
    for name, value in pairs(given) do
      if type(name) ~= "string" or not checks[name] then
        local names = {}
        for known in pairs(checks) do names[#names + 1] = known end
        table.sort(names)
        bad("is no field of a caller; there are " .. table.concat(names, ", "), tostring(name))
      end
      checked[name] = checks[name](value)
    end
    return checked
  end)
  if ok then return result end
  if type(result) ~= "table" then error(result, 0) end
  return nil, result
end

-- The caller in a call -------------------------------------------------------------------------------------------------------

local Caller = {}
Caller.__index = Caller

--- @param checked table  of caller.check(); it is not changed
function caller.new(checked)
  local self = setmetatable({ checked = checked, steps = {}, timed = {}, at = 1, free_ms = 0, calls = {}, transfers = 0, ai = {}, ai_at = 0 }, Caller)
  for i, step in ipairs(checked.ai or {}) do self.ai[i] = step end
  for _, step in ipairs(checked.steps) do
    local list = step.at_ms and self.timed or self.steps
    list[#list + 1] = step
  end
  table.sort(self.timed, function(a, b) return a.at_ms < b.at_ms end)
  return self
end

--- The error that a verb is to give this time, or nil.
function Caller:failure(verb)
  local errors = self.checked.fail[verb]
  if not errors then return nil end
  self.calls[verb] = (self.calls[verb] or 0) + 1
  return errors.every or errors[self.calls[verb]] or nil
end

--- What the AI of his conversation does next; nil when the list is at its end.
--- @param last boolean|nil  the conversation is being ended: only what is said still comes
function Caller:ai_step(last)
  local step = self.ai[self.ai_at + 1]
  if last and step and not step.say then return nil end
  self.ai_at = self.ai_at + 1
  return step
end

--- What becomes of the next transfer.
function Caller:transfer_outcome()
  local list = self.checked.transfer
  self.transfers = self.transfers + 1
  return list[math.min(self.transfers, #list)]
end

-- When the next untimed step is done in this kind of wait: its time and itself, or nil. Silence counts from the wait's beginning.
function Caller:upcoming(call, ends_ms, mode, stoppable)
  local now, listens = call.now_ms, mode == "keys"
  while true do
    local step = self.steps[self.at]
    if not step then return nil end
    local free = math.max(now, self.free_ms)
    if step.now then
      call:set_wall(step.now)
      self.at = self.at + 1
    elseif step.silence then
      if mode == "sound" or free >= ends_ms then return nil end
      self.free_ms = free + step.silence * 1000
      self.at = self.at + 1
    elseif step.keys then
      if not (listens or stoppable and step.interrupt) then return nil end
      if not listens and free >= ends_ms then return nil end
      local at = free + (step.pressed and NEXT_KEY_MS or REACTS_MS)
      return listens and at or math.min(at, ends_ms), step  -- in a short prompt he is quick
    elseif step.say then
      if not listens then return nil end
      return free + REACTS_MS, step
    elseif free < ends_ms or ends_ms == now then
      return math.min(free + REACTS_MS, ends_ms), step  -- hangs up, in this verb and not the next
    else
      return nil
    end
  end
end

-- The next key of a step; the step is over with its last one.
function Caller:press(call, step, timed)
  local copy = { keys = step.keys:sub(2), at_ms = step.at_ms and step.at_ms + NEXT_KEY_MS, interrupt = step.interrupt, pressed = true }
  local list, at = timed and self.timed or self.steps, timed and 1 or self.at
  if copy.keys ~= "" then list[at] = copy
  elseif timed then table.remove(list, 1)
  else self.at = at + 1 end
  if not timed then self.free_ms = call.now_ms end
  call:on_digit(step.keys:sub(1, 1))
  return "digit"
end

--- Lets the call's time go on until something happens, limit_ms at most.
--- @param mode string        "sound" while the caller is spoken to, "keys" while the flow listens, "quiet" while nothing is said
--- @param stoppable boolean  a key would stop what is heard
--- @return string, number|nil  "digit", "speech" and its ms, "gone" or "timeout"
function Caller:await(call, limit_ms, mode, stoppable)
  if call.gone_why then return "gone" end
  local ends = call.now_ms + limit_ms
  local at, step = self:upcoming(call, ends, mode, stoppable)
  local timed = self.timed[1]
  if timed and math.max(timed.at_ms, call.now_ms) <= (at or ends) then
    at, step = math.max(timed.at_ms, call.now_ms), timed
  else
    timed = nil
  end
  if not at or at > ends then
    call:move_to(ends)
    return call.gone_why and "gone" or "timeout"
  end
  call:move_to(at)
  if call.gone_why then return "gone" end
  if step.keys then return self:press(call, step, timed) end
  if timed then table.remove(self.timed, 1) else self.at = self.at + 1 end
  if step.hangup then
    call:on_gone("caller")
    return "gone"
  elseif step.now then
    call:set_wall(step.now)
    return self:await(call, ends - call.now_ms, mode, stoppable)
  end
  local ms = caller.speaking_ms(step.say)
  self.free_ms = math.max(self.free_ms, call.now_ms + ms)
  call:on_speech(step.say)
  return "speech", ms
end

return caller
