-- SPDX-License-Identifier: Apache-2.0
--- Whose call it is, from what a carrier says. The rows are played here.
require "stand_in"
if require("core.sql").stand_in then
  describe("trunks", function() pending("runs in the host") end)
  return
end
local redis = require "core.redis"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
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

  -- Its node did not know it until it was started again: calls from there were refused with 401.
  it("are told again to a node whose slot was in motion", function()
    local subscribe, call, request, sleep = redis.subscribe, redis.call, telephony.request, task.sleep
    local hear
    local refusals, taken = 2, {}
    redis.subscribe = function(_, on_message) hear = on_message end
    redis.call = function() return "OK" end
    telephony.request = function(_, method, path)
      if refusals > 0 then
        refusals = refusals - 1
        return nil, { code = "stale", text = "the slot is in motion" }
      end
      if method ~= "PUT" then return 404 end
      taken[path:match("res_pjsip/(%a+)/")] = true
      return 200
    end
    task.sleep = function() end
    store.trunk = function() return { id = 1, tenant_id = 7, name = "carrier", match = "192.0.2.1" } end
    trunks.listen(function() return { n1 = "n1.1" } end)
    hear "1 x"
    redis.subscribe, redis.call, telephony.request, task.sleep = subscribe, call, request, sleep
    assert.same({ aor = true, endpoint = true, identify = true }, taken)
  end)
end)
