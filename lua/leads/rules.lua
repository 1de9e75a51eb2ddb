-- SPDX-License-Identifier: Apache-2.0
--- Decisions about leads. No I/O.
local json = require "core.json"
local pii = require "lib.pii"

local rules = {}

rules.statuses = { "new", "qualified", "assigned", "contacted", "converted", "closed" }
rules.sources = { "call", "web", "referral", "campaign" }

rules.MAX_DATA = 64 * 1024  -- bytes, as JSON
rules.MAX_DEPTH = 32  -- half of what JSON may have here: a lead stands inside of lists and documents

local function depth_of(value, left)
  if type(value) ~= "table" then return 0 end
  if left == 0 then return 1 end
  local deepest = 0
  for _, member in pairs(value) do deepest = math.max(deepest, depth_of(member, left - 1)) end
  return deepest + 1
end

local function data_fault(value)
  if depth_of(value, rules.MAX_DEPTH) > rules.MAX_DEPTH then return ("must not be nested deeper than %d"):format(rules.MAX_DEPTH) end
  local size = #json.encode(value)
  if size > rules.MAX_DATA then return ("must have at most %d bytes as JSON, has %d"):format(rules.MAX_DATA, size) end
end

--- Fields of a lead as a client or a flow may give them (declarations of lib.schema).
rules.fields = {
  name = { type = "string", maxLength = 255 },
  phone = { type = "string", minLength = 3, maxLength = 40, description = "best as E.164, like +12025550123" },
  email = { type = "string", format = "email", maxLength = 254 },
  score = { type = "number", minimum = 0, maximum = 100 },
  source = { type = "string", enum = rules.sources },
  status = { type = "string", enum = rules.statuses },
  campaign = { type = "string", minLength = 1, maxLength = 64, description = "id or code" },
  notes = { type = "string", maxLength = 20000 },
  data = { type = "object", additionalProperties = true, check = data_fault },
}

--- The status a lead has after an agent got it: only what was untouched moves on.
function rules.status_when_assigned(status)
  if status == "new" or status == "qualified" then return "assigned" end
  return status
end

--- "85.50", as the column takes it.
function rules.score_text(score)
  return ("%.2f"):format(score)
end

--- A phone number as it is stored: e164, possible | nil when it is none.
--- @param parsed table|nil  what core.phone made of it
function rules.phone(text, parsed)
  if parsed then return parsed.e164, parsed.possible end
  -- E.164 in form but nothing libphonenumber knows: kept, and flagged; dialling will say why it cannot.
  local digits = text:match("^%+([1-9]%d+)$")
  if digits and #digits >= 3 and #digits <= 15 then return text, false end
end

--- What a search text means: "email" or "phone" with the text, or "words" with a list.
function rules.query_kind(text)
  if text:find("@", 1, true) then return "email", pii.normal_email(text) end
  local digits = text:gsub("[%s%-().]", "")
  if digits:match("^%+?%d%d%d%d%d+$") then return "phone", digits end
  return "words", pii.words(text)
end

--- Is there any way to tell who this is?
function rules.has_identity(lead)
  return lead.name ~= nil or lead.phone ~= nil or lead.email ~= nil
end

--- What scoring and assignment are given of a lead.
--- @param call table|nil  what they are told of the call
function rules.hook_input(lead, call)
  return { id = lead.id, name = lead.name, phone = lead.phone, email = lead.email, status = lead.status, source = lead.source,
    campaign = lead.campaign, notes = lead.notes, data = lead.data, score = lead.score, call = call }
end

--- What hooks decide about a lead that is to be made: { score, reasons, agent }, each may be nil.
--- @param fields table  of the lead
--- @param hooks table  { ask = function(name, input) -> output | nil, offers = function(name) -> boolean, agents = function() -> list
---   of { id, name, role } }; agents is called where there is a hook that chooses
function rules.decide(fields, call, hooks)
  local decided = {}
  local function input()
    local given = rules.hook_input(fields, call)
    given.status, given.source = fields.status or "new", fields.source or "call"
    return given
  end
  if fields.score == nil then
    local scored = hooks.ask("scoring", input())
    if scored then decided.score, decided.reasons = scored.score, scored.reasons or json.array{} end
  end
  if hooks.offers("assignment") then
    local lead, choice = input(), hooks.agents()
    lead.score = fields.score or decided.score or 0
    if #choice > 0 then decided.agent = hooks.ask("assignment", { lead = lead, agents = choice }) end
  end
  return decided
end

return rules
