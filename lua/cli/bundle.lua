-- SPDX-License-Identifier: Apache-2.0
--- Commands of a tenant's engineer: a bundle from an empty folder to the calls that run it, over the API.
local bundle_log = require "cli.bundle_log"
local bundle_new = require "cli.bundle_new"
local diff = require "lib.diff"
local file = require "core.file"
local folder = require "cli.folder"
local paint = require "cli.paint"
local remote = require "cli.remote"
local shell = require "cli.shell"

local fail, path, request, with_token = shell.fail, remote.path, remote.request, remote.with_token

local help = [[
usage: parley bundle COMMAND ...     with PARLEY_URL and PARLEY_TOKEN, or PARLEY_ADMIN_EMAIL and PARLEY_ADMIN_PASSWORD

  new DIR                            make a bundle that works, to begin with
  check DIR                          check it as an upload does, specs too, and keep nothing
  push DIR [--publish]               check it and store it as a version; --publish makes it live
  list                               versions, newest first
  show [VERSION]                     one version: its files, specs, and what came of its calls
  diff [VERSION] [VERSION|DIR]       what changed: from one to the other; from a version's parent; from what is live to a folder
  pull [VERSION] DIR [--force]       write the files of a version into a folder
  publish VERSION                    make a version live: the next call runs it
  canary VERSION [--share 10] [--error-limit 5] [--min-calls 20]
                                     give it some per cent of new calls; it ends by itself when more than the limit (per cent) fail
  canary                             how the canary does
  canary promote | cancel            give it all new calls, or none
  rollback                           go back to the version before the live one
  logs [-f] [--call ID]              what scripts logged and how they failed; -f goes on
  test DIR                           run its specs

VERSION is a hash or its first characters (at least four), or live, or canary. What is wrong is told as file:line: text.
Specs that fail keep a version from going before callers; --skip-specs --reason "..." is written to the audit.
Who is in several tenants says which by --tenant S.
]]

-- versions ---------------------------------------------------------------------------------------------------------------------

local function short(hash) return hash:sub(1, 12) end

--- The whole hash of what somebody typed; nil, one line.
local function resolve(text, options, token)
  if text == "live" or text == "canary" then
    local at, err = request("GET", path("/scripts/live", { tenantId = options.tenant }), nil, token)
    if not at then return nil, err end
    local found = text == "live" and at.version or at.canary and at.canary.version
    if type(found) ~= "string" then return nil, text == "live" and "no version is live yet; parley bundle publish VERSION makes one" or "no canary is running" end
    return found
  end
  local prefix = text:lower()
  if #prefix < 4 or #prefix > 64 or prefix:find("[^0-9a-f]") then
    return nil, ("'%s' is no version: give at least the first four characters of its hash (parley bundle list shows them)"):format(text)
  end
  local list, err = request("GET", path("/scripts/bundles", { prefix = prefix, limit = 5, tenantId = options.tenant }), nil, token)
  if not list then return nil, err end
  if #list.bundles == 0 then return nil, ("no version begins with %s; parley bundle list shows those there are"):format(prefix) end
  if #list.bundles > 1 then
    local found = {}
    for i, one in ipairs(list.bundles) do found[i] = short(one.version) end
    return nil, ("several versions begin with %s (%s): give more of the hash"):format(prefix, table.concat(found, ", "))
  end
  return list.bundles[1].version
end

local function specs_line(specs)
  if type(specs) ~= "table" then return "no specs were run" end
  if specs.failed > 0 then return paint.red(("%d of %d specs fail"):format(specs.failed, specs.passed + specs.failed)) end
  return specs.passed == 0 and "it has no specs" or specs.passed == 1 and "its spec passes" or ("%d specs pass"):format(specs.passed)
end

