-- SPDX-License-Identifier: Apache-2.0
--- parley run tests/e2e/recording_into.lua SECONDS TENANT...: gives each tenant a recording of noise that nobody said, and prints its id.
local audit = require "audit"
local media = require "core.media"
local recordings = require "calls.recordings"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

local HALF_SECOND, CHUNKS_AT_ONCE = 16000, 10

local function noise(seed)
  math.randomseed(seed)
  local bytes = {}
  for i = 1, HALF_SECOND do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

local on_audio
media.recorder = function(given)  -- no call brings it
  on_audio = given.on_audio
  return { close = function() end }
end

local function make(tenant, pcm, chunks)
  local leg, name = {}, "c-made-" .. tenant.slug
  local row = audit.transaction(tenant, function(tx)
    return store.insert(tx, { public_id = name, direction = "inbound", our_number = "+15550100", start_time = time.now(), node = "made",
      slot = "made.1", channel_id = name, node_boot = "1", fence = 1 })
  end)
  local recording = assert(recordings.open({ id = name, tenant = tenant, row_id = row.id, leg = leg, recorders = {} }, { kind = "call", key = name, left = leg }))
  for i = 1, chunks do
    on_audio(pcm, 0)
    if i % CHUNKS_AT_ONCE == 0 then task.sleep(20) end  -- for the disk
  end
  recording:close("hangup")
  return recording.public_id
end

local given = { ... }
for i = 2, #given do print(make(assert(tenants.get(given[i])), noise(i), 2 * tonumber(given[1]))) end
