-- SPDX-License-Identifier: Apache-2.0
--- Whose call it is, from what a carrier says. The rows are played here.
require "stand_in"
if require("core.sql").stand_in then
  describe("trunks", function() pending("runs in the host") end)
  return
end
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local timer = require "core.timer"
local trunks = require "calls.trunks"

describe("trunks", function()
  local real, asked

  before_each(function()
    real, asked = { trunk = store.trunk, number = store.number, get = tenants.get }, 0
    store.trunk = function(id) return id == 1 and { id = 1, tenant_id = 7, name = "carrier" } or nil end
    store.number = function(e164)
      asked = asked + 1
      return e164 == "+15550100" and { tenant_id = 7 } or e164 == "+15550200" and { tenant_id = 8 } or nil
    end
    tenants.get = function() return { id = 7, status = "active" } end
    trunks.forget()
  end)
  after_each(function()
    store.trunk, store.number, tenants.get = real.trunk, real.number, real.get
    trunks.forget()
  end)

  it("say why a call is nobody's in few words: dialled numbers filled the page of metrics", function()
    assert.same({ nil, "trunk_unknown" }, { trunks.whose("t9", "+15550100") })
    assert.same({ nil, "number_of_another" }, { trunks.whose("t1", "+15550200") })
    for n = 1, 50 do assert.same({ nil, "number_unknown" }, { trunks.whose("t1", "+1999" .. n) }) end
    assert.equal(7, trunks.whose("t1", "15550100").id)
  end)

  it("ask the database once for calls of one moment, and forget numbers that nobody has", function()
    for _ = 1, 3 do trunks.whose("t1", "+15550100") end
    assert.equal(1, asked)
    for n = 1, 5000 do trunks.whose("t1", "+1888" .. n) end
    collectgarbage()
    local before = collectgarbage("count")
    for n = 1, 50000 do trunks.whose("t1", "+1777" .. n) end
    collectgarbage()
    assert.is_true(collectgarbage("count") - before < 2048)
  end)
end)

