-- SPDX-License-Identifier: Apache-2.0
--- parley COMMAND: what an operator or a tenant's engineer does from a shell.
local http = require "core.http"
local json = require "core.json"

local usage = [[
usage: parley COMMAND ...

For operators (need PARLEY_CONFIG and the database):
  parley migrate                                   bring the platform's and every tenant's schema up
  parley operator set --email E --password P|-     make a platform operator, or change its password
  parley tenant create --slug S --name N --admin-email E --admin-password P [--region US]
  parley trunk set --tenant S --name N [--match ADDR]... [--host H --port P] [--number +1...]...
  parley node add --name N --ari-url URL --user U --password P|- [--sip HOST:PORT]
                                                   add an Asterisk node (or change it) while all runs
  parley node remove --name N                      no new calls for it; those that are up end in their own time
  parley node list                                 nodes of the configuration, and added ones
  A password given as - is read from standard input: what stands in a command line is seen by all who look.

For tenants (need PARLEY_URL and PARLEY_TOKEN, or PARLEY_ADMIN_EMAIL and PARLEY_ADMIN_PASSWORD):
  parley bundle push DIR [--tenant S] [--publish]  check and upload a folder of scripts; --publish makes it live
  parley bundle rollback [--tenant S]              go back to the version before the live one
  parley bundle list [--tenant S]                  versions, newest first
  parley logs [--tenant S]                         what scripts logged and how they failed

  parley run FILE ...                              run a Lua file inside the host
  parley help
]]

local function fail(text, status)
  io.stderr:write("parley: ", text, "\n")
  return status or 1
end

-- The options of each command; those that end with ! have no value.
local known = {
  ["migrate"] = "", ["operator set"] = "email password", ["tenant create"] = "slug name region admin-email admin-password",
  ["node add"] = "name ari-url user password sip", ["node remove"] = "name", ["node list"] = "",
  ["trunk set"] = "tenant name match host port number", ["bundle push"] = "tenant publish!", ["bundle rollback"] = "tenant",
  ["bundle list"] = "tenant", ["logs"] = "tenant",
}

--- "--name value" pairs and the rest. Repeated options become lists in `many`.
local function parse(args, command)
  local flags = {}
  for name, flag in known[command]:gmatch("([%w-]+)(!?)") do flags[name] = flag == "!" end
  local options, rest, many = {}, {}, {}
  local i = 1
  while i <= #args do
    local name = args[i]:match("^%-%-([%w-]+)$")
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

local function need(options, ...)
  for _, name in ipairs{ ... } do
    if not options[name] then return nil, ("--%s is missing; see parley help"):format(name) end
    if options[name] == "-" and name:find("password$") then
      options[name] = io.read("*l")
      if not options[name] then return nil, ("--%s is to come from standard input, which is empty"):format(name) end
    end
  end
  return true
end

local function with_database(fn)
  if not os.getenv("PARLEY_CONFIG") then
    return fail("set PARLEY_CONFIG to the configuration file, such as var/parley.lua")
  end
  require("lib.migrate").root = require("core.worker").root .. "/schema"
  local ok, result = xpcall(fn, function(raised)
    if type(raised) == "table" then return raised.detail or raised.text or json.encode(raised) end
    return (os.getenv("PARLEY_LOG") == "debug") and debug.traceback(tostring(raised)) or tostring(raised)
  end)
  if not ok then return fail(tostring(result)) end
  return result
end

local commands = {}

function commands.migrate()
  return with_database(function()
    local migrate = require "lib.migrate"
    local tenants = require "tenants"
    local function progress(schema, file) print(("%s: %s"):format(schema, file)) end
    migrate.platform(progress)
    local done, failures = tenants.migrate_all(progress)
    for _, failure in ipairs(failures) do io.stderr:write(("parley: tenant %s: %s\n"):format(failure.slug, failure.text)) end
    print(("the platform and %d tenant%s are up to date"):format(done, done == 1 and "" or "s"))
    return #failures > 0 and 1 or 0
  end)
end

