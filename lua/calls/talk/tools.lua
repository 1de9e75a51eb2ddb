-- SPDX-License-Identifier: Apache-2.0
--- What an agent may do besides talking: list of tools as a model is told of them, and doing one.
---
---   local list = tools.of(names, permissions)            for ai.request; among the names tables of the script's own (calls.talk.own_tools)
---   local result, err = tools.run(talk, name, arguments) result: table for the model; may wait. What it does to the call stands in
---     result.leave = "transfer" | "hangup" (when the caller has heard the sentence before it) and result.bound (it cannot be undone)
---
--- talk: { call, key = text that is this conversation's own, lead = { id, score, status } | nil, keep = function(talk): writes down what a successor
---   needs, is_over = true: nobody goes on with it, asks = of calls.talk.asks, said_now = what the caller said in this turn and
---   steps_now = where it notes what came of them, for tools of the script's own, slots = of the verb and desk = { slots = what is known of them }, for the tool fill }
local audit = require "audit"
local db = require "lib.db"
local fences = require "calls.fence"
local json = require "core.json"
local kb = require "kb"
local leads = require "leads"
local log = require "core.log"
local own_tools = require "calls.talk.own_tools"
local problem = require "lib.problem"
local redact = require "ai.guard.redact"
local slots = require "calls.talk.slots"
local store = require "calls.store"
local text_of = require "lib.text"

local tools = {}

local PASSAGES = 3
local PASSAGE_BYTES = 1200

local lead_fields = {
  name = { type = "string", maxLength = 255, description = "the caller's name" },
  phone = { type = "string", maxLength = 32, description = "a number to call, with country code; the caller's own unless given" },
  email = { type = "string", maxLength = 254 },
  interest = { type = "string", maxLength = 2000, description = "what the caller wants, in a sentence" },
  score = { type = "number", minimum = 0, maximum = 100, description = "how promising, 0 to 100" },
}

local declared, run = {}, {}

local function declare(name, description, properties, required, permission)
  declared[name] = { permission = permission, tool = { name = name, description = description,
    parameters = { type = "object", properties = properties, required = json.array(required or {}), additionalProperties = false } } }
end

declare("create_lead", "Writes down that the caller may buy. Call it once, when you know what he wants.", lead_fields, nil, "personal_data")
declare("update_lead", "Changes what was written down about the caller in this call.", lead_fields, nil, "personal_data")
declare("lookup_kb", "Looks up what the company has written down. Ask it before you answer a question about the company, its prices or its times.",
  { question = { type = "string", maxLength = 500, description = "the question, in a whole sentence" } }, { "question" })
declare("book_callback", "Writes down that the caller wants to be called back, and when.",
  { at = { type = "string", maxLength = 100, description = "when, as the caller said it or as RFC 3339" }, phone = lead_fields.phone, interest = lead_fields.interest },
  { "at" }, "personal_data")
declare("transfer", "Puts the caller through to a human. Say so in the same answer; it happens when he has heard it.",
  { reason = { type = "string", maxLength = 200 } })
declare("hangup", "Ends the conversation. Say goodbye in the same answer; it happens when he has heard it.", {})

--- The names there are.
tools.names = { "book_callback", "create_lead", "hangup", "lookup_kb", "transfer", "update_lead" }

--- Those of a conversation, without what the bundle refuses its own scripts.
--- @param wanted table|nil  slots that the caller is to be asked for (calls.talk.slots)
function tools.of(names, permissions, wanted)
  local list, seen = {}, {}
  for _, name in ipairs(names or {}) do
    local of = declared[name]
    if type(name) == "table" then
      list[#list + 1] = own_tools.tool(name)
    elseif of and not seen[name] and not (permissions and permissions[of.permission] == false) then
      list[#list + 1], seen[name] = of.tool, true  -- a request has each once
    end
  end
  if wanted then list[#list + 1] = slots.tool(wanted) end
  return list
end

-- What a model gives is kept in leads and asked of others: never a card's number, and of one that is cut off no part.
local function text_at(given, name, most)
  local value = given[name]
  if type(value) ~= "string" or not value:find("%S") then return nil end
  return text_of.clean(redact.cards(value), most)
end

--- What a lead is to have of what a model gave: { name, phone, email, notes, score }, each nil where it is none.
function tools.lead_of(given)
  local score = tonumber(given.score)
  return { name = text_at(given, "name", 255), phone = text_at(given, "phone", 32), email = text_at(given, "email", 254),
    notes = text_at(given, "interest", 2000), score = score and score == score and math.max(0, math.min(100, score)) or nil }
end

-- Changes the lead of this conversation in one transaction that only the call's owner may make: true, or nil, err.
local function change(talk, edit)
  local call = talk.call
  local ok, lead = db.patiently(function()
    return audit.transaction(call.tenant, function(tx)
      if not store.hold(tx, call.row_id, call.fence) then return false end
      local fields = edit()
      leads.check(fields)
      return leads.update(call.tenant, tx, talk.lead.id, fields, nil, { actor = "flow", trace = call.trace })
    end)
  end, function() return call.frozen end)
  if ok and not lead then
    fences.refused("lead", call.slot, call.id, call.fence)
    call:lost()
    return nil, { code = "frozen", text = "the call moves to another worker" }
  end
  if not ok then
    if call.frozen then return nil, { code = "frozen", text = "the call moves to another worker" } end
    if problem.is(lead) then return nil, { code = "invalid", text = lead.detail } end
    log.error("lead.not_updated", { call = call.id, text = tostring(lead) })
    return nil, { code = "failed", text = "the lead could not be stored" }
  end
  talk.lead.score, talk.lead.status = lead.score, lead.status
  return true
end

local function update(talk, given)
  local fields = tools.lead_of(given)
  if not next(fields) then return nil, { code = "invalid", text = "nothing was given that could be changed" } end
  local ok, err = change(talk, function() return fields end)
  if not ok then return nil, err end
  return { lead = talk.lead.id, bound = true }
end

local function create(talk, given)
  if talk.lead then return update(talk, given) end
  local fields = tools.lead_of(given)
  local lead, err, existed = talk.call.verbs.create_lead(talk.call, { fields }, { key = talk.key .. ":lead" })
  if not lead then return nil, err end
  talk.lead = lead
  -- At once, not at the turn's end: whoever takes the call up before that changes this one.
  if not talk.is_over then talk:keep() end
  if existed and next(fields) then return update(talk, given) end  -- of a predecessor who had not come to write it down
  return { lead = lead.id, bound = true }
end

run.create_lead = create

function run.update_lead(talk, given)
  if not talk.lead then return create(talk, given) end
  return update(talk, given)
end

function run.lookup_kb(talk, given)
  local question = text_at(given, "question", 500)
  if not question then return nil, { code = "invalid", text = "question is missing" } end
  local passages, err = kb.search(talk.call.tenant, question, { limit = PASSAGES, version = talk.call.hash })
  if not passages then
    if err.code == "no_kb" then return { passages = json.array{} } end
    return nil, err
  end
  local list = json.array{}
  for i, passage in ipairs(passages) do list[i] = { heading = passage.heading, text = text_of.cut(passage.text, PASSAGE_BYTES) } end
  return { passages = list }
end

--- When somebody is to be called back, and on which number: { at, phone }; nil without a time.
function tools.callback_of(given)
  local at = text_at(given, "at", 100)
  return at and { at = at, phone = text_at(given, "phone", 32) } or nil
end

function run.book_callback(talk, given)
  local callback = tools.callback_of(given)
  if not callback then return nil, { code = "invalid", text = "at is missing" } end
  if not talk.lead then
    local made, err = create(talk, given)
    if not made then return nil, err end
  end
  local ok, err = change(talk, function()
    local data, lead = {}, leads.get(talk.call.tenant, talk.lead.id)
    for field, value in pairs(lead and lead.data or {}) do data[field] = value end
    data.callback = callback
    return { data = data }
  end)
  if not ok then return nil, err end
  return { lead = talk.lead.id, at = callback.at, bound = true }
end

-- Only of a conversation that has slots; its tool is none of the names there are.
function run.fill(talk, given)
  local known, why = slots.fill(talk.slots, talk.desk.slots, given)
  if not known then return nil, { code = "invalid", text = why } end
  talk.desk.slots = known
  return { known = known.values, complete = slots.complete(talk.slots, known) }
end

function run.transfer() return { leave = "transfer" } end
function run.hangup() return { leave = "hangup" } end

--- Does one. An err with code "invalid" is the model's mistake, which it may mend; any other is a tool that does not work.
--- @param arguments string|table  JSON, as the model wrote it; or what it stands for
function tools.run(talk, allowed, name, arguments)
  local found
  for _, tool in ipairs(allowed) do found = tool.name == name and tool or found end
  if not found then return nil, { code = "invalid", text = ("there is no tool '%s'"):format(text_of.clean(tostring(name), 64)) } end
  local given = arguments
  if type(arguments) == "string" then given = json.decode(arguments ~= "" and arguments or "{}") end
  if type(given) ~= "table" then return nil, { code = "invalid", text = "the arguments are no JSON object" } end
  local function work() return run[name](talk, given) end
  if own_tools.is(found) then work = function() return own_tools.run(talk, found, given) end end
  local ok, result, err = pcall(work)
  if not ok then
    log.error("converse.tool_broke", { call = talk.call.id, tool = name, text = tostring(result) })
    return nil, { code = "failed", text = "something went wrong on our side" }
  end
  return result, err
end

return tools
