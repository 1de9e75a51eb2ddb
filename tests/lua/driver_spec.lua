-- SPDX-License-Identifier: Apache-2.0
--- The driver with a slot that is played here.
local db = require "lib.db"
local driver = require "calls.driver"
local record = require "calls.record"
local redis = require "core.redis"
local roster = require "calls.roster"
local task = require "core.task"
local telephony = require "core.telephony"
local trunks = require "calls.trunks"

describe("a slot that is taken", function()
  local real, handlers = {}, nil

  setup(function()
    real = { serve = telephony.serve, slot = telephony.slot, request = telephony.request, set_calls = telephony.set_calls, sweep = telephony.sweep,
      subscribe = redis.subscribe, listen = trunks.listen, reconcile = trunks.reconcile, whose = trunks.whose, list = record.list, read = record.read }
    telephony.serve = function(given) handlers = given end
    telephony.slot = function(name) return { name = name, node = "n1", app = "parley-1", fence = 9 } end
    telephony.request = function() return 404 end
    telephony.set_calls, telephony.sweep, trunks.listen, trunks.reconcile = function() end, function() end, function() end, function() end
    redis.subscribe = function() return { close = function() end } end
    driver.start()
  end)

  teardown(function()
    for name, fn in pairs(real) do
      local home = (name == "subscribe" and redis) or (name == "list" or name == "read") and record
        or (name == "listen" or name == "reconcile" or name == "whose") and trunks or telephony
      home[name] = fn
    end
  end)

  local function await(question)
    for _ = 1, 500 do
      if question() then return end
      task.sleep(10)
    end
    error("it did not happen within five seconds")
  end

  local channel = { id = "1.1", name = "PJSIP/t-1", state = "Up", dialplan = { exten = "+15550100", app_data = "parley-1,t1" } }

  -- The call that was up began again at its greeting.
  it("does not begin a call anew whose record could not be read", function()
    local begun = 0
    trunks.whose = function() begun = begun + 1 return nil, "no such number" end
    record.list = function() return { "c-n1-1-x" } end
    record.read = function() return nil, { code = "timeout", text = "Redis did not answer" } end
    handlers.on_ready("n1.1", true, "", { channel }, {})
    task.sleep(10)
    assert.equal(0, begun)
    record.list = function() return {} end
    telephony.request = function() return 404 end
    handlers.on_ready("n1.1", false, "", { channel }, {})
    task.sleep(10)
    assert.equal(1, begun)
  end)

  -- What Asterisk had told while the slot had no reader was handed on before anybody knew whose it was.
  it("hears the keys that were pressed while its calls were taken up", function()
    local flow, calls_store, write = require "flow", require "calls.store", record.write
    local resume, take = flow.resume, calls_store.take
    flow.resume, calls_store.take = function() end, function() end
    record.write = function() return true end
    record.list = function() task.sleep(5) return { "c-n1-1-y" } end
    record.read = function()
      task.sleep(5)
      return { tenant = { id = 1, slug = "t", db = "t" }, fence = 5, fields = { head = { id = "c-n1-1-y", channel = "1.2", direction = "inbound",
        status = "ringing", visit = 1, state = "a", hash = "h", row_id = 1 } } }
    end
    task.spawn(handlers.on_ready, "n1.1", true, "", { { id = "1.2", name = "PJSIP/t-2", state = "Ring" } }, {})
    for _, digit in ipairs{ "1", "2", "3" } do
      handlers.on_event("n1.1", { type = "ChannelDtmfReceived", digit = digit, channel = { id = "1.2" } })
    end
    await(function() return roster.find("c-n1-1-y") and #roster.find("c-n1-1-y").digits == 3 end)
    handlers.on_event("n1.1", { type = "ChannelDtmfReceived", digit = "4", channel = { id = "1.2" } })
    local call = roster.find("c-n1-1-y")
    assert.equal("1234", table.concat(call.digits))
    for _ = 1, 1000 do call:on_digit("5") end
    assert.equal(128, #call.digits)
    call:lost()
    flow.resume, calls_store.take, record.write = resume, take, write
  end)

  -- The second look ran beside the first and took each call up again: two heard its keys, and it was counted for ever.
  it("takes a call up once when it is dialled in again meanwhile", function()
    local flow, calls_store, write = require "flow", require "calls.store", record.write
    local resume, take, resumed = flow.resume, calls_store.take, 0
    flow.resume, calls_store.take = function() resumed = resumed + 1 end, function() end
    record.write = function() return true end
    record.list = function() return { "c-n1-1-z" } end
    record.read = function()
      task.sleep(5)
      return { tenant = { id = 1, slug = "t", db = "t" }, fence = 5, fields = { head = { id = "c-n1-1-z", channel = "1.3", direction = "inbound",
        status = "ringing", visit = 1, state = "a", hash = "h", row_id = 1 } } }
    end
    local before = roster.count()
    for _, first in ipairs{ true, false } do
      task.spawn(handlers.on_ready, "n1.1", first, "", { { id = "1.3", name = "PJSIP/t-3", state = "Ring" } }, {})
    end
    await(function() return resumed > 0 end)
    task.sleep(50)
    assert.equal(1, resumed)
    assert.equal(before + 1, roster.count())
    roster.find("c-n1-1-z"):lost()
    assert.equal(before, roster.count())
    flow.resume, calls_store.take, record.write = resume, take, write
  end)

  -- The successor had the calls' rows by then, and what was not written was refused.
  it("is given away when what was said in its calls is written", function()
    local flow, calls_store, keeping, transcript = require "flow", require "calls.store", require "calls.keeping", require "calls.transcript"
    local resume, take, write, write_all, hold, insert = flow.resume, calls_store.take, record.write, record.write_all, calls_store.hold, calls_store.utterances_insert
    local of, expect, transaction, flushed = keeping.of, keeping.expect, db.transaction, telephony.flushed
    local order = {}
    flow.resume, calls_store.take, keeping.expect = function() end, function() end, function() end
    record.write, record.write_all = function() return true end, function() return true end
    keeping.of = function() return { masks = {} } end
    calls_store.hold, calls_store.utterances_insert = function() return true end, function(_, _, rows) order[#order + 1] = #rows end
    db.transaction = function(_, fn)
      task.sleep(30)
      return fn{}
    end
    telephony.flushed = function() order[#order + 1] = "flushed" end
    record.list = function() return { "c-n1-1-said" } end
    record.read = function()
      return { tenant = { id = 1, slug = "t", db = "t", key = ("k"):rep(32) }, fence = 5, fields = { head = { id = "c-n1-1-said", channel = "1.7", direction = "inbound",
        status = "ringing", visit = 1, state = "a", hash = "h", row_id = 1 } } }
    end
    handlers.on_ready("n1.1", true, "", { { id = "1.7", name = "PJSIP/t-7", state = "Ring" } }, {})
    local call = roster.find("c-n1-1-said")
    transcript.add(call, { n = 1, party = "caller", text = "It is 4711" })
    handlers.on_giving("n1.1")
    await(function() return order[#order] == "flushed" end)
    roster.slot("n1.1").giving = nil
    call:lost()
    flow.resume, calls_store.take, record.write, record.write_all, calls_store.hold, calls_store.utterances_insert = resume, take, write, write_all, hold, insert
    keeping.of, keeping.expect, db.transaction, telephony.flushed = of, expect, transaction, flushed
    assert.same({ 1, "flushed" }, order)
  end)

  -- Its removal was final for the very fence with which the call began again: nobody had it then.
  it("leaves room for a call that goes on though its record has no head", function()
    local tenant, id = { id = 1, slug = "t", db = "t", key = ("k"):rep(32) }, ("c-n1-1-headless%d"):format(os.time())
    while not redis.call("PING") do task.sleep(10) end
    assert.is_true(record.write(tenant, "n1.1", id, 5, { digits = "1" }))
    record.list = function() return { id } end
    record.read = function() return { tenant = tenant, fence = 5, fields = { digits = "1" } } end
    handlers.on_ready("n1.1", false, "", {}, {})
    assert.is_false(record.exists("n1.1", id))
    local _, err = record.write(tenant, "n1.1", id, 5, { digits = "12" })
    assert.equal("stale", err.code)
    assert.is_true(record.write(tenant, "n1.1", id, 9, { head = { visit = 1 } }))
    assert.is_true(record.remove("n1.1", id, 9))
  end)
end)