commands["operator set"] = function(options)
  local ok, err = need(options, "email", "password")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local rules = require "tenants.rules"
    local fault = rules.email_fault(options.email)
    if fault then return fail("--email " .. fault, 2) end
    fault = rules.password_fault(options.password)
    if fault then return fail("--password " .. fault, 2) end
    require("auth").put_operator(options.email, options.password)
    print("operator " .. options.email .. " can log in")
    return 0
  end)
end

commands["tenant create"] = function(options)
  local ok, err = need(options, "slug", "name", "admin-email", "admin-password")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local tenants = require "tenants"
    local there = tenants.get(options.slug)
    if there and there.status ~= "creating" then
      print(("tenant %s is there already"):format(options.slug))
      return 0
    end
    local tenant = tenants.create({ slug = options.slug, name = options.name, region = options.region or "US",
      admin_email = options["admin-email"], admin_password = options["admin-password"] }, "cli")
    print(("tenant %s is made; %s can log in"):format(tenant.slug, options["admin-email"]))
    return 0
  end)
end

commands["trunk set"] = function(options, _, many)
  local ok, err = need(options, "tenant", "name")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local tenant = require("tenants").get(options.tenant)
    if not tenant then return fail("there is no tenant " .. options.tenant) end
    local trunk, problem = require("calls.trunks").set(tenant, { name = options.name, host = options.host, port = tonumber(options.port or 5060),
      match = table.concat(many.match or {}, ","), numbers = many.number or {} })
    if not trunk then return fail(problem.text) end
    print(("trunk %s of %s is set"):format(options.name, options.tenant))
    return 0
  end)
end

commands["node add"] = function(options)
  local ok, err = need(options, "name", "ari-url", "user", "password")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local row, made = require("nodes").set({ name = options.name, ari_url = options["ari-url"], user = options.user, password = options.password,
      sip = options.sip }, { actor = "cli" })
    if not row then return fail(made.text, made.code == "invalid" and 2 or 1) end
    print(("node %s is %s"):format(row.name, made and "added" or "changed"))
    return 0
  end)
end

commands["node remove"] = function(options)
  local ok, err = need(options, "name")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local done, problem = require("nodes").remove(options.name, { actor = "cli" })
    if not done then return fail(problem.text) end
    print(("node %s gets no new calls"):format(options.name))
    return 0
  end)
end

commands["node list"] = function()
  return with_database(function()
    for _, node in ipairs(require("nodes").list()) do
      print(("%-12s %-8s %-13s %s%s"):format(node.name, node.status, node.source, node.ari_url, node.sip and "  sip " .. node.sip or ""))
    end
    return 0
  end)
end

-- HTTP ------------------------------------------------------------------------------------------------------------------------

local function base() return (os.getenv("PARLEY_URL") or "http://127.0.0.1:8080"):gsub("/$", "") end

local function request(method, path, body, token)
  local headers = {}
  if token then headers.Authorization = "Bearer " .. token end
  if body then headers["Content-Type"] = "application/json" end
  local answer, err = http.fetch{ method = method, url = base() .. path, headers = headers, body = body and json.encode(body) or nil, timeout_s = 60,
    ca_file = os.getenv("PARLEY_CA_FILE") }
  if not answer then return nil, ("%s does not answer: %s"):format(base(), err.text) end
  local data = json.decode(answer.body)
  if answer.status >= 400 then
    return nil, type(data) == "table" and data.detail or ("%s %s answered %d"):format(method, path, answer.status), data
  end
  return data
end

local function log_in(options)
  local token = os.getenv("PARLEY_TOKEN")
  if token then return token end
  local email, password = os.getenv("PARLEY_ADMIN_EMAIL"), os.getenv("PARLEY_ADMIN_PASSWORD")
  if not email or not password then return nil, "set PARLEY_TOKEN, or PARLEY_ADMIN_EMAIL and PARLEY_ADMIN_PASSWORD" end
  local session, err = request("POST", "/auth/login", { email = email, password = password, tenant = options.tenant })
  if not session then return nil, err end
  return session.token
