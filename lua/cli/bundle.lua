-- SPDX-License-Identifier: Apache-2.0
--- Commands of a tenant's engineer: bundles and the script log, over the API.
local remote = require "cli.remote"
local shell = require "cli.shell"

local fail, request, with_token = shell.fail, remote.request, remote.with_token

local commands = {}

commands["bundle push"] = function(options, rest)
  local folder = rest[1]
  if not folder then return fail("which folder? parley bundle push DIR [--tenant S] [--publish]", 2) end
  local files, err = require("cli.folder").read(folder)
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

return commands
