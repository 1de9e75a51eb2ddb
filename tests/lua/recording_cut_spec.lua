-- SPDX-License-Identifier: Apache-2.0
--- A recording whose worker died: how long it is, and that only a little of it is read to know.
local world = require "data_world"
if not world then
  describe("a recording that was cut short", function() pending("need the host and a database of their own") end)
  return
end
local bit = require "bit"
local blob = require "core.blob"
local db = require "lib.db"
local recordings = require "calls.recordings"
local store = require "calls.store"
local tenants = require "tenants"
local time = require "lib.time"

local SEALED, PCM = 28, 16000  -- bytes: what sealing adds, half a second

describe("a recording that was cut short", function()
  local tenant
  local serial = 0

  setup(function()
    world.begin{ "auth", "tenants", "calls" }
    tenant = tenants.create{ slug = "cut", admin_email = "a@cut.example", admin_password = "a-Long-password" }
  end)

  local function chunk(pcm)
    local size = pcm + SEALED
    return string.char(bit.band(size, 255), bit.band(bit.rshift(size, 8), 255), bit.rshift(size, 16), 0) .. ("s"):rep(size)
  end

  -- Ends the call of a recording with these bytes, which nobody has closed: its row and its segment's, and how many bytes of it were read.
  local function ended(bytes)
    serial = serial + 1
    local public_id, key = "rc_cut" .. serial, ("recordings/%d/cut/%d"):format(tenant.id, serial)
    local call = { id = "c-" .. serial, tenant = tenant }
    call.row_id = db.query(tenant.db, "INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', ?, 'connected')", call.id, time.now()).insert_id
    local id = db.query(tenant.db, "INSERT INTO recording (public_id, call_id, kind, codec, state, started_at) VALUES (?, ?, 'call', 'pcm_s16le', 'open', ?)",
      public_id, call.row_id, time.now()).insert_id
    if bytes then assert(blob.put(key, bytes)) end
    db.transaction(tenant.db, function(tx) store.segment_insert(tx, { recording_id = id, blob_key = key, started_at = time.now(), wrapped_key = "k" }) end)
    local get, part, read = blob.get, blob.part, 0
    blob.get = function() error("all of it at once") end
    blob.part = function(...)
      local found, err = part(...)
      read = read + #(found or "")
      return found, err
    end
    recordings.finish(call)
    blob.get, blob.part = get, part
    return store.recording(tenant.db, public_id), store.segments(tenant.db, id)[1], read
  end

  local function check(bytes, ms, chunks, whole)
    local row, segment, read = ended(bytes)
    assert.equal("stored", row.state)
    assert.same({ ms, chunks, ms }, { row.duration_ms, segment.chunks, segment.duration_ms })
    assert.equal(whole, db.query(tenant.db, "SELECT bytes AS n FROM recording_segment WHERE blob_key = ?", segment.blob_key)[1].n)
    return read
  end

  -- All of it was read, as one text: a hundred megabytes for an hour, when a node had died as many times as it had calls.
  it("is measured by what its chunks say of themselves", function()
    local bytes = chunk(PCM):rep(2000)
    assert.is_true(check(bytes, 1000000, 2000, #bytes) < 200)
  end)

  it("is as long as the chunks that were written whole", function()
    local one = chunk(PCM)
    for _, count in ipairs{ 0, 1, 2, 3, 4, 7, 8, 9, 100 } do
      for _, half in ipairs{ "", one:sub(1, 3), one:sub(1, 4), one:sub(1, -2) } do check(one:rep(count) .. half, count * 500, count, count * #one) end
    end
  end)

  it("is as long as it is where sound was lost, and with its last chunk", function()
    local bytes = chunk(PCM):rep(5) .. chunk(6400) .. chunk(640):rep(3) .. chunk(PCM):rep(12) .. chunk(320) .. chunk(PCM) .. chunk(0)
    check(bytes, 5 * 500 + 200 + 60 + 6000 + 10 + 500, 24, #bytes)
  end)

  it("is nothing where nothing was written, or what was is none", function()
    check(nil, 0, 0, 0)
    check("", 0, 0, 0)
    check(("\0"):rep(100), 0, 0, 0)
  end)
end)
