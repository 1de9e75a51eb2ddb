-- SPDX-License-Identifier: Apache-2.0
--- Hooks, declared in one table: what a bundle may decide beyond its flows. No I/O.
---   name, file      a file returns one function, or a table of functions by their names
---   doc, without    what it is for; what the platform does when there is none, it fails or takes too long
---   input           name -> { type, doc }: what the function is given
---   output          declaration (lib.schema) of what it may give; nil always means: as without it
---   shape           function(value) -> value: forms that are easier to write
---   check           function(value, input) -> nil or what is wrong
---   ms              in all, from asking to having the answer
---   whose           "tenant", "operator" or nil: both
---   data            the file returns a table (or a function that gives one) that is read when a bundle is uploaded, too
local json = require "core.json"
local names = require "lib.names"
local price_rules = require "money.rules"
local schema = require "lib.schema"
local text_of = require "lib.text"

local rules = {}

local MS = 200

-- Given to every hook.
rules.common = {
  now = { type = "number", doc = "seconds since 1970" },
  seed = { type = "number", doc = "where math.random starts" },
}

local lead_input = {
  id = { type = "string", doc = "public id; nil for one that is being made" },
  name = { type = "string", doc = "of the person" },
  phone = { type = "string", doc = "as it was given" },
  email = { type = "string", doc = "e-mail address" },
  status = { type = "string", doc = "new, qualified, ..." },
  source = { type = "string", doc = "call, web, referral or campaign" },
  campaign = { type = "string", doc = "id or code" },
  notes = { type = "string", doc = "free text" },
  data = { type = "table", doc = "further fields that were given, such as sentiment" },
  call = { type = "table", doc = "the call that made it: id, from, to, direction, seconds, state, and after its end outcome" },
}

local function contains(list, value)
  for _, item in ipairs(list or {}) do
    if item == value then return true end
  end
  return false
end

