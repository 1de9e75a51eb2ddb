-- SPDX-License-Identifier: Apache-2.0
--- Events and audit rows by the hundred, with a real database: in order, numbered without a gap, chained.
require "stand_in"
local world = require "data_world"
if not world then
  describe("many events", function() pending("needs the host with a database") end)
  return
end
local audit = require "audit"
local db = require "lib.db"
local json = require "core.json"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local sequencer = require "audit.sequencer"
local store = require "audit.store"
local task = require "core.task"
local tenants = require "tenants"

local EVENTS, AUDITS = 1111, 310

local acme

local function rows(text, ...) return db.query(acme.db, text, ...) end

-- Runs fn while nobody else numbers: what it numbers by itself is looked at.
local function alone(fn)
  local kick = sequencer.kick
  sequencer.kick = function() end
  local ok, err = pcall(fn)
  sequencer.kick = kick
  if not ok then error(err, 0) end
end

local function statements_of(fn)
  local run, count = db.run, 0
  db.run = function(...)
    count = count + 1
    return run(...)
  end
  local ok, err = pcall(fn)
  db.run = run
  if not ok then error(err, 0) end
  return count
end

setup(function()
  world.begin{ "auth" }
  tenants.create{ slug = "acme", name = "acme", admin_email = "a@x.example", admin_password = "a-Long-password" }
  acme = tenants.get("acme")
  sequencer.settle()
  sequencer.sweep(acme)
end)

