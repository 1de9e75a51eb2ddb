-- SPDX-License-Identifier: Apache-2.0
--- The operator's own rules (default routing, plans, prices) are a bundle as tenants have one, swapped in the same way and run in
--- a cell of its own. operator.tenant stands where a tenant's record would: its rows are in the platform schema, its id is 0.
--- What ships in tenants/operator holds while none is published, and for each file that the published one does not have.
local bundle = require "core.bundle"
local crypto = require "core.crypto"
local db = require "lib.db"
local file = require "core.file"
local keys = require "lib.keys"
local worker = require "core.worker"

local operator = {}

-- Read when they are first needed: the configuration is there then.
local later = { db = db.platform, key = function() return keys.derive("platform-data") end }

operator.tenant = setmetatable({ id = 0, slug = "operator", name = "the operator", region = "US", status = "active" }, {
  __index = function(self, name)
    local make = later[name]
    if not make then return nil end
    self[name] = make()
    return self[name]
  end,
})

local function read_folder(path, prefix, files)
  for _, name in ipairs(assert(file.list(path))) do
    local full = path .. "/" .. name
    local kind = name:sub(1, 1) ~= "." and file.kind(full)  -- dot-files are an editor's
    if kind == "directory" then
      read_folder(full, prefix .. name .. "/", files)
    elseif kind == "file" then
      files[#files + 1] = { path = prefix .. name, data = assert(file.read(full)) }
    end
  end
  return files
end

local shipped

--- The rules that the program came with: { hash, bytes, files = list of { path, data } }. Raises when they cannot be read.
function operator.shipped()
  if shipped then return shipped end
  local files = read_folder((worker.root or ".") .. "/tenants/operator", "", {})
  table.sort(files, function(a, b) return a.path < b.path end)
  local bytes, err = bundle.pack(files)
  if not bytes then error("tenants/operator: " .. err.text, 0) end
  shipped = { hash = crypto.hex(crypto.sha256(bytes)), bytes = bytes, files = files }
  return shipped
end

--- Their bytes, when hash is theirs.
function operator.shipped_bytes(hash)
  local own = operator.shipped()
  return own.hash == hash and own.bytes or nil
end

return operator