rules.list = {
  {
    name = "routing", file = "routing.lua", ms = MS,
    doc = "Which flow a new call runs, and with which priority and skills it is queued.",
    without = "the flow that `numbers` of bundle.lua names; without one, the operator's routing.lua, then the operator's fallback",
    input = {
      from = { type = "string", doc = "the caller's number; nil when withheld" }, to = { type = "string", doc = "the number that was dialled" },
      direction = { type = "string", doc = "inbound or outbound" }, flows = { type = "table", doc = "list of the flow files to choose from" },
      tenant = { type = "string", doc = "whose call it is" },
    },
    output = schema.object{
      flow = { type = "string", maxLength = 64, description = "a flow file" },
      priority = { type = "integer", minimum = 0, maximum = 100, description = "100 is first" },
      queue = { type = "string", minLength = 1, maxLength = 64 },
      skills = { type = "array", maxItems = 16, items = { type = "string", minLength = 1, maxLength = 64 } },
    },
    shape = function(value) return type(value) == "string" and { flow = value } or value end,
    check = function(value, input)
      if value.flow and not contains(input.flows, value.flow) then return ("there is no flow '%s' to choose"):format(value.flow) end
    end,
    example = [[return function(call) if call.from and call.from:find("^%+44") then return { flow = "flows/uk.lua", priority = 50 } end end]],
  },
  {
    name = "models", file = "routing.lua", ms = MS, whose = "tenant",
    doc = "Which AI models are asked, in which order; or by which policy.",
    without = "the policy that is set for the tenant, else the best model first",
    input = {
      purpose = { type = "string", doc = "call, campaign or api" }, policy = { type = "string", doc = "quality, cost, latency or weighted: what holds without this" },
      tokens = { type = "number", doc = "about how many the prompt has" }, tools = { type = "number", doc = "how many tools the model may use" },
      models = { type = "table", doc = "those that can take it, each { name = \"provider/model\", provider, model, region, quality, weight, cost_micros, "
        .. "p50_ms = usual time to the first word, error_share = of the last half minute, state = closed, open or half_open }" },
    },
    output = schema.object{
      models = { type = "array", minItems = 1, maxItems = 50, items = { type = "string", minLength = 1, maxLength = 200 }, description = "names; no others are asked" },
      policy = { type = "string", enum = { "quality", "cost", "latency", "weighted" } },
    },
    shape = function(value)
      if type(value) == "string" then return { policy = value } end
      if type(value) == "table" and value[1] ~= nil then return { models = value } end
      return value
    end,
    check = function(value, input)
      local known = {}
      for _, model in ipairs(input.models) do known[model.name] = true end
      for _, name in ipairs(value.models or {}) do
        if not known[name] then return ("there is no model '%s' to choose"):format(name) end
      end
    end,
    example = [[return { models = function(input) if input.purpose == "campaign" then return "cost" end end }]],
  },
  {
    name = "scoring", file = "scoring.lua", ms = MS, whose = "tenant",
    doc = "The score of a lead, from 0 to 100, with reasons that people can read. Asked when a lead is made without a score, and once more when the call that made it has ended.",
    without = "the score that was given, else 0",
    input = lead_input,
    output = schema.object({
      score = { type = "number", minimum = 0, maximum = 100 },
      reasons = { type = "array", maxItems = 20, items = { type = "string", maxLength = 200 } },
    }, { "score" }),
    shape = function(value) return type(value) == "number" and { score = value } or value end,
    example = [[return function(lead) return { score = 40, reasons = { "called by himself" } } end]],
  },
  {
    name = "assignment", file = "assignment.lua", ms = MS, whose = "tenant",
    doc = "The agent who gets a new lead: one of `agents`, by id.",
    without = "the lead waits for somebody to take it",
    input = {
      lead = { type = "table", doc = "as scoring gets it, with its score" },
      agents = { type = "table", doc = "list of { id, name, role }: those who are active" },
    },
    output = { type = "string", maxLength = 64 },
    check = function(value, input)
      for _, agent in ipairs(input.agents) do
        if agent.id == value then return nil end
      end
      return "is not the id of one of the agents"
    end,
    example = [[return function(input) if input.lead.score > 80 then return input.agents[1].id end end]],
  },
  {
    name = "may_contact", file = "campaigns.lua", ms = MS, whose = "tenant",
    doc = "May a number be rung for a campaign now? Asked before such a call is placed.",
    without = "it may",
    input = { number = { type = "string", doc = "to be rung" }, campaign = { type = "table", doc = "id, code, name, platform, status" } },
    output = schema.object({ allowed = { type = "boolean" }, reason = { type = "string", maxLength = 200 } }, { "allowed" }),
    shape = function(value) return type(value) == "boolean" and { allowed = value } or value end,
    example = [[return { may_contact = function(input) return input.campaign.status == "active" end }]],
  },
  {
    name = "prices", file = "prices.lua", ms = MS, whose = "operator", data = true,
    doc = "What AI models and minutes cost.", without = "the prices that Parley came with",
    input = {}, output = price_rules.prices, check = price_rules.price_problem,
    example = [[return { currency = "USD", models = { ["*"] = { input = 3, output = 15, cached = 0.3 } } }]],
  },
  {
    name = "plans", file = "plans.lua", ms = MS, whose = "operator", data = true,
    doc = "The plans that tenants can be on.", without = "the plans that Parley came with",
    input = {}, output = price_rules.plans, check = price_rules.plan_problem,
    example = [[return { currency = "USD", plans = { { id = "start", name = "Start", month = 49 } } }]],
  },
}

local by_name = {}
for _, hook in ipairs(rules.list) do by_name[hook.name] = hook end

function rules.named(name) return by_name[name] end

