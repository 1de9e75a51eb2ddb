-- SPDX-License-Identifier: Apache-2.0
--- /ws for clients that do not read. The rows are played here; Redis is the host's.
require "stand_in"
if require("core.sql").stand_in then
  describe("the stream of events", function() pending("runs in the host") end)
  return
end
local json = require "core.json"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local router = require "lib.router"
local sequencer = require "audit.sequencer"
local store = require "audit.store"
local stream = require "audit.stream"
local task = require "core.task"

describe("the stream of events", function()
  local real, rows, read, slug

  local function join(after)
    local client = { got = {}, waits = 0 }
    local ws = {
      send = function(_, text)
        client.got[#client.got + 1] = json.decode(text)
        return true
      end,
      queued = function() return client.waits end,
      close = function(_, code) client.code = code end,
    }
    client.handler = stream.open{ query = { after = after }, slug = slug, user = { id = "us_1", role = "admin", tenant = slug } }
    client.handler.on_open(ws)
    function client.seqs()
      local found = {}
      for _, message in ipairs(client.got) do
        if message.type == "spec" then found[#found + 1] = message.seq end
      end
      return found
    end
    return client
  end

  local function eventually(fn)
    for _ = 1, 1000 do
      if fn() then return end
      task.sleep(5)
    end
  end

  local function subscribed()
    eventually(function()
      local counts = redis.call("PUBSUB", "NUMSUB", rediskey("events:", slug))  -- nil until this program is connected
      return counts and counts[2] > 0
    end)
    task.sleep(50)  -- the other channel's follows
  end

  -- What one client reads says that the others could have read it.
  local function happen(reader)
    rows[#rows + 1] = { seq = #rows + 1 }
    redis.call("PUBLISH", rediskey("events:", slug), #rows .. "\n" .. json.encode{ type = "spec", seq = #rows })
    eventually(function()
      local seqs = reader.seqs()
      return seqs[#seqs] == #rows
    end)
  end

  local count = 0
  before_each(function()
    count = count + 1
    slug = "spec-stream-" .. count
    rows, read = {}, 0
    real = { store.list_events, store.newest, sequencer.event_json, router.tenant }
    store.newest = function() return { seq = #rows } end
    store.list_events = function(_, after, most)
      read = read + 1
      local found = {}
      for seq = after + 1, math.min(#rows, after + most) do found[#found + 1] = rows[seq] end
      task.sleep(2)
      return found, #found == most
    end
    sequencer.event_json = function(_, row) return json.encode{ type = "spec", seq = row.seq } end
    router.tenant = function() return { slug = slug, db = "x" } end
  end)
  after_each(function() store.list_events, store.newest, sequencer.event_json, router.tenant = unpack(real) end)

  it("holds nothing for a client that does not read, and goes on at its place when it does", function()
    local slow, quick = join(), join()
    subscribed()
    happen(slow)
    slow.waits = 1e6
    for _ = 1, 5 do happen(quick) end
    assert.same({ 1 }, slow.seqs())
    assert.same({ 1, 2, 3, 4, 5, 6 }, quick.seqs())
    slow.waits = 0
    slow.handler.on_drain()
    assert.same({ 1, 2, 3, 4, 5, 6 }, slow.seqs())
    happen(slow)
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, slow.seqs())
    assert.is_nil(slow.code)
    slow.handler.on_close(1000)
    quick.handler.on_close(1000)
  end)

  it("reads what a client missed page by page, and no page before it has taken the last", function()
    for seq = 1, 1000 do rows[seq] = { seq = seq } end
    local slow = join("0")
    assert.equal(1000, #slow.seqs())
    slow.handler.on_close(1000)
    local stuck = join("1000")
    subscribed()
    stuck.waits = 1e6
    for seq = 1001, 1500 do rows[seq] = { seq = seq } end
    local quick = join("1500")
    happen(quick)  -- the hub has caught up, the client has not
    quick.handler.on_close(1000)
    read = 0
    stuck.handler.on_drain()  -- but still does not read
    assert.is_true(read <= 1)
    assert.equal(0, #stuck.seqs())
    stuck.waits = 0
    stuck.handler.on_drain()
    assert.equal(501, #stuck.seqs())
    assert.equal(1501, stuck.seqs()[501])
    stuck.handler.on_close(1000)
  end)

  it("repairs live events that a slow client missed by another snapshot", function()
    local slow = join()
    subscribed()
    slow.waits = 1e5  -- too much for live events, not for durable ones
    redis.call("PUBLISH", rediskey("live:", slug), json.encode{ type = "live", n = 1 })
    task.sleep(20)
    happen(slow)
    assert.same({ 1 }, slow.seqs())
    slow.waits = 0
    slow.handler.on_drain()
    local last = slow.got[#slow.got]
    assert.equal("snapshot", last.type)
    assert.equal(1, last.seq)
    happen(slow)
    assert.same({ 1, 2 }, slow.seqs())
    slow.handler.on_close(1000)
  end)
end)
