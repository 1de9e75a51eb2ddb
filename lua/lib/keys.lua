-- SPDX-License-Identifier: Apache-2.0
--- The platform's keys, all derived from one master key (crypto.master_key): 32 bytes as hex or base64.
local config = require "core.config"
local crypto = require "core.crypto"

local keys = {}
local master
local derived = {}

local function read_master()
  local text = config.crypto and config.crypto.master_key or ""
  local bytes
  if #text == 64 then bytes = crypto.unhex(text) end
  if not bytes and #text == 32 then bytes = text end
  if not bytes then bytes = crypto.unb64(text) end
  if not bytes or #bytes ~= 32 then
    error("crypto.master_key must be 32 bytes, as 64 hex digits or base64; make one with: openssl rand -hex 32", 0)
  end
  return bytes
end

--- The key for one purpose; the same purpose always gives the same key.
function keys.derive(purpose)
  if not derived[purpose] then
    master = master or read_master()
    derived[purpose] = crypto.derive(master, "parley:" .. purpose)
  end
  return derived[purpose]
end

--- A tenant's new data key as it is stored: sealed, bound to the slug.
function keys.wrap(data_key, slug)
  return crypto.seal(keys.derive("tenant-keys"), data_key, "tenant:" .. slug)
end

--- Opens it; raises when the master key is not the one it was sealed with.
function keys.unwrap(wrapped, slug)
  local data_key = crypto.open(keys.derive("tenant-keys"), wrapped, "tenant:" .. slug)
  if not data_key then error("the data key of tenant " .. slug .. " does not open: crypto.master_key is not the one it was made with", 0) end
  return data_key
end

return keys
