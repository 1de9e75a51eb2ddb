-- SPDX-License-Identifier: Apache-2.0
--- What the database does not take of the ledger, and what becomes of all the rest.
local money = require "ai_money_world"
if not money then
  describe("ai ledger", function() pending("needs the host with a database") end)
  return
end
local config = require "core.config"
local db = require "lib.db"
local json = require "core.json"
local log = require "core.log"
local sql = require "core.sql"
local store = require "ai.ledger.store"
local task = require "core.task"

local acme, rows, spend = nil, money.rows, money.spend
local error_log, warn_log = log.error, log.warn
local said = {}

local function jobs_of(kind)
  return assert(sql.query(config.sql.schema, "SELECT `key`, payload, state FROM job WHERE kind = ?", kind))
end

local function count(text) return rows("SELECT COUNT(*) AS n FROM " .. text)[1].n end

-- What a promise was given, or nil when it is not within some seconds.
local function outcome(written)
  for _ = 1, 100 do
    if written:given() then return (written:wait()) end
    task.sleep(100)
  end
end

setup(function()
  money.begin()
  acme = money.acme
end)

teardown(money.finish)

before_each(function()
  money.clean()
  assert(sql.query(config.sql.schema, "DELETE FROM job WHERE kind = 'ai.ledger'"))
  said = {}
  log.error = function(event, fields) said[event] = fields end
  log.warn = log.error
end)

after_each(function() log.error, log.warn = error_log, warn_log end)

describe("an attempt that can never be written", function()
  local too_long = { key_id = ("k"):rep(90) }      -- for its column
  local no_text = { trace = "\255\254" }           -- and so no JSON either

  it("kept all others of its tenant from being written", function()
    for _, bad in ipairs{ too_long, no_text } do
      money.clean()
      local one, limits = money.worker("w1"), money.day_limit(1e9)
      local written
      for i = 1, 100 do written = spend(one, limits, 10, i == 37 and bad or nil) end
      assert.is_false(outcome(written))
      assert.equal(99, count"ai_call")
      assert.is_truthy(said["ai.entry_set_aside"])
      assert.equal(0, one.ledger.waiting(acme))
    end
  end)

  it("is set aside where an operator sees it, once others show that the rest is in order", function()
    local one, limits = money.worker("w1"), money.day_limit(1e9)
    local written = spend(one, limits, 10, too_long)
    task.sleep(2600)
    assert.is_false(written:given())
    assert.same({}, jobs_of"ai.ledger")
    assert.is_true(spend(one, limits, 20):wait())
    assert.is_false(outcome(written))
    local line = said["ai.entry_set_aside"]
    assert.same({ "acme", too_long.key_id }, { line.tenant, json.decode(line.entry).row.key_id })
    local job = jobs_of"ai.ledger"[1]
    assert.same({ line.job, "waiting" }, { job.key, job.state })
    assert.equal(20, rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros)
    task.sleep(2500)  -- and its share is nobody's
    assert.equal(0, tonumber(rows("SELECT COALESCE(SUM(micros), 0) AS n FROM ai_share")[1].n))
    -- When the reason is gone the job writes it, once, on its own day.
    local entry = json.decode(job.payload)
    entry.row.key_id, entry.row.created_at = "ak_x", "2026-01-02 03:04:05.000000"
    for _ = 1, 2 do require("ai.ledger").write_again(acme, entry) end
    assert.equal(2, count"ai_call")
    assert.equal(10, rows("SELECT micros FROM ai_spend WHERE scope = 'all' AND period = '2026-01-02'")[1].micros)
  end)

  it("is not told from others while none can be written, and none is set aside", function()
    local add = store.add_calls
    store.add_calls = function() db.fail{ code = "invalid", text = "Unknown column", number = 1054 } end
    local one, written = money.worker("w1"), nil
    for _ = 1, 50 do written = spend(one, {}, 10) end
    one.ledger.answer(acme, { answer_key = one.ledger.key(), purpose = "api", attempts = 1, ms = 1 })
    task.sleep(5000)
    store.add_calls = add
    assert.is_false(written:given())
    assert.is_true(outcome(written))
    assert.same({ 50, 500 }, { count"ai_call", rows("SELECT micros FROM ai_spend WHERE scope = 'all' LIMIT 1")[1].micros })
    assert.is_true(one.ledger.settle(3000))
    assert.same({}, jobs_of"ai.ledger")
  end)

  -- It left the ledger all the same, and was in no sum and in no job.
  it("stays where it is while its job cannot be put", function()
    local jobs = require "lib.jobs"
    local put, tried = jobs.put, 0
    jobs.put = function(job)
      if job.kind ~= "ai.ledger" then return put(job) end
      tried = tried + 1
      db.fail{ code = "closed", text = "away" }
    end
    local one, limits = money.worker("w1"), money.day_limit(1e9)
    local written = spend(one, limits, 10, too_long)
    task.sleep(500)
    spend(one, limits, 20):wait()
    for _ = 1, 80 do
      if tried > 0 then break end
      task.sleep(100)
    end
    task.sleep(50)
    jobs.put = put
    assert.same({ 1, 1, false }, { tried, one.ledger.waiting(acme), written:given() })
    assert.is_nil(said["ai.entry_set_aside"])
    assert.is_false(outcome(written))
    assert.equal(1, #jobs_of"ai.ledger")
    assert.equal(0, one.ledger.waiting(acme))
  end)

  it("is set aside before its worker ends", function()
    local one = money.worker("w1")
    spend(one, {}, 10, too_long)
    assert.is_false(one.ledger.settle(300))
    assert.equal(1, #jobs_of"ai.ledger")
    assert.equal(0, one.ledger.waiting(acme))
  end)
end)
