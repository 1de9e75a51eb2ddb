-- SPDX-License-Identifier: Apache-2.0
--- What the script reference says beside its verbs: flows, durable execution, bundle.lua, errors and limits.
--- A section is { id, title, blocks }; a block one of { text }, { code, file = where it would stand in a bundle } and
--- { head = names of columns, rows }. `...` in texts is code. Figures are those of the constants.
local cell = require "core.cell"
local config = require "core.config"
local flow = require "flow"
local gate = require "scripts.gate"
local journal = require "flow.journal"
local names = require "lib.names"
local rules = require "scripts.rules"
local tests = require "sim.reference"

local guide = {}

--- Fields of bundle.lua's table.
guide.bundle = {
  { name = "numbers", type = "table<string, string>", doc = "Which number runs which flow file. `\"*\"` stands for every other number." },
  { name = "name", type = "string", optional = true, doc = "What you call the bundle." },
  { name = "fallback", type = "Fallback", optional = true, doc = "What happens to a call whose flow cannot go on; the operator's unless given." },
  { name = "permissions", type = "table<string, boolean>", optional = true,
    doc = "What scripts of the bundle may not do: `false` refuses. All is granted that is not refused." },
}

--- Fields of a fallback: say, and exactly one of the others.
guide.fallback = {
  { name = "say", type = "string", optional = true, doc = "Said first." },
  { name = "transfer", type = "string", optional = true, doc = "A number that the caller is put through to." },
  { name = "voicemail", type = "boolean", optional = true, doc = "Records a message of the caller." },
  { name = "hangup", type = "boolean", optional = true, doc = "Ends the call." },
}

local function kib(bytes) return bytes % 1048576 == 0 and ("%d MiB"):format(bytes / 1048576) or ("%d KiB"):format(bytes / 1024) end

local flows = {
  id = "flows", title = "Flows", blocks = {
    { text = "A flow is a file that returns `flow.define { ... }`. It consists of states: functions that get the call, do something with it "
      .. "and return the name of the next state. A verb such as `call:say` looks as if it waited; meanwhile other calls run. "
      .. "`nil` or `flow.done` ends the flow, and the call with it." },
    { file = "flows/main.lua", code = [[
local flow = require "flow"

return flow.define {
  start = "greeting",                      -- the state a call begins in

  greeting = function(call)
    call:say "Thanks for calling Acme Solar."
    return call:menu {
      prompt = "Press 1 for sales, 2 to hear our opening hours.",
      ["1"] = "sales", ["2"] = "hours", otherwise = "goodbye",
    }
  end,

  sales = function(call)
    local zip = call:gather { prompt = "Please enter your zip code.", digits = 5 }
    call.data.zip = zip                    -- kept for the states that follow
    return "message"
  end,

  message = function(call)
    call:record { prompt = "Please leave a message after the tone.", seconds = 60 }
    call:create_lead { score = call.data.zip and 60 or 30, notes = "zip " .. tostring(call.data.zip) }
    return "goodbye"
  end,

  hours = function(call)
    call:say "We are open from Monday to Friday, eight to six."
    return "greeting"
  end,

  goodbye = function(call)
    call:say "Goodbye."
    call:hangup()
  end,

  ended = function(call, why)              -- optional: the call is over
    call:log("the call ended", { why = why })
  end,

  failed = function(call, err)             -- optional: a state raised an error
    call:say "We are sorry, something went wrong."
  end,
}
]] },
    { head = { "word", "meaning" }, rows = {
      { "`start`", "The name of the state that a call begins in." },
      { "a state", "Any other name: `function(call)`. It returns the next state's name, or `nil` or `flow.done` at the end." },
      { "`call.data`", "A table of yours that goes from state to state and survives crashes. It holds texts, numbers, booleans, lists, and tables whose keys are text." },
      { "`ended`", "`function(call, why)` runs once when the call is over, whoever hung up (`why`: `caller`, `carrier`, `flow` or `platform`). "
        .. "The caller is gone: it can log and make a lead, and no more speak." },
      { "`failed`", "`function(call, err)` runs once when a state raised an error; `err` is its text. "
        .. "It can say a last word, log and make a lead; then the call goes to the fallback." },
      { "`menu`", "Says a question, waits for a key and gives back what you wrote behind that key; returned from a state, that is the next state." },
      { "`require`", "`require \"flow\"` gives `flow.define` and `flow.done`; `require \"lib.hours\"` loads the bundle's own file `lib/hours.lua`." },
    } },
    { text = "Scripts are Lua 5.1 with `assert error ipairs next pairs pcall select setmetatable tonumber tostring type unpack xpcall`, `string`, "
      .. "`table`, `math`, `bit` and `os.time`. There are no files, no network and no coroutines: what touches the world is a verb." },
    { text = "What differs from Lua 5.1: `pairs` goes through a table in the same order each time (numbers, then texts, each ascending), `table.sort` keeps "
      .. "the order of what is equal, `table.insert` raises when the place is not in the list or right behind it, `xpcall` calls its handler after the call has "
      .. "ended, and `tostring` shows no addresses. One text that a built-in makes has at most 1 MiB, and a pattern that takes too long raises an error." },
  },
}

