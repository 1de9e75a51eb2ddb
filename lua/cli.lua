-- SPDX-License-Identifier: Apache-2.0
--- parley COMMAND: what an operator or a tenant's engineer does from a shell. The commands are in cli/*.lua.
local shell = require "cli.shell"

local fail = shell.fail

local usage = [[
usage: parley COMMAND ...

For operators (need PARLEY_CONFIG and the database):
  parley migrate                                   bring the platform's and every tenant's schema up
  parley operator set --email E --password P|-     make a platform operator, or change its password
  parley tenant create --slug S --name N --admin-email E --admin-password P [--region US]
  parley tenant limits --slug S [--set cells.share_percent=80]... [--unset NAME]... [--clear]
                                                   what its scripts may use instead of what the configuration says
  parley trunk set --tenant S --name N [--match ADDR]... [--host H --port P] [--number +1...]...
  parley node add --name N --ari-url URL --user U --password P|- [--sip HOST:PORT]
                                                   add an Asterisk node (or change it) while all runs
  parley node remove --name N                      no new calls for it; those that are up end in their own time
  parley node list                                 nodes of the configuration, and added ones
  A password given as - is read from standard input: what stands in a command line is seen by all who look.

For tenants, on their own machine (need nothing else):
  parley bundle test DIR [--filter TEXT] [--no-coverage]
                                                   run the folder's spec/*.lua against simulated calls
  parley bundle test DIR --explore [--flow FILE]   try every key, silence, hang-up and failure, and say what breaks

For tenants (need PARLEY_URL and PARLEY_TOKEN, or PARLEY_ADMIN_EMAIL and PARLEY_ADMIN_PASSWORD):
  parley bundle new DIR                            begin a folder of scripts
  parley bundle push DIR [--publish]               check and upload it; --publish makes it live
  parley bundle                                    all commands: check, diff, canary, rollback, logs and more
  parley logs [-f] [--call ID]                     what scripts logged and how they failed; -f goes on
  parley call show ID [--tenant S]                 what a call's states asked for and were answered
  parley call replay ID [--version V] [--tenant S] run its flow again from its journal, by another version: what goes another way?

  parley ai providers [--tenant S]                 who may be asked for answers: providers, models, keys
  parley ai usage [--by all|provider|campaign] [--from DAY] [--to DAY] [--tenant S]
                                                   what AI has cost, and what is left of the budgets

  parley run FILE ...                              run a Lua file inside the host
  parley help
]]

-- The options of each command; those that end with ! have no value.
local known = {
  ["migrate"] = "", ["operator set"] = "email password", ["tenant create"] = "slug name region admin-email admin-password",
  ["tenant limits"] = "slug set unset clear!",
  ["node add"] = "name ari-url user password sip", ["node remove"] = "name", ["node list"] = "",
  ["trunk set"] = "tenant name match host port number",
  ["bundle"] = "", ["bundle new"] = "", ["bundle check"] = "tenant", ["bundle push"] = "tenant publish! skip-specs! reason",
  ["bundle publish"] = "tenant skip-specs! reason", ["bundle rollback"] = "tenant",
  ["bundle canary"] = "tenant share error-limit min-calls skip-specs! reason", ["bundle list"] = "tenant", ["bundle show"] = "tenant",
  ["bundle diff"] = "tenant", ["bundle pull"] = "tenant force!", ["bundle logs"] = "tenant follow! call", ["logs"] = "tenant follow! call",
  ["bundle test"] = "filter no-coverage! explore! flow", ["call show"] = "tenant", ["call replay"] = "version tenant",
  ["ai providers"] = "tenant", ["ai usage"] = "by from to tenant",
}

-- How many words a command takes beside its options; none unless it stands here.
local takes = {
  ["bundle"] = 1, ["bundle new"] = 1, ["bundle check"] = 1, ["bundle push"] = 1, ["bundle publish"] = 1, ["bundle canary"] = 1, ["bundle show"] = 1,
  ["bundle diff"] = 2, ["bundle pull"] = 2, ["bundle test"] = 1, ["call show"] = 1, ["call replay"] = 1,
}
local shorts = { ["-f"] = "--follow" }

--- "--name value" pairs and the rest. Repeated options become lists in `many`.
local function parse(args, command)
  local flags = {}
  for name, flag in known[command]:gmatch("([%w-]+)(!?)") do flags[name] = flag == "!" end
  local options, rest, many = {}, {}, {}
  local i = 1
  while i <= #args do
    local name = (shorts[args[i]] or args[i]):match("^%-%-([%w-]+)$")
    if name and flags[name] == nil then
      local words = known[command]:gsub("!", ""):gsub("[%w-]+", "--%0")
      return nil, ("parley %s has no option --%s%s"):format(command, name, words ~= "" and "; it has " .. words or "")
    elseif name and flags[name] then
      options[name] = true
    elseif name then
      local value = args[i + 1]
      if not value then return nil, ("--%s needs a value"):format(name) end
      options[name] = value
      many[name] = many[name] or {}
      table.insert(many[name], value)
      i = i + 1
    else
      rest[#rest + 1] = args[i]
    end
    i = i + 1
  end
  return options, rest, many
end

local commands = {}
for _, file in ipairs{ "cli.operator", "cli.bundle", "cli.bundle_test", "cli.call", "cli.ai" } do
  for name, command in pairs(require(file)) do commands[name] = command end
end

local args = { ... }
if #args == 0 or args[1] == "help" or args[1] == "--help" or args[1] == "-h" then
  io.stdout:write(usage)
  return #args == 0 and 2 or 0
end
local name, count = args[1], 1
if args[2] and commands[args[1] .. " " .. args[2]] then name, count = args[1] .. " " .. args[2], 2 end
local command = commands[name]
if not command then return fail(("there is no command '%s'; see parley help"):format(table.concat(args, " ", 1, math.min(2, #args))), 2) end
for _ = 1, count do table.remove(args, 1) end
local options, rest, many = parse(args, name)
if not options then return fail(rest, 2) end
if #rest > (takes[name] or 0) then
  return fail(("parley %s takes no '%s'; see parley help"):format(name, rest[#rest]), 2)
end
local status = command(options, rest, many)
if package.loaded["audit.sequencer"] then require("audit.sequencer").settle() end  -- this process has committed something itself
return status
