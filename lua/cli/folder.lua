-- SPDX-License-Identifier: Apache-2.0
--- A bundle as a folder: read as the API takes it, and written from what the API gives. Dot-files are an editor's or a version
--- control's own and no part of it.
local bundle = require "core.bundle"
local crypto = require "core.crypto"
local file = require "core.file"
local rules = require "scripts.rules"
local shell = require "cli.shell"

local folder = {}

local function trimmed(root) return root ~= "/" and root:gsub("/+$", "") or root end

--- path -> bytes of all files below the folder; or nil, one line.
function folder.bytes(root)
  root = trimmed(root)
  local found = {}
  local function walk(path, prefix)
    local names, err = file.list(path)
    if not names then return nil, err.text end
    for _, name in ipairs(names) do
      local full = path .. "/" .. name
      local kind = name:sub(1, 1) ~= "." and file.kind(full)
      if kind == "directory" then
        local ok, problem = walk(full, prefix .. name .. "/")
        if not ok then return nil, problem end
      elseif kind == "file" then
        local bytes, problem = file.read(full)
        if not bytes then return nil, problem.text end
        if #bytes > rules.MAX_FILE then return nil, ("%s has %d bytes; a file may have at most %d"):format(full, #bytes, rules.MAX_FILE) end
        found[prefix .. name] = bytes
      end
    end
    return true
  end
  local ok, err = walk(root, "")
  if not ok then return nil, err end
  if next(found) == nil then return nil, root .. " holds no files; parley bundle new DIR makes a bundle that works" end
  return found
end

--- The same as a body of the API: list of { path =, text = | base64 = }, in order of path.
function folder.read(root)
  local found, err = folder.bytes(root)
  if not found then return nil, err end
  local paths, list = {}, {}
  for path in pairs(found) do paths[#paths + 1] = path end
  table.sort(paths)
  for i, path in ipairs(paths) do list[i] = rules.sent(path, found[path]) end
  return list
end

--- Its files as they go into a pack: { { path =, data = } }, sorted by path; or nil, one line.
function folder.data(root)
  local found, err = folder.bytes(root)
  if not found then return nil, err end
  local list = {}
  for path, bytes in pairs(found) do list[#list + 1] = { path = path, data = bytes } end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

--- The files of an answer of the API: path -> bytes. What the server sends is not trusted to stay in a folder.
function folder.sent(files)
  local found = {}
  for _, one in ipairs(files) do
    local ok, err = bundle.check_path(one.path)
    if not ok then return nil, ("the server sent a file with a path that leaves the bundle: %s"):format(err.text) end
    local bytes = one.text or crypto.unb64(tostring(one.base64))
    if type(bytes) ~= "string" then return nil, ("the server sent nothing that can be read for %s"):format(one.path) end
    found[one.path] = bytes
  end
  return found
end

--- Whether there is nothing at the path, or a folder without files of ours.
function folder.is_free(root)
  local kind = file.kind(trimmed(root))
  if kind == nil then return true end
  if kind ~= "directory" then return false end
  for _, name in ipairs(file.list(trimmed(root)) or {}) do
    if name:sub(1, 1) ~= "." then return false end
  end
  return true
end

--- Writes path -> bytes below the folder. Returns true, or nil, one line.
function folder.write(root, files)
  for path, bytes in pairs(files) do
    local ok, err = file.write(trimmed(root) .. "/" .. path, bytes)
    if not ok then return nil, err.text end
  end
  return true
end

--- "DIR/flows/main.lua:12: text" for each problem of an answer; returns how many.
function folder.print_problems(root, problems, out)
  for _, problem in ipairs(problems or {}) do
    local place = type(problem.file) == "string" and problem.file ~= "" and ("%s/%s:%s: "):format(trimmed(root), problem.file, tostring(problem.line or 1)) or ""
    out:write(shell.printable(place .. (problem.text or problem.detail or "?")), "\n")
  end
  return #(problems or {})
end

return folder
