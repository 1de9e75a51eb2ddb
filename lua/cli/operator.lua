-- SPDX-License-Identifier: Apache-2.0
--- Commands of operators: they need PARLEY_CONFIG and the database.
local shell = require "cli.shell"

local fail, need, with_database = shell.fail, shell.need, shell.with_database

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

-- "cells.share_percent" -> the table it lies in, its name there.
local function place_of(limits, path)
  local name = path:match("^cells%.([%w_]+)$")
  if not name then return limits, path end
  limits.cells = limits.cells or {}
  return limits.cells, name
end

commands["tenant limits"] = function(options, _, many)
  local ok, err = need(options, "slug")
  if not ok then return fail(err, 2) end
  return with_database(function()
    local json, rules, schema, tenants = require "core.json", require "tenants.rules", require "lib.schema", require "tenants"
    local tenant = tenants.get(options.slug)
    if not tenant then return fail("there is no tenant " .. options.slug) end
    local limits = not options.clear and tenant.limits and json.decode(json.encode(tenant.limits)) or {}  -- the record keeps those before
    for _, word in ipairs(many.set or {}) do
      local path, value = word:match("^([%w_.]+)=(%d+)$")
      if not path then return fail(("--set %s: write NAME=NUMBER, such as cells.share_percent=80"):format(word), 2) end
      local into, name = place_of(limits, path)
      into[name] = tonumber(value)
    end
    for _, path in ipairs(many.unset or {}) do
      local from, name = place_of(limits, path)
      from[name] = nil
    end
    if options.clear or many.set or many.unset then
      local _, errors = schema.check(rules.limits, limits)
      if errors then return fail(("%s %s"):format(errors[1].pointer:gsub("^#?/", ""):gsub("/", "."), errors[1].detail), 2) end
      local db = require "lib.db"
      limits = tenants.set_limits(tenant, limits, "cli", nil, function(write) db.transaction(db.platform(), write) end) or {}
    end
    if not next(limits) then print(("tenant %s has no limits of its own: the configuration's hold"):format(tenant.slug)) end
    if limits.verbs_per_second then print(("verbs_per_second=%d"):format(limits.verbs_per_second)) end
    local names = {}
    for name in pairs(limits.cells or {}) do names[#names + 1] = name end
    table.sort(names)
    for _, name in ipairs(names) do print(("cells.%s=%d"):format(name, limits.cells[name])) end
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

return commands
