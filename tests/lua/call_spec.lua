-- SPDX-License-Identifier: Apache-2.0
--- A call's own life, with database and Redis played here.
local audit = require "audit"
local Call = require "calls.call"
local db = require "lib.db"
local record = require "calls.record"
local recordings = require "calls.recordings"
local task = require "core.task"

describe("a call", function()
  local real, written

  local function make(fields)
    local call = { id = "c-n1-1-x", tenant = { id = 1, slug = "t", db = "t", key = ("k"):rep(32) }, slot = "n1.1", fence = 5, channel = "1.1",
      direction = "inbound", row_id = 7, gone_why = "hung up", up = true, answered_us = 1 }
    for name, value in pairs(fields or {}) do call[name] = value end
    return Call.new(call)
  end

  before_each(function()
    written = {}
    real = { transaction = audit.transaction, remove = record.remove, write = record.write, finish = recordings.finish }
    record.remove = function() written.removed = true return true end
    record.write = function() return true end
    recordings.finish = function() end
  end)

  after_each(function()
    audit.transaction, record.remove, record.write, recordings.finish = real.transaction, real.remove, real.write, real.finish
  end)

  -- It went on talking over the fallback.
  it("ends a conversation that no verb waits for when its state is left, the caller goes or the call moves", function()
    audit.transaction = function() return true end
    for _, leave in ipairs{ function(call) call:moved() end, function(call) call:happen("gone") end, function(call) call:happen("frozen") end, function(call) call:cut_short() end } do
      local call, ended = make(), 0
      call.left_talking = function()
        ended = ended + 1
        call.left_talking = nil
      end
      call:happen("digit", "1")
      assert.equal(0, ended)
      leave(call)
      assert.equal(1, ended)
    end
  end)

  -- It tried for ever, and the row stayed open.
  it("closes its row without what does not fit it", function()
    local failure = select(2, pcall(db.query, "no_such_schema", "SELECT nothing FROM nowhere"))
    failure.code = "invalid"
    local call = make{ failure = "a text that the database refuses" }
    audit.transaction = function(_, fn)
      return fn{ query = function(_, text)
        if text:find("UPDATE", 1, true) and text:find("`failure`", 1, true) then error(failure, 0) end
        table.insert(written, text)
        return { affected = 1, insert_id = 1 }
      end }
    end
    call:close()
    assert.truthy(written[1]:find("`end_time`", 1, true))
    assert.is_true(written.removed)
  end)

  -- Each stayed whole in memory, and counted as one that is up, until Redis was back.
  it("is not kept after its end while Redis is away, and its record goes when that is back", function()
    audit.transaction = function(_, fn) return fn{ query = function() return { affected = 1, insert_id = 1 } end } end
    local away, tried = true, {}
    record.remove = function(slot, id, fence)
      tried[id] = { slot, fence }
      if away then return nil, { code = "closed", text = "Redis is away" } end
      return true
    end
    local ended, left = { "c-n1-1-away", "c-n1-1-too" }, 0
    for _, id in ipairs(ended) do
      local call = make{ id = id }
      call.on_removed = function() left = left + 1 end
      call:close()
    end
    assert.equal(2, left)
    for _, id in ipairs(ended) do assert.is_true(record.is_due(id)) end
    task.sleep(600)
    assert.is_true(record.is_due(ended[1]))
    away = false
    task.sleep(700)
    for _, id in ipairs(ended) do
      assert.same({ "n1.1", 5 }, tried[id])
      assert.is_false(record.is_due(id))
    end
  end)

  -- Its end found a call that was over, so nobody closed it.
  it("is closed when its caller goes while a human is being called in", function()
    audit.transaction = function(_, fn) return fn{ query = function() return { affected = 1, insert_id = 1 } end } end
    local call = make()
    call.gone_why, call.acting = nil, { n = 1 }
    assert.is_true(call:escalate())
    call:on_gone("hung up")
    call.acting = nil
    task.sleep(100)
    assert.is_true(call.removed)
  end)

  it("is closed when its end breaks", function()
    audit.transaction = function(_, fn) return fn{ query = function() return { affected = 1, insert_id = 1 } end } end
    local call = make{ hash = "h" }
    call.gone_why = nil
    call.keep = function() error("broken") end
    call:on_gone("hung up")
    for _ = 1, 100 do  -- on a busy machine it takes longer
      if call.removed then break end
      task.sleep(20)
    end
    assert.is_true(call.removed)
  end)

  -- Two tasks waited for the same call: the fallback's words were spoken over a transfer that nobody ended.
  it("ends the verb that is under way before its fallback begins", function()
    local order = {}
    audit.transaction = function(_, fn) return fn{ query = function() return { affected = 1, insert_id = 1 } end } end
    local fallback = require "calls.fallback"
    local of, run = fallback.of, fallback.run
    fallback.of = function() return { hangup = true } end
    fallback.run = function() order[#order + 1] = "fallback" end
    local call = make()
    call.gone_why, call.hangup = nil, function() end
    call.acting = { n = 1 }
    task.spawn(function()
      order[#order + 1] = call:await({ dial_ended = true })
      call.acting = nil
    end)
    call:failed("strikes", "the script's process died twice")
    task.sleep(50)
    fallback.of, fallback.run = of, run
    assert.same({ "cut", "fallback" }, order)
  end)
end)

describe("a transfer that is taken up", function()
  local telephony = require "core.telephony"
  local transfer = require "calls.transfer"
  local real, asked

  before_each(function()
    real, asked = telephony.request, {}
  end)
  after_each(function() telephony.request = real end)

  local function call(fields)
    local made = { id = "c-n1-1-x", slot = "n1.1", legs = {}, tenant = {}, keep_head = function() end, next_play = 0,
      await = function() return "frozen" end, dial = { leg_id = "k", placed = true } }
    for name, value in pairs(fields or {}) do made[name] = value end
    return made
  end

  it("rings nobody twice when Asterisk does not answer at once", function()
    local answers = { false, false, 200 }
    telephony.request = function(_, method)
      asked[#asked + 1] = method
      local status = table.remove(answers, 1)
      if not status then return nil, { code = "closed", text = "the slot is not connected" } end
      return status, { state = "Ring" }
    end
    local _, err = transfer.run(call(), "+15550142", { timeout = 30, record = true }, "k", { resumed = true })
    assert.equal("frozen", err.code)
    assert.same({ "GET", "GET", "GET" }, asked)
  end)

  it("ends quietly where a fallback's number is no number", function()
    local fallback = require "calls.fallback"
    fallback.run(call(), { transfer = "+" .. ("1"):rep(100) })
    assert.same({}, asked)
  end)

  it("goes on with the second party that a predecessor's fallback had dialled", function()
    local fallback = require "calls.fallback"
    local act = require("calls.verbs").table
    local say, run = act.say, act.transfer
    local given
    act.say = function() asked[#asked + 1] = "say" return true end
    act.transfer = function(_, _, entry) given = entry return "answered" end
    fallback.run(call{ verbs = act, dial = { leg_id = "c-n1-1-x-fallback", answered = true } }, { say = "Please hold.", transfer = "+15550142" })
    act.say, act.transfer = say, run
    assert.is_true(given.resumed)
    assert.same({}, asked)
  end)
end)

describe("a verb that reads keys", function()
  -- It was told as one: the script asked on as if the caller had been silent.
  it("does not take a synthesiser's time-out for a caller who presses no key", function()
    local speech = require "speech"
    local audio = speech.audio
    speech.audio = function() return nil, { code = "timeout", text = "the program took longer than 15 s" } end
    local call = Call.new{ id = "c-n1-1-z", tenant = {}, slot = "n1.1", channel = "1.3", up = true }
    call.leg = {}
    local keys, err = require("calls.verbs").table.gather(call, { { prompt = "Your number?", timeout = 5, digits = 4, finish = "#", between = 3 } }, {})
    speech.audio = audio
    assert.is_nil(keys)
    assert.same({ code = "failed", text = "the program took longer than 15 s" }, err)
  end)
end)

describe("a recording", function()
  -- A key from before the tone stood in front of the one that ends it, which then had to be pressed twice.
  it("ends at its key, whatever was pressed before the tone", function()
    local verbs = require "calls.verbs"
    local open = recordings.open
    recordings.open = function()
      return { public_id = "rc_1", seconds_before = 0, close = function() end, seconds = function() return 1 end }
    end
    local call = Call.new{ id = "c-n1-1-z", tenant = {}, slot = "n1.1", channel = "1.3", up = true, digits = { "7", "#" } }
    call.leg = { play = function() return true end, stop = function() end }
    call.keep = function() return true end
    task.spawn(function()
      task.sleep(20)
      call:on_digit("1")
      call:on_digit("#")
    end)
    local result = verbs.table.record(call, { { seconds = 5, silence = 4, finish = "#" } }, {}, 1)
    recordings.open = open
    assert.equal("key", result.reason)
    assert.same({}, call.digits)
  end)
end)
