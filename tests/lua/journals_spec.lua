-- SPDX-License-Identifier: Apache-2.0
--- Journals of calls in a real database: written with the row's end, kept as long as the tenant wants.
local world = require "data_world"
if not world then
  describe("kept journals", function() pending("need the host and a database of their own") end)
  return
end
local audit = require "audit"
local clock = require "core.clock"
local db = require "lib.db"
local journals = require "calls.journals"
local jobs = require "lib.jobs"
local store = require "calls.store"
local tenants = require "tenants"
local time = require "lib.time"

describe("kept journals", function()
  local tenant

  setup(function()
    world.begin{ "auth", "tenants" }
    tenant = tenants.create{ slug = "kept", name = "Kept", admin_email = "a@kept.example", admin_password = "a-Long-password" }
  end)

  before_each(function()
    audit.transaction(tenant, function(tx)
      store.set_journal_days(tx, 30)
      db.run(tx, "DELETE FROM `call`")
    end)
  end)

  local function end_call(name, days_ago)
    local at = time.sql(clock.wall_us() - (days_ago or 0) * 86400e6)
    return audit.transaction(tenant, function(tx)
      local id = db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', ?, 'ringing')", name, at).insert_id
      assert.is_true(store.update(tx, id, 5, { status = "completed", end_time = at, journal = "sealed", journal_at = at }))
      return id
    end)
  end

  local function has(id) return store.journal(tenant.db, id).journal ~= nil end

  it("go when they are older than the tenant wants, the younger ones stay", function()
    local old, young = end_call("c1", 31), end_call("c2", 29)
    assert.equal(1, journals.expire(tenant))
    assert.is_false(has(old))
    assert.is_true(has(young))
    audit.transaction(tenant, function(tx) journals.set_days(tx, 7) end)
    assert.equal(1, journals.expire(tenant))
    assert.is_false(has(young))
    assert.equal(0, journals.expire(tenant))
  end)

  it("go in batches, and all of them", function()
    local at = time.sql(clock.wall_us() - 40 * 86400e6)
    audit.transaction(tenant, function(tx)
      for i = 1, 450 do
        db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status, journal, journal_at) VALUES (?, 'inbound', ?, 'completed', 'x', ?)", "b" .. i, at, at)
      end
    end)
    assert.equal(450, journals.expire(tenant))
  end)

  it("are found by an index, however many calls there are", function()
    local plan = db.query(tenant.db, "EXPLAIN UPDATE `call` SET journal = NULL, journal_at = NULL WHERE journal_at < ? ORDER BY journal_at LIMIT 200", time.now())
    assert.equal("idx_journal_at", plan[1].key)
  end)

  it("are not even written for a tenant that wants none, whose call ends all the same", function()
    audit.transaction(tenant, function(tx) journals.set_days(tx, 0) end)
    local id = end_call("c3")
    assert.is_false(has(id))
    assert.equal("completed", store.by_public_id(tenant.db, "c3").status)
    assert.is_nil(db.query(tenant.db, "SELECT journal_at FROM `call` WHERE id = ?", id)[1].journal_at)
  end)

  it("have a job that comes again, put once", function()
    journals.expect(tenant)
    journals.expect(tenant)
    require("core.task").sleep(50)
    assert.equal("waiting", jobs.get(tenant.id, "calls.journals").state)
  end)
end)
