-- SPDX-License-Identifier: Apache-2.0
--- Limits that a tenant has of its own, by the API, with a database and Redis.
local world = require "data_world"
if not world then
  describe("limits of a tenant", function() pending("runs in the host, with sql.schema = \"..._test\"") end)
  return
end

local auth = require "auth"
local cells = require "scripts.cells"
local config = require "core.config"
local db = require "lib.db"
local json = require "core.json"
local quota = require "scripts.quota"
local scripts = require "scripts"
local sql = require "core.sql"
local task = require "core.task"
local tenants = require "tenants"
local watch = require "scripts.watch"

local ask = world.ask

describe("limits of a tenant", function()
  setup(function()
    world.token = nil
    world.begin{ "auth", "tenants" }
    tenants.create{ slug = "heavy", name = "Heavy", admin_email = "admin@heavy.test", admin_password = "a-long-password" }
    auth.put_operator("root@limits.test", "an-operator-password")
    world.token = world.login("root@limits.test", "an-operator-password")
  end)
  teardown(function() world.token = nil end)

  local function set(limits) return ask("PUT", "/admin/tenants/heavy/limits", limits) end

  it("hold instead of the configuration's, and go when they are taken back", function()
    local own = { verbs_per_second = 7, cells = { share_percent = 80, hard_mb = 128 } }
    local status, body = set(own)
    assert.equal(200, status)
    assert.same(own, body.limits)
    local tenant = tenants.get("heavy")
    assert.equal(7, quota.per_second(tenant))
    assert.same({ tenant = tenant.id, share_percent = 80, hard_mb = 128 }, watch.budget(tenant))
    local _, shown = ask("GET", "/admin/tenants/heavy")
    assert.same(own, shown.limits)
    assert.equal(200, (set{ cells = json.decode("{}") }))
    tenant = tenants.get("heavy")
    assert.is_nil(tenant.limits)
    assert.equal(config.limits.verbs_per_second, quota.per_second(tenant))
    assert.same({ tenant = tenant.id }, watch.budget(tenant))
  end)

  it("are in the audit, with those before them", function()
    set{ verbs_per_second = 5 }
    set{ verbs_per_second = 6 }
    local rows = sql.query(db.platform(), "SELECT subject, actor, fields FROM audit_log WHERE action = 'tenant.limits' ORDER BY id DESC LIMIT 1")
    assert.equal("heavy", rows[1].subject)
    assert.is_true(#rows[1].actor > 3)
    assert.same({ limits = { verbs_per_second = 6 }, before = { verbs_per_second = 5 } }, json.decode(rows[1].fields))
  end)

  it("are refused with their place where they make no sense, and those before stay", function()
    set{ verbs_per_second = 5 }
    for _, wrong in ipairs{ { { cells = { share_percent = 101 } }, "#/cells/share_percent" }, { { cells = { speed = 3 } }, "#/cells/speed" },
      { { verbs_per_second = 0.5 }, "#/verbs_per_second" }, { { cells = { soft_mb = 100, hard_mb = 50 } }, "#/cells/soft_mb" },
      { { cells = { hard_mb = config.cells.soft_mb - 1 } }, "#/cells/soft_mb" } } do
      local status, body = set(wrong[1])
      assert.equal(422, status)
      assert.equal(wrong[2], body.errors[1].pointer)
    end
    assert.same({ verbs_per_second = 5 }, tenants.get("heavy").limits)
    assert.equal(404, (ask("PUT", "/admin/tenants/nobody/limits", {})))
  end)

  it("are not for the tenant's own admin to set", function()
    local operators = world.token
    world.token = world.login("admin@heavy.test", "a-long-password")
    assert.equal(403, (set{ verbs_per_second = 1000000 }))
    world.token = operators
  end)

  it("reach the cell that runs: it is renewed", function()
    scripts.start()
    local renew, renewed = cells.renew, nil
    cells.renew = function(id) renewed = id end
    set{ cells = { weight = 300 } }
    for _ = 1, 200 do
      if renewed then break end
      task.sleep(10)
    end
    cells.renew = renew
    assert.equal(tenants.get("heavy").id, renewed)
  end)
end)
