-- SPDX-License-Identifier: Apache-2.0
--- Sound files of bundles as audio, each read and decoded once: a flow may play the same one again and again.
local media = require "core.media"
local scripts = require "scripts"

local sounds = {}

local MOST = 64              -- files kept, of at most 256 KiB each
local kept, oldest = {}, {}  -- key -> { audio, err }

local function read(tenant, hash, path)
  local bytes = scripts.file(tenant, hash, path)
  if not bytes then return nil, { code = "not_found", text = ("the bundle has no file '%s'"):format(path) } end
  local audio, err = media.wav(bytes)
  if not audio then return nil, { code = "invalid", text = path .. ": " .. err.text } end
  return audio
end

--- @return audio | nil, err
function sounds.audio(tenant, hash, path)
  local key = ("%d:%s:%s"):format(tenant.id, hash, path)
  if not kept[key] then
    local found = { read(tenant, hash, path) }
    if not kept[key] then oldest[#oldest + 1] = key end
    kept[key] = found
    if #oldest > MOST then kept[table.remove(oldest, 1)] = nil end
  end
  return kept[key][1], kept[key][2]
end

return sounds