-- A node that is played here, told over a Redis that is real.
describe("a node", function()
  local real, rows, taken, looks, again, hears, answer, at
  local node = "n1"

  local function key(name) return rediskey(name, node) end

  -- Another worker: one more who listens and looks.
  local function join(slots) trunks.listen(slots or function() return { [node] = "n1.1" } end) end

  local function look(who) looks[who or 1]() end

  local function await(question)
    for _ = 1, 2000 do
      if question() then return true end
      task.sleep(5)
    end
    error("it did not come within ten seconds")
  end

  -- Nobody tells it any more, and all is told that can be.
  local function settled()
    return redis.call("EXISTS", key "trunk-telling:") == 0
      and redis.call("GET", key "trunks-told:") == (redis.call("ZREVRANGE", rediskey "trunks:versions", 0, 0, "WITHSCORES")[2] or "0")
  end

  -- Of which trunks endpoints were made, in that order.
  local function told() return table.concat(taken, " ") end

  local function change(id)
    rows[id] = rows[id] or { id = id, tenant_id = 7, name = "carrier", match = "192.0.2." .. id }
    assert.is_true(trunks.changed(rows[id]))
  end

  before_each(function()
    real = { trunk = store.trunk, after = store.trunks_after, subscribe = redis.subscribe, call = redis.call, pipeline = redis.pipeline,
      request = telephony.request, slot = telephony.slot, every = timer.every }
    while not redis.call("PING") do task.sleep(10) end
    redis.call("DEL", rediskey "trunks:versions")
    for _, name in ipairs{ "trunks-told:", "trunk-telling:", "trunks-refused:" } do redis.call("DEL", key(name)) end
    redis.call("DEL", rediskey("trunks:", node, ":then"))
    rows, taken, looks, again, hears, at = {}, {}, {}, {}, {}, { node = node }
    store.trunk = function(id) return rows[id] end
    store.trunks_after = function(after)
      local found = {}
      for id, row in pairs(rows) do
        if id > after then found[#found + 1] = row end
      end
      table.sort(found, function(a, b) return a.id < b.id end)
      return found
    end
    redis.subscribe = function(_, fn) hears[#hears + 1] = fn end
    timer.every = function(ms, fn)
      if ms < 30000 then looks[#looks + 1] = fn else again[#again + 1] = fn end
    end
    answer = function() return 200 end
    telephony.slot = function() return at end
    telephony.request = function(_, method, path)
      local id = path:match("/endpoint/t(%d+)$")
      local status, body = answer(method, path, tonumber(id))
      if status ~= 200 or method == "PUT" then
        if status == 200 and id then taken[#taken + 1] = id end
        return status, body
      end
      if path == "/asterisk/info" then return 200, { status = { startup_time = "then" } } end
      return 404
    end
    join()
  end)

  after_each(function()
    store.trunk, store.trunks_after, redis.subscribe, redis.call, redis.pipeline = real.trunk, real.after, real.subscribe, real.call, real.pipeline
    telephony.request, telephony.slot, timer.every = real.request, real.slot, real.every
  end)

  -- Told all there is: from here on changes are told one by one.
  local function begin()
    look()
    await(settled)
    taken = {}
  end

  -- No worker's subscription was up in that moment: the node refused the trunk's calls until it was started again.
  it("is told at the next look of a change that nobody has heard", function()
    begin()
    change(1)
    assert.equal("", told())
    look()
    await(settled)
    assert.equal("1", told())
  end)

  it("is told at once of a change that is heard", function()
    begin()
    change(1)
    hears[1]("1")
    await(settled)
    assert.equal("1", told())
  end)

  it("costs two values at a look when there is nothing to tell", function()
    begin()
    local asked = {}
    redis.call = function(command) asked[#asked + 1] = command end
    redis.pipeline = function(list)
      for _, command in ipairs(list) do asked[#asked + 1] = command[1] end
      return real.pipeline(list)
    end
    look()
    task.sleep(50)
    redis.call, redis.pipeline = real.call, real.pipeline
    assert.same({ "GET", "ZREVRANGE" }, asked)
  end)

  -- It was tried six times within some twenty seconds, and never again.
  it("that is busy is told later, in order, and of each trunk as it is by then", function()
    begin()
    answer = function() return nil, { code = "stale", text = "the slot is in motion" } end
    for _, id in ipairs{ 3, 1, 2, 3 } do change(id) end
    for _ = 1, 10 do
      look()
      await(function() return redis.call("EXISTS", key "trunk-telling:") == 0 end)
    end
    task.sleep(20)
    rows[2] = nil
    change(4)
    local free
    answer = function(_, path)
      if path:find("/t4") and not free then return 503 end
      return 200
    end
    look()
    await(function() return told() == "1 3" end)
    await(function() return redis.call("EXISTS", key "trunk-telling:") == 0 end)
    free = true
    look()
    await(settled)
    assert.equal("1 3 4", told())
  end)

  it("whose teller has died is told by another when the teller's time is over", function()
    begin()
    change(1)
    redis.call("SET", key "trunk-telling:", "dead", "PX", 300)
    look()
    task.sleep(100)
    assert.equal("", told())
    await(function()
      look()
      return settled()
    end)
    assert.equal("1", told())
  end)

  it("is told by one at a time; who is late neither says what another tells nor ends his time", function()
    begin()
    join()
    change(1)
    change(2)
    local stuck, held = 0, true
    answer = function(_, _, id)
      if id == 1 and stuck == 0 then
        stuck = 1
        while held do task.sleep(5) end
      end
      return 200
    end
    look(1)
    await(function() return stuck == 1 end)
    local left = redis.call("TTL", key "trunk-telling:")
    assert.is_true(left > 0 and left <= 30)
    look(2)
    task.sleep(50)
    assert.equal("", told())
    redis.call("SET", key "trunk-telling:", "another")  -- the first one's time is over
    local before = redis.call("GET", key "trunks-told:")
    held = false
    await(function() return told() == "1" end)
    task.sleep(50)
    assert.equal("another", redis.call("GET", key "trunk-telling:"))
    assert.equal(before, redis.call("GET", key "trunks-told:"))
    redis.call("DEL", key "trunk-telling:")
    look(2)
    await(settled)
    assert.equal("1 1 2", told())
  end)

  it("is told once by two workers who hear of it together", function()
    begin()
    join()
    for id = 1, 5 do change(id) end
    hears[1]("1")
    hears[2]("1")
    await(settled)
    assert.equal("1 2 3 4 5", told())
  end)

  it("that refuses one trunk is told of the others at once, and asked again and again until it takes it", function()
    begin()
    local refusing, asked = true, 0
    answer = function(_, _, id)
      if id == 1 then asked = asked + 1 end
      return id == 1 and refusing and 403 or 200, {}
    end
    change(1)
    change(2)
    look()
    await(settled)
    assert.equal("2", told())
    look()
    task.sleep(50)
    assert.equal(1, asked)
    again[1]()
    await(function() return asked == 2 and settled() end)
    refusing = false
    again[1]()
    await(function() return told() == "2 1" and settled() end)
    again[1]()
    task.sleep(50)
    assert.equal(3, asked)
  end)

  it("is told of all trunks when Redis has forgotten, all or only what was changed", function()
    begin()
    change(1)
    change(2)
    redis.call("DEL", rediskey "trunks:versions", key "trunks-told:")
    look()
    await(settled)
    assert.equal("1 2", told())
    change(3)
    look()
    await(settled)
    redis.call("DEL", rediskey "trunks:versions")
    look()
    await(settled)
    assert.equal("1 2 3 1 2 3", told())
  end)

  it("is told of all trunks once for each of its starts, also when somebody was telling it", function()
    change(1)
    change(2)
    redis.call("SET", key "trunk-telling:", "another", "PX", 200)
    trunks.reconcile("n1.1")
    await(settled)
    trunks.reconcile("n1.1")
    look()
    task.sleep(50)
    assert.equal("1 2", told())
  end)

  it("is told at its start by whoever looks next when the first who came lost his slot", function()
    change(1)
    change(2)
    answer = function(_, _, id)
      if id == 2 then return nil, { code = "stale", text = "the slot is in motion" } end
      return 200
    end
    trunks.reconcile("n1.1")
    assert.equal(0, redis.call("EXISTS", key "trunks-told:"))
    answer = function() return 200 end
    look()
    await(settled)
    assert.equal("1 1 2", told())
    at = nil
    trunks.reconcile("n1.1")  -- ends: it is another's
  end)

  it("is not said to be told when Redis does not answer", function()
    local script = getmetatable(redis.script "return 1").__index
    local call = script.call
    script.call = function() return nil, { code = "closed", text = "Redis is away" } end
    local ok, err = trunks.changed{ id = 1 }
    script.call = call
    assert.is_nil(ok)
    assert.equal("closed", err.code)
  end)
end)