describe("many events", function()
  it("of one transaction are a few statements, and keep their order and what they say", function()
    alone(function()
      local events = {}
      for i = 1, EVENTS do
        events[i] = { type = "x.many", subject = "s" .. i, data = { n = i, text = [[q" \ ü 🎉]] }, trace = i % 2 == 0 and ("%032x"):format(i) or nil }
      end
      events[3].data, events[4].subject = nil, nil
      local count = statements_of(function()
        audit.transaction(acme, function(tx)
          audit.events(tx, events)
          return true
        end)
      end)
      assert.is_true(count <= 4, count .. " statements")
      local found = rows("SELECT id, subject, data, trace FROM outbox WHERE type = 'x.many' ORDER BY id")
      assert.equal(EVENTS, #found)
      for i, row in ipairs(found) do
        assert.equal(i == 4 and "" or "s" .. i, row.subject)
        assert.same(i == 3 and {} or { n = i, text = [[q" \ ü 🎉]] }, json.decode(row.data))
        assert.equal(i % 2 == 0 and ("%032x"):format(i) or nil, row.trace)
      end
    end)
  end)

  -- Sixty-four were a transaction of eight statements, so that who wrote many was soon far ahead of the numbers.
  it("were numbered 64 at a time", function()
    alone(function()
      local before = rows("SELECT seq FROM sequencer")[1].seq
      local count = statements_of(function() sequencer.sweep(acme) end)
      assert.is_true(count < 70, count .. " statements")
      local found = rows("SELECT seq, subject FROM event WHERE type = 'x.many' ORDER BY seq")
      assert.equal(EVENTS, #found)
      for i, row in ipairs(found) do assert.same({ before + i, i == 4 and "" or "s" .. i }, { row.seq, row.subject }) end
      local head = rows("SELECT seq, published FROM sequencer")[1]
      assert.same({ before + EVENTS, before + EVENTS }, { head.seq, head.published })
      assert.equal(0, rows("SELECT COUNT(*) AS n FROM outbox")[1].n)
    end)
  end)

  it("do not wait for one that another has written and not committed, which comes later", function()
    alone(function()
      local first = rows("SELECT seq FROM sequencer")[1].seq
      local is_repeated = false  -- a transaction that met a deadlock is run once more, and what was committed in it is not
      audit.transaction(acme, function(slow)
        audit.event(slow, { type = "x.slow", subject = "slow" })
        if is_repeated then return true end
        is_repeated = true
        audit.transaction(acme, function(tx)
          audit.events(tx, { { type = "x.fast", subject = "1" }, { type = "x.fast", subject = "2" } })
          return true
        end)
        sequencer.sweep(acme)
        return true
      end)
      sequencer.sweep(acme)
      local found = {}
      for i, row in ipairs(rows("SELECT subject FROM event WHERE seq > ? ORDER BY seq", first)) do found[i] = row.subject end
      assert.same({ "1", "2", "slow" }, found)
    end)
  end)
end)

describe("many audit rows", function()
  it("are one chain, each with its own hash", function()
    alone(function()
      local before = assert(audit.verify(acme))
      audit.transaction(acme, function(tx)
        for i = 1, AUDITS do audit.record(tx, { action = "x.do", subject = "s" .. i, fields = { "n" .. i } }) end
        return true
      end)
      sequencer.sweep(acme)
      assert.equal(before + AUDITS, audit.verify(acme))
      local found = rows("SELECT subject FROM audit_log WHERE seq > ? ORDER BY seq", before)
      for i, row in ipairs(found) do assert.equal("s" .. i, row.subject) end
    end)
  end)
end)

-- Sixteen of 600 KiB, as JSON in JSON, are more than the database takes in one packet.
describe("large events", function()
  local LARGE = 16
  local text = ('"'):rep(300 * 1024)

  it("of one transaction were written in one statement, which the database refused", function()
    alone(function()
      local events = {}
      for i = 1, LARGE do events[i] = { type = "x.large", subject = "l" .. i, data = { text = text } } end
      audit.transaction(acme, function(tx)
        audit.events(tx, events)
        return true
      end)
      assert.equal(LARGE, rows("SELECT COUNT(*) AS n FROM outbox WHERE type = 'x.large'")[1].n)
    end)
  end)

  it("were read and published in one piece", function()
    alone(function()
      local subjects, heard, longest = {}, {}, 0
      local subscription = redis.subscribe(rediskey("events:", "acme"), function(message)
        longest = math.max(longest, #message)
        for subject in message:gmatch('"subject":"(l%d+)"') do
          if not heard[subject] then subjects[#subjects + 1] = subject end
          heard[subject] = true
        end
      end)
      task.sleep(100)
      for _ = 1, 100 do  -- a busy Redis may answer too late, and is told once more
        sequencer.sweep(acme)
        if #subjects >= LARGE then break end
        task.sleep(50)
      end
      subscription:close()
      redis.call("DEL", rediskey("events:", "acme"))
      assert.equal(LARGE, #subjects)
      for i, subject in ipairs(subjects) do assert.equal("l" .. i, subject) end
      assert.is_true(longest < 2 * store.BATCH_BYTES, longest .. " bytes")
      assert.equal(text, json.decode(rows("SELECT data FROM event WHERE type = 'x.large' ORDER BY seq DESC LIMIT 1")[1].data).text)
    end)
  end)

  it("and audit rows were numbered by their count, however much they held", function()
    alone(function()
      local before = assert(audit.verify(acme))
      audit.transaction(acme, function(tx)
        for i = 1, LARGE do audit.record(tx, { action = "x.large", subject = "s" .. i, fields = { text } }) end
        return true
      end)
      local move, most = store.move_audit, 0
      store.move_audit = function(tx, pending, ...)
        local bytes = 0
        for _, row in ipairs(pending) do bytes = bytes + #row.fields end
        most = math.max(most, bytes)
        return move(tx, pending, ...)
      end
      local ok, err = pcall(sequencer.sweep, acme)
      store.move_audit = move
      assert.same({ true, nil }, { ok, err })
      assert.equal(before + LARGE, audit.verify(acme))
      assert.is_true(most <= store.BATCH_BYTES, most .. " bytes")
    end)
  end)

  -- A page was so many rows, of whatever size: 500 of the largest were more than the worker's memory.
  it("and audit rows were read by their count", function()
    for kind, list in pairs{ data = store.list_events, fields = store.list_audit } do
      local after, found, more = 0, {}, true
      while more do
        local page
        page, more = list(acme.db, after, 500)
        local bytes = 0
        for i, row in ipairs(page) do
          bytes = bytes + #row[kind]
          assert.is_true(i == 1 or bytes <= store.BATCH_BYTES, bytes .. " bytes")
          found[#found + 1], after = row[kind], row.seq
        end
      end
      local text_of, all = kind == "data" and "SELECT data AS text FROM event ORDER BY seq" or "SELECT fields AS text FROM audit_log ORDER BY seq", {}
      for i, row in ipairs(rows(text_of)) do all[i] = row.text end
      assert.same(all, found)
    end
  end)

  it("were whole in the stream, of which it held ten thousand", function()
    redis.call("DEL", rediskey("events:", "acme"))
    for i, subject in ipairs{ "small", "large" } do
      audit.transaction(acme, function(tx)
        audit.event(tx, { type = "x.stream", subject = subject, data = { text = ("x"):rep(i == 1 and 100 or sequencer.STREAM_EVENT_BYTES) } })
        return true
      end)
    end
    sequencer.settle()
    local entries
    for _ = 1, 100 do
      sequencer.sweep(acme)
      entries = redis.call("XRANGE", rediskey("events:", "acme"), "-", "+")
      if #entries >= 2 then break end
      task.sleep(50)
    end
    redis.call("DEL", rediskey("events:", "acme"))
    local kept = {}
    for i, entry in ipairs(entries) do kept[i] = json.decode(entry[2][2]) end
    assert.equal(2, #kept)
    assert.same({ "small", ("x"):rep(100) }, { kept[1].subject, kept[1].data.text })
    local seq = kept[1].seq + 1
    assert.same({ seq = seq, bytes = #sequencer.event_json(acme, rows("SELECT seq, type, subject, data, trace, `at` FROM event WHERE seq = ?", seq)[1]) }, kept[2])
  end)
end)

-- Whoever runs after us finds nobody numbering.
teardown(function()
  sequencer.settle()
  task.sleep(0)
end)
