-- SPDX-License-Identifier: Apache-2.0
--- Renderings of prompts as they are kept: a blob for each, sealed under a key of its tenant (AES-256-GCM), in a folder of its tenant.
---
--- What a script says to one caller is among them, sound and marks, and nobody knows which: so all of them are sealed, and a blob's name is a hash
--- under another key of the tenant, for the texts of a plain one could be guessed. What does not open is not there: it is rendered anew, and then
--- takes the place of what is damaged. There is none that tenants share: each has its own order of voices.
---
--- A rendering is { rate = Hz, marks = list of { kind, text, from_ms, to_ms }, pcm = 16 bit mono }.
local blob = require "core.blob"
local clock = require "core.clock"
local crypto = require "core.crypto"
local json = require "core.json"
local log = require "core.log"
local metrics = require "core.metrics"

local renderings = {}

renderings.MOST = 4 * 1024 * 1024  -- bytes, as size counts them: larger ones are said once, not kept
local MARK_BYTES = 100             -- of a mark besides its text
local BLOB_MOST = renderings.MOST + 1024 * 1024
local AT_ONCE = 500
local A_DAY_S = 86400  -- hosts' clocks differ, but not so much

local told = false     -- that one cannot be written is told of the first, until one can
local swept  -- what lay unsealed has been looked for
local of_tenant = setmetatable({}, { __mode = "k" })  -- tenant's record -> keys; they go when the record goes

local function keys_of(tenant)
  local own = of_tenant[tenant]
  if not own then
    own = { seal = crypto.derive(tenant.key, "prompts"), name = crypto.derive(tenant.key, "prompt-names") }
    of_tenant[tenant] = own
  end
  return own
end

local function folder_of(tenant) return ("speech/%d"):format(tenant.id) end
local function path_of(tenant, name) return ("%s/%s.prompt"):format(folder_of(tenant), name) end

--- The name of what is said: a keyed hash of all that its sound depends on.
--- @param parts table  list of texts without a zero byte, but the last
function renderings.name(tenant, parts)
  return crypto.hex(crypto.hmac(keys_of(tenant).name, table.concat(parts, "\0"))):sub(1, 40)
end

--- The bytes of a rendering, sound and marks, near enough to count by.
function renderings.size(rendering)
  local bytes = #rendering.pcm
  for _, mark in ipairs(rendering.marks) do bytes = bytes + renderings.mark_size(mark) end
  return bytes
end

function renderings.mark_size(mark) return #mark.text + MARK_BYTES end

local function opened(tenant, name, bytes)
  local text = crypto.open(keys_of(tenant).seal, bytes, path_of(tenant, name))
  local head = text and text:match("^([^\n]*)\n")
  local said = head and json.decode(head)
  if type(said) ~= "table" or type(said.rate) ~= "number" or type(said.marks) ~= "table" then return nil end
  return { rate = said.rate, marks = said.marks, pcm = text:sub(#head + 2) }
end

--- The rendering of a name, or nil. Waits.
function renderings.read(tenant, name)
  local bytes = blob.get(path_of(tenant, name), BLOB_MOST)
  if not bytes then return nil end
  local rendering = opened(tenant, name, bytes)
  if not rendering then
    metrics.count("speech_prompts_damaged_total", nil, 1, "renderings of prompts that did not open, and were made anew")
    log.warn("speech.prompt_damaged", { tenant = tenant.slug, prompt = name })
  end
  return rendering
end

--- Keeps one, in place of what is there. Waits; where it cannot be written it is rendered again the next time.
--- @param rendering table  of at most MOST bytes; its marks' texts are UTF-8, their times finite
function renderings.write(tenant, name, rendering)
  local text = json.encode{ rate = rendering.rate, marks = json.array(rendering.marks) } .. "\n" .. rendering.pcm
  local bytes = crypto.seal(keys_of(tenant).seal, text, path_of(tenant, name))
  local ok, err = false, { text = "it has more bytes than are read" }
  if #bytes <= BLOB_MOST then ok, err = blob.put(path_of(tenant, name), bytes) end
  if not ok and not told then log.warn("speech.prompt_not_kept", { tenant = tenant.slug, prompt = name, text = err.text }) end
  told = not ok
end

-- Those right in a folder that were written before a time: how many went. One that does not go keeps no other; it is looked for again the next time.
local function remove(tenant, folder, before_s)
  local count, stayed, first = 0, {}, nil
  while true do
    local keys, err = blob.older(folder, before_s, AT_ONCE)
    if not keys then error("renderings cannot be looked for: " .. err.text, 0) end
    local gone = 0
    for _, key in ipairs(keys) do
      local ok, why = blob.remove(key)
      if ok or why.code == "not_found" then
        gone = gone + 1
      else
        stayed[key], first = true, first or why.text
      end
    end
    count = count + gone
    if #keys < AT_ONCE or gone == 0 then break end
  end
  local left = 0
  for _ in pairs(stayed) do left = left + 1 end
  if left > 0 then log.warn("speech.prompts_not_removed", { tenant = tenant.slug, folder = folder, count = left, text = first }) end
  return count
end

--- Removes those that were made before a time (µs), and the first time in a process such as versions before this one have left unsealed, of whichever
--- tenant: each tenant's folder lies beside them, so looking there costs more the more tenants there are. What cannot be removed is told of and stays.
--- Waits; raises where it cannot look. Returns how many went.
function renderings.expire(tenant, before_us)
  local count = remove(tenant, folder_of(tenant), math.floor(before_us / 1e6))
  if swept then return count end
  count = count + remove(tenant, "speech", math.floor(clock.wall_us() / 1e6) + A_DAY_S)
  swept = true
  return count
end

--- Removes all of a tenant's, as expire does.
function renderings.remove_all(tenant) return renderings.expire(tenant, clock.wall_us() + A_DAY_S * 1e6) end

return renderings
