-- SPDX-License-Identifier: Apache-2.0
--- A bundle as a folder on disk.
local crypto = require "core.crypto"
local file = require "core.file"
local urlencoded = require "lib.urlencoded"

local folder = {}

--- Its files, sorted: { { path =, text = } or { path =, base64 = } }; or nil, one line. Dot-files are left out.
function folder.read(root)
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

--- Its files as they go into a pack: { { path =, data = } }, sorted by path; or nil, one line.
function folder.data(root)
  local files, err = folder.read(root)
  if not files then return nil, err end
  for i, one in ipairs(files) do files[i] = { path = one.path, data = one.text or crypto.unb64(one.base64) } end
  table.sort(files, function(a, b) return a.path < b.path end)
  return files
end

return folder