-- Prints the problems of a refusal (with the folder's own paths where there is one) and the refusal itself.
local function refused(text, document, root)
  local told = type(document) == "table" and folder.print_problems(root or ".", document.errors, io.stderr) or 0
  if told > 0 and root and document.code == "bundle_invalid" then
    return fail(("%s was not stored: %d problem%s"):format(root, told, told == 1 and "" or "s"))
  end
  local hint = type(document) == "table" and document.code == "specs_failed" and root == nil
    and "; --skip-specs --reason \"...\" publishes nevertheless" or ""
  return fail(text .. hint)
end

local function override(options, body)
  body.skip_specs, body.reason = options["skip-specs"], options.reason
  body.tenantId = options.tenant
  return body
end

-- commands -----------------------------------------------------------------------------------------------------------------------

local commands = {}

commands.bundle = function(_, rest)
  if rest[1] and rest[1] ~= "help" then
    return fail(("there is no command 'bundle %s'; parley bundle shows those there are"):format(rest[1]), 2)
  end
  io.stdout:write(help)
  return 0
end

commands["bundle new"] = function(_, rest)
  local root = rest[1]
  if not root then return fail("which folder? parley bundle new DIR", 2) end
  if not folder.is_free(root) then return fail(root .. " is there already and not empty; name a new folder", 1) end
  local ok, err = folder.write(root, bundle_new.files())
  if not ok then return fail(err) end
  print(("%s is a bundle that works. Next: parley bundle check %s, then parley bundle push %s --publish"):format(root, root, root))
  return 0
end

commands["bundle check"] = function(options, rest)
  local root = rest[1]
  if not root then return fail("which folder? parley bundle check DIR", 2) end
  local files, err = folder.read(root)
  if not files then return fail(err) end
  return with_token(options, function(token)
    local answer, problem, document = request("POST", "/scripts/check", { files = files, tenantId = options.tenant }, token)
    if not answer then return refused(problem, document, root) end
    local count = folder.print_problems(root, answer.problems, io.stderr)
    local specs = type(answer.specs) == "table" and answer.specs
    for _, failure in ipairs(specs and specs.failures or {}) do
      count = count + folder.print_problems(root, { { file = failure.file, line = failure.line, text = ("%s: %s"):format(failure.name, failure.text) } }, io.stderr)
    end
    if not answer.valid then return fail(("%s has %d problem%s"):format(root, math.max(count, 1), count == 1 and "" or "s")) end
    print(("%s is sound: %d bytes, %s"):format(root, answer.size, specs_line(specs)))
    return 0
  end)
end

commands["bundle push"] = function(options, rest)
  local root = rest[1]
  if not root then return fail("which folder? parley bundle push DIR [--publish]", 2) end
  local files, err = folder.read(root)
  if not files then return fail(err) end
  return with_token(options, function(token)
    local body = override(options, { files = files, publish = options.publish })
    local version, problem, document = request("POST", "/scripts/bundles", body, token)
    if not version then
      if type(document) == "table" and type(document.version) == "string" then
        problem = ("version %s is stored, and not live: %s"):format(short(document.version), problem)
      end
      return refused(problem, document, root)
    end
    print(("version %s %s; %s"):format(short(version.version), version.live and "is live: the next call runs it"
      or "is stored; parley bundle publish " .. short(version.version) .. " makes it live", specs_line(version.specs)))
    return 0
  end)
end

-- A command that moves a pointer: prints what done(moved) says.
local function move(options, method, where, body, done)
  return with_token(options, function(token)
    local target = where
    if type(where) == "function" then
      local err
      target, err = where(token)
      if not target then return fail(err) end
    end
    local moved, problem, document
    if method == "DELETE" then
      moved, problem, document = request(method, path(target, { tenantId = options.tenant }), nil, token)
    else
      moved, problem, document = request(method, target, override(options, body), token)
    end
    if not moved then return refused(problem, document) end
    print(done(moved))
    return 0
  end)
end

local function canary_note(moved)
  return type(moved.canary_ended) == "string" and moved.canary_ended ~= moved.version and ("; the canary %s has ended"):format(short(moved.canary_ended)) or ""
end

commands["bundle publish"] = function(options, rest)
  if not rest[1] then return fail("which version? parley bundle publish VERSION", 2) end
  return move(options, "POST", function(token)
    local hash, err = resolve(rest[1], options, token)
    return hash and "/scripts/bundles/" .. hash .. "/publish", err
  end, {}, function(moved) return ("version %s is live: the next call runs it%s"):format(short(moved.version), canary_note(moved)) end)
end

commands["bundle rollback"] = function(options)
  return move(options, "POST", "/scripts/rollback", {}, function(moved)
    return ("version %s is live again%s"):format(short(moved.version), canary_note(moved))
  end)
end

local function canary_status(options)
  return with_token(options, function(token)
    local at, err = request("GET", path("/scripts/live", { tenantId = options.tenant }), nil, token)
    if not at then return fail(err) end
    local canary = type(at.canary) == "table" and at.canary
    if not canary then
      print("no canary is running; parley bundle canary VERSION --share 10 begins one")
      return 0
    end
    print(("version %s has %g %% of new calls since %s: %d calls, %d of them failed; ended when more than %g %% fail (from %d calls on)"):format(
      short(canary.version), canary.share, canary.since, canary.calls, canary.failed, canary.error_limit, canary.min_calls))
    return 0
  end)
end

commands["bundle canary"] = function(options, rest)
  local what = rest[1]
  if not what then return canary_status(options) end
  if what == "promote" then
    return move(options, "POST", "/scripts/canary/promote", {}, function(moved) return ("version %s is live: all new calls run it"):format(short(moved.version)) end)
  elseif what == "cancel" then
    return move(options, "DELETE", "/scripts/canary", nil, function(moved) return ("the canary %s has ended: all new calls run the live version"):format(short(moved.previous)) end)
  end
  local body = {}
  for option, field in pairs{ share = "share", ["error-limit"] = "error_limit", ["min-calls"] = "min_calls" } do
    if options[option] then
      body[field] = tonumber((options[option]:gsub("%%$", "")))
      if not body[field] then return fail(("--%s must be a number, not '%s'"):format(option, options[option]), 2) end
    end
  end
  return move(options, "POST", function(token)
    local hash, err = resolve(what, options, token)
    body.version = hash
    return hash and "/scripts/canary", err
  end, body, function(moved)
    return ("version %s has %g %% of new calls. parley bundle canary shows how it does; canary promote or canary cancel ends it"):format(
      short(moved.version), moved.canary.share)
  end)
end

commands["bundle list"] = function(options)
  return with_token(options, function(token)
    local list, err = request("GET", path("/scripts/bundles", { tenantId = options.tenant }), nil, token)
    if not list then return fail(err) end
    if #list.bundles == 0 then print("no versions yet; parley bundle push DIR stores one") end
    for _, version in ipairs(list.bundles) do
      local specs = type(version.specs) == "table" and version.specs.failed > 0 and "  " .. specs_line(version.specs) or ""
      print(("%s  %s  %7d bytes  %s%s%s"):format(short(version.version), version.created_at, version.size, version.created_by, specs,
        version.live and "  live" or version.canary and "  canary" or ""))
    end
    return 0
  end)
end

commands["bundle show"] = function(options, rest)
  return with_token(options, function(token)
    local hash, err = resolve(rest[1] or "live", options, token)
    if not hash then return fail(err) end
    local one
    one, err = request("GET", path("/scripts/bundles/" .. hash, { tenantId = options.tenant }), nil, token)
    if not one then return fail(err) end
    print(("version  %s%s"):format(one.version, one.live and "  live" or one.canary and "  canary" or ""))
    print(("pushed   %s by %s%s"):format(one.created_at, one.created_by, type(one.parent) == "string" and ", made from " .. short(one.parent) or ""))
    print(("calls    %d, %d failed (%d over their budget of time or memory)"):format(one.use.calls, one.use.failed, one.use.over_budget))
    print("specs    " .. specs_line(one.specs))
    for _, failure in ipairs(type(one.specs) == "table" and one.specs.failures or {}) do
      print(("         %s:%s: %s: %s"):format(failure.file, tostring(failure.line), failure.name, shell.printable(failure.text)))
    end
    for _, flow_file in ipairs(one.files) do print(("%7d  %s"):format(flow_file.size, flow_file.path)) end
    return 0
  end)
end

-- The files of a version: path -> bytes | nil, one line.
local function files_of(hash, options, token)
  local answer, err = request("GET", path("/scripts/bundles/" .. hash .. "/files", { tenantId = options.tenant }), nil, token)
  if not answer then return nil, err end
  return folder.sent(answer.files)
end

commands["bundle pull"] = function(options, rest)
  local root = rest[2] or rest[1]
  if not root then return fail("into which folder? parley bundle pull [VERSION] DIR", 2) end
  if not options.force and not folder.is_free(root) then return fail(root .. " is not empty; name a new folder, or --force to write over its files", 1) end
  return with_token(options, function(token)
    local hash, err = resolve(rest[2] and rest[1] or "live", options, token)
    if not hash then return fail(err) end
    local files
    files, err = files_of(hash, options, token)
    if not files then return fail(err) end
    local ok
    ok, err = folder.write(root, files)
    if not ok then return fail(err) end
    print(("%s has the files of version %s"):format(root, short(hash)))
    return 0
  end)
end

-- Prints one file's part of a comparison.
local function print_change(change)
  if type(change.diff) == "string" then
    io.stdout:write(paint.diff(change.diff))
  else
    print(paint.bold(("%s: %s (no text, or too long to compare)"):format(change.path, change.change)))
  end
end

local function compare_folder(old, root)
  local new, err = folder.bytes(root)
  if not new then return fail(err) end
  for _, change in ipairs(diff.files(old, new)) do print_change(change) end
  return 0
end

commands["bundle diff"] = function(options, rest)
  local last = rest[#rest]
  local root = last and file.kind(last) == "directory" and last or nil
  return with_token(options, function(token)
    local from, to, err
    if root then
      from, err = resolve(rest[2] and rest[1] or "live", options, token)
      local old
      if from then old, err = files_of(from, options, token) end
      if not old then return fail(err) end
      return compare_folder(old, root)
    end
    to, err = resolve(last or "live", options, token)
    if to and rest[2] then
      from, err = resolve(rest[1], options, token)
      if not from then return fail(err) end
    end
    if not to then return fail(err) end
    local answer
    answer, err = request("GET", path("/scripts/bundles/" .. to .. "/diff", { with = from, tenantId = options.tenant }), nil, token)
    if not answer then return fail(err) end
    for _, change in ipairs(answer.files) do print_change(change) end
    return 0
  end)
end

commands["bundle logs"] = bundle_log.run
commands.logs = bundle_log.run

return commands
