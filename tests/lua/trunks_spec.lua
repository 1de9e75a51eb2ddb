-- SPDX-License-Identifier: Apache-2.0
--- Whose call it is, from what a carrier says. The rows are played here.
require "stand_in"
if require("core.sql").stand_in then
  describe("trunks", function() pending("runs in the host") end)
  return
end
local store = require "calls.store"
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
end)
