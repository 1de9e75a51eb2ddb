-- SPDX-License-Identifier: Apache-2.0
--- Rendered prompts in a real database's world: for how long they are kept, and that a tenant's go with it.
local world = require "data_world"
if not world then
  describe("rendered prompts", function() pending("need the host and a database of their own") end)
  return
end
local audit = require "audit"
local blob = require "core.blob"
local clock = require "core.clock"
local db = require "lib.db"
local jobs = require "lib.jobs"
local json = require "core.json"
local keeping = require "calls.keeping"
local renderings = require "speech.renderings"
local task = require "core.task"
local tenants = require "tenants"

local RENDERING = { rate = 8000, marks = json.array{}, pcm = ("\1\0"):rep(800) }

describe("rendered prompts", function()
  local tenant, other
  local wall_us = clock.wall_us

  setup(function()
    world.begin{ "auth", "tenants", "calls" }
    tenant = tenants.create{ slug = "says", admin_email = "a@says.example", admin_password = "a-Long-password" }
    other = tenants.create{ slug = "speaks", admin_email = "a@speaks.example", admin_password = "a-Long-password" }
    keeping.start()
  end)

  before_each(function()
    for _, one in ipairs{ tenant, other } do renderings.write(one, renderings.name(one, { "Good day, Ms Mustermann" }), RENDERING) end
  end)
  after_each(function() clock.wall_us = wall_us end)

  local function count(of) return #assert(blob.older("speech/" .. of.id, os.time() + 1000, 10)) end

  local function expire_after(days)
    clock.wall_us = function() return wall_us() + days * 86400e6 end
    keeping.expire(tenant)
    clock.wall_us = wall_us
  end

  local function keep_transcripts(days)
    audit.transaction(tenant, function(tx)
      local settings = keeping.read(tenant, tx)
      settings.transcriptDays = days
      keeping.set(tx, settings)
    end)
  end

  it("go after thirty days, and only the tenant's whose turn it is", function()
    keep_transcripts(365)
    expire_after(29)
    assert.equal(1, count(tenant))
    expire_after(31)
    assert.equal(0, count(tenant))
    assert.equal(1, count(other))
  end)

  it("are no older than what is kept of what was said", function()
    keep_transcripts(2)
    expire_after(1)
    assert.equal(1, count(tenant))
    expire_after(3)
    assert.equal(0, count(tenant))
  end)

  it("go when the tenant is closed, and not when it is suspended", function()
    local function set(status)
      tenants.set_status(tenant, status, "operator", nil, function(fn) db.transaction(db.platform(), fn) end)
      tenant = tenants.get("says")
      assert.equal(status, tenant.status)
      for _ = 1, 100 do
        jobs.look()
        if count(tenant) == 0 then return end
        task.sleep(10)
      end
    end
    set "suspended"
    assert.equal(1, count(tenant))
    set "closed"
    assert.equal(0, count(tenant))
    assert.equal(1, count(other))
  end)
end)
