-- SPDX-License-Identifier: Apache-2.0
--- The list of live calls for many clients at once. The rows are played here.
require "stand_in"
if require("core.sql").stand_in then
  describe("the list of live calls", function() pending("runs in the host") end)
  return
end
local json = require "core.json"
local live = require "calls.live"
local store = require "calls.store"
local task = require "core.task"

describe("the list of live calls", function()
  local real, built, sent, rows

  local function join(full)
    local client = { got = {} }
    local ws = {
      send = function(_, text)
        if full then return nil, { code = "limit" } end
        sent = sent + 1
        client.got[#client.got + 1] = json.decode(text)
        return true
      end,
      queued = function() return client.waits or 0 end,
      close = function(_, code) client.code = code end,
    }
    client.handler = live.handler("spec", function() return { slug = "spec", db = "x" } end)
    task.spawn(client.handler.on_open, ws)
    return client
  end

  before_each(function()
    real, built, sent = store.active, 0, 0
    rows = { { public_id = "c-1", direction = "inbound", status = "connected", start_time = "2026-01-01 00:00:00", our_number = "+1" } }
    store.active = function()
      built = built + 1
      task.sleep(20)
      return rows
    end
  end)
  after_each(function() store.active = real end)

  it("is built once for all who come at the same moment, and sent to each once", function()
    local clients = {}
    for i = 1, 200 do clients[i] = join() end
    task.sleep(200)
    assert.equal(1, built)
    assert.equal(200, sent)
    assert.equal("c-1", clients[200].got[1].calls[1].id)
    clients[201] = join()
    task.sleep(50)
    assert.equal(1, #clients[201].got)
    task.sleep(1200)  -- who came while it was built has it looked at once more; nothing has changed
    assert.equal(201, sent)
    for _, client in ipairs(clients) do client.handler.on_close() end
  end)

  it("leaves a slow client out and gives it the newest list when it reads again", function()
    local slow, quick = join(), join()
    task.sleep(100)
    slow.waits = 100000  -- its first list has not gone out
    for i = 2, 4 do
      rows[i] = { public_id = "c-" .. i, direction = "inbound", status = "connected", start_time = "2026-01-01 00:00:00", our_number = "+1" }
      join().handler.on_close()  -- has the list looked at once more
      task.sleep(1100)
    end
    assert.equal(1, #slow.got)
    assert.is_true(#quick.got >= 3)
    slow.waits = 0
    slow.handler.on_drain()
    assert.equal(2, #slow.got)
    assert.equal(4, slow.got[2].count)
    slow.handler.on_drain()  -- it has the newest
    assert.equal(2, #slow.got)
    slow.handler.on_close()
    quick.handler.on_close()
  end)

  it("ends a client that takes no more, so that it comes back for the newest", function()
    local slow = join(true)
    task.sleep(50)
    assert.equal(1013, slow.code)
    slow.handler.on_close()
  end)
end)