local durable = {
  id = "durable", title = "What survives a crash", blocks = {
    { text = "Each verb and its result are written to the call's journal before your script goes on. "
      .. "When a process dies, the state that ran is run again from its beginning, with the `call.data` it had when it was entered. "
      .. "Verbs that were done give their recorded result and do nothing a second time; the one that was under way goes on by its own rule, which stands beside it below. "
      .. "So a state must ask for the same verbs when it is run again: take time from `call:now` and chance from `math.random`, which both come out the same. "
      .. "Variables outside of states do not survive, and are shared by calls only by accident: keep what you need in `call.data`." },
  },
}

local function bundle_section()
  local function rows(fields)
    local list = {}
    for i, field in ipairs(fields) do
      list[i] = { ("`%s`%s"):format(field.name, field.optional and "" or " (required)"), ("`%s`"):format(field.type), field.doc }
    end
    return list
  end
  local permissions = {}
  for i, name in ipairs(names(gate.permissions)) do
    local users = {}
    for _, verb in ipairs(gate.verbs) do
      if verb.permission == name then users[#users + 1] = ("`%s`"):format(verb.name) end
      for _, param in ipairs(verb.params) do
        for field, declared in pairs(param.fields or {}) do
          if declared.permission == name then users[#users + 1] = ("`%s` with `%s`"):format(verb.name, field) end
        end
      end
    end
    permissions[i] = { ("`%s`"):format(name), gate.permissions[name], table.concat(users, ", ") }
  end
  return {
    id = "bundle", title = "bundle.lua", blocks = {
      { text = "A bundle is a folder with `bundle.lua`, flows and sounds. `parley bundle push DIR --publish` checks it, stores it as a version and makes it live; "
        .. "calls that are up end on the version they began with." },
      { file = "bundle.lua", code = [[
return {
  name = "acme",
  numbers = { ["+12025550100"] = "flows/main.lua", ["*"] = "flows/main.lua" },
  fallback = { say = "We are sorry, something went wrong. Please leave a message.", voicemail = true },
  permissions = { dial = false },
}
]] },
      { head = { "field", "type", "meaning" }, rows = rows(guide.bundle) },
      { text = "The fallback is data and not script, so that it works whatever is wrong with a script: `say`, then exactly one of the others." },
      { head = { "field of fallback", "type", "meaning" }, rows = rows(guide.fallback) },
      { text = "Permissions are for those who publish what others have written. A verb that is refused raises an error with file and line." },
      { head = { "permission", "what it lets a script do", "needed by" }, rows = permissions },
    },
  }
end

local function errors_section()
  local rows = {}
  for i, err in ipairs(gate.errors) do rows[i] = { ("`%s`"):format(err.code), err.doc, err.remedy } end
  return {
    id = "errors", title = "Errors", blocks = {
      { text = "A mistake of the script raises: a wrong argument, a field that does not exist, a permission that is refused. It is an error with file and line, "
        .. "`failed` gets it, `GET /scripts/log` and `parley logs` show it. "
        .. "The world's failure returns `nil, err`, with `err.code` for the script and `err.text` for people; the codes stand beside each verb. These can come from every verb that can fail:" },
      { head = { "code", "meaning", "what to do" }, rows = rows },
      { file = "flows/main.lua", code = [[
local flow = require "flow"

return flow.define {
  start = "support",

  support = function(call)
    local outcome, err = call:transfer "+12025550142"
    if outcome then return flow.done end
    if err.code == "busy" then call:say "All of us are talking." end
    call:record { prompt = "Please leave a message after the tone." }
  end,
}
]] },
      { text = "A call goes to its fallback when a state raised (and `failed` has run); when a script took too much processor time or memory, or its process died "
        .. ("%d times while the call ran; when a state that was run again asked for something else than before; when a verb took longer than its time-out; "):format(flow.STRIKES)
        .. "and when a state returned no state's name, or `call.data` cannot be kept. The script log says which, with file and line." },
    },
  }
end

local function limits_section()
  local cells = config.cells
  return {
    id = "limits", title = "Limits", blocks = { { head = { "what", "at most" }, rows = {
      { "files in a bundle", tostring(rules.MAX_FILES) },
      { "a bundle", kib(rules.MAX_BYTES) },
      { "a Lua file", kib(rules.MAX_LUA) },
      { "another file", kib(rules.MAX_FILE) },
      { "the path of a file, of a flow", ("%d, %d characters"):format(rules.MAX_PATH, rules.MAX_FLOW_PATH) },
      { "`call.data`", kib(flow.DATA_MAX) },
      { "the arguments of a verb", ("%s, %d tables deep, %d number keys outside lists"):format(kib(cell.limits.message_bytes), cell.limits.depth, cell.limits.number_keys) },
      { "verbs of a visit to a state", ("%d, with results of %s; returning a state's name begins anew"):format(journal.MAX_ENTRIES, kib(journal.MAX_BYTES)) },
      { "quota of a tenant on a worker", ("%d a second; beyond that answers of verbs wait"):format(config.limits.verbs_per_second) },
      { "processor time of a visit to a state", ("%g s"):format(cells.invocation_ms / 1000) },
      { "processor time of all scripts of a call", ("%g s"):format(cells.call_ms / 1000) },
      { "memory of all scripts of a tenant on a worker", ("%d MiB; the one that asks for more than %d MiB is stopped"):format(cells.hard_mb, cells.soft_mb) },
      { "a core's time of a tenant on a worker", ("%d %% before it is slowed down"):format(cells.share_percent) },
    } } },
  }
end

--- Sections before and behind the verbs.
function guide.before() return { flows, durable, bundle_section() } end
function guide.behind() return { errors_section(), tests.sections()[1], limits_section() } end

return guide