end

local function with_token(options, fn)
  local token, err = log_in(options)
  if not token then return fail(err) end
  return fn(token)
end

local function read_folder(root)
  local file = require "core.file"
  local crypto = require "core.crypto"
  local urlencoded = require "lib.urlencoded"
  local files = {}
  local function walk(path, prefix)
    local names, err = file.list(path)
    if not names then return nil, err.text end
    table.sort(names)
    for _, name in ipairs(names) do
      local full = path .. "/" .. name
      -- Dot-files are an editor's or a version control's.
      local kind = name:sub(1, 1) ~= "." and file.kind(full)
      if kind == "directory" then
        local ok, problem = walk(full, prefix .. name .. "/")
        if not ok then return nil, problem end
      elseif kind == "file" then
        local bytes, problem = file.read(full)
        if not bytes then return nil, problem.text end
        if #bytes > 256 * 1024 then return nil, ("%s has %d bytes; a file may have at most 262144"):format(full, #bytes) end
        if (name:match("%.lua$") or name:match("%.md$")) and urlencoded.is_text(bytes) then
          files[#files + 1] = { path = prefix .. name, text = bytes }
        else
          files[#files + 1] = { path = prefix .. name, base64 = crypto.b64(bytes) }
        end
      end
    end
    return true
  end
  local ok, err = walk(root:gsub("/$", ""), "")
  if not ok then return nil, err end
  if #files == 0 then return nil, root .. " holds no files" end
  return files
end

commands["bundle push"] = function(options, rest)
  local folder = rest[1]
  if not folder then return fail("which folder? parley bundle push DIR [--tenant S] [--publish]", 2) end
  local files, err = read_folder(folder)
  if not files then return fail(err) end
  return with_token(options, function(token)
    local version, problem, data = request("POST", "/scripts/bundles",
      { files = files, publish = options.publish or nil, tenantId = options.tenant }, token)
    if not version then
      for _, one in ipairs(type(data) == "table" and data.errors or {}) do
        if one.file then io.stderr:write(("%s/%s:%s: %s\n"):format(folder:gsub("/$", ""), one.file, tostring(one.line or 1), one.detail)) end
      end
      return fail(problem)
    end
    print(("version %s %s"):format(version.version:sub(1, 12), version.live and "is live: the next call runs it" or "is stored; publish it with --publish"))
    return 0
  end)
end

commands["bundle rollback"] = function(options)
  return with_token(options, function(token)
    local moved, err = request("POST", "/scripts/rollback", { tenantId = options.tenant }, token)
    if not moved then return fail(err) end
    print(("version %s is live again"):format(moved.version:sub(1, 12)))
    return 0
  end)
end

commands["bundle list"] = function(options)
  return with_token(options, function(token)
    local list, err = request("GET", "/scripts/bundles" .. (options.tenant and "?tenantId=" .. options.tenant or ""), nil, token)
    if not list then return fail(err) end
    for _, version in ipairs(list.bundles) do
      print(("%s  %s  %7d bytes  %s%s"):format(version.version:sub(1, 12), version.created_at, version.size, version.created_by, version.live and "  live" or ""))
    end
    return 0
  end)
end

commands.logs = function(options)
  return with_token(options, function(token)
    local list, err = request("GET", "/scripts/log" .. (options.tenant and "?tenantId=" .. options.tenant or ""), nil, token)
    if not list then return fail(err) end
    for i = #list.entries, 1, -1 do
      local e = list.entries[i]
      print(("%s %-5s %s%s"):format(e.at, e.level, type(e.file) == "string" and ("%s:%s: "):format(e.file, tostring(e.line)) or "", e.text))
    end
    return 0
  end)
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
if #rest > (name == "bundle push" and 1 or 0) then
  return fail(("parley %s takes no '%s'; see parley help"):format(name, rest[#rest]), 2)
end
local status = command(options, rest, many)
if package.loaded["audit.sequencer"] then require("audit.sequencer").settle() end  -- this process has committed something itself
return status
