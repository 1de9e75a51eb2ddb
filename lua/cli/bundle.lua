-- SPDX-License-Identifier: Apache-2.0
--- Commands of a tenant's engineer: bundles and the script log, over the API.
local remote = require "cli.remote"
local shell = require "cli.shell"

local fail, request, with_token = shell.fail, remote.request, remote.with_token

local commands = {}

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

return commands