--- The hooks whose bundle this is: of the operator, or of a tenant. What else lies there under such a name is just a file.
local function declared(operators)
  local list = {}
  for _, hook in ipairs(rules.list) do
    if hook.whose ~= (operators and "tenant" or "operator") then list[#list + 1] = hook end
  end
  return list
end

--- Names of the files that a check is to load: a list, each once.
function rules.files(operators)
  local list, seen = {}, {}
  for _, hook in ipairs(declared(operators)) do
    if not seen[hook.file] then
      seen[hook.file] = true
      list[#list + 1] = hook.file
    end
  end
  return list
end

local function hooks_of(file, operators)
  local list = {}
  for _, hook in ipairs(declared(operators)) do
    if hook.file == file then list[#list + 1] = hook end
  end
  return list
end

-- What a file returns, against what it may: problems are added, names of hooks that are there are added to found.
local function look(file, returned, operators, found, add)
  local mine = hooks_of(file, operators)
  if #mine == 0 then return end
  if mine[1].data then
    if returned.type ~= "table" and returned.type ~= "function" then return add("the file must return a table, not a " .. returned.type) end
    found[#found + 1] = mine[1].name
    return
  end
  local known = {}
  for i, hook in ipairs(mine) do known[i] = hook.name end
  if returned.type == "function" then
    found[#found + 1] = mine[1].name  -- the oldest of its file: it was there before it had company
  elseif returned.type ~= "table" then
    add(("the file must return a function, or a table of functions (%s), not a %s"):format(table.concat(known, ", "), returned.type))
  else
    if #returned.names == 0 then add(("the table the file returns has no function; it may have %s"):format(table.concat(known, ", "))) end
    for _, name in ipairs(returned.names) do
      if contains(known, name) then
        found[#found + 1] = name
      else
        add(("there is no hook '%s' here; known are %s"):format(name, table.concat(known, ", ")))
      end
    end
  end
end

--- What a check found of the hook files.
--- @param files table|nil  file -> { type, line, names }: of CHECKED; a cell's word, so anything may be in it
--- @return table found  names of the hooks there are, table problems
function rules.found(files, operators)
  local found, problems = {}, {}
  for _, file in ipairs(rules.files(operators)) do
    local returned = type(files) == "table" and files[file]
    if type(returned) == "table" and type(returned.type) == "string" and type(returned.names) == "table" then
      look(file, returned, operators, found, function(text)
        problems[#problems + 1] = { file = file, line = tonumber(returned.line) or 1, text = text }
      end)
    end
  end
  table.sort(found)
  return found, problems
end

-- "#/skills/0" -> "skills[1]"
local function place_of(pointer)
  return (pointer:gsub("^#/?", ""):gsub("/(%d+)", function(n) return ("[%d]"):format(n + 1) end):gsub("/", "."))
end

local function as_lists(declared_as, value)
  if type(value) ~= "table" then return value end
  if declared_as.type == "array" and next(value) == nil then return json.array{} end
  if declared_as.type == "object" then
    for name, member in pairs(declared_as.properties or {}) do
      if value[name] ~= nil then value[name] = as_lists(member, value[name]) end
    end
  end
  return value
end

--- What a hook gave, checked: value; nil when it left the decision to the platform; nil, one line for its author.
function rules.output(hook, value, input)
  if hook.shape then value = hook.shape(value) end
  if value == nil or value == json.null then return nil end
  local checked, errors = schema.check(hook.output, as_lists(hook.output, value))
  if errors then
    local at = place_of(errors[1].pointer)
    return nil, ("what it returned: %s%s"):format(at ~= "" and at .. " " or "it ", errors[1].detail)
  end
  local wrong = hook.check and hook.check(checked, input)
  if wrong then return nil, "what it returned: " .. wrong end
  return checked
end

--- What routing is given of a new call.
--- @param flows table  those to choose from, by file
--- @param whose string  the tenant's slug
function rules.routing_input(call, flows, whose)
  return { from = call.from, to = call.to, direction = call.direction, tenant = whose, flows = names(flows) }
end

local kinds = { error = true, cpu = true, memory = true, form = true, busy = true, died = true, late = true, away = true }

-- Why a hook failed, with a kind and a place that a cell may name.
local function failure_of(given)
  local line = tonumber(given.line)
  if line and not (line > 0 and line < 2 ^ 31) then line = nil end
  local file = type(given.file) == "string" and given.file ~= "" and text_of.clean(given.file, 128) or nil
  return { kind = kinds[given.kind] and given.kind or "form", text = text_of.clean(tostring(given.text), 2000), file = file, line = line }
end

--- What came of asking a hook: output; nil when it left the decision to the platform; nil, { kind, text, file, line }.
--- @param ok boolean|nil, value any  as cells.hook gives them
function rules.answered(hook, input, ok, value)
  if ok == nil then return nil, failure_of{ kind = "away", text = "could not be asked: " .. tostring(value and value.text) } end
  if ok ~= true then return nil, failure_of(type(value) == "table" and value or { text = "failed without saying why" }) end
  local output, wrong = rules.output(hook, value, input)
  if wrong then return nil, failure_of{ text = wrong } end
  return output
end

return rules
