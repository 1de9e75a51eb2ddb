-- SPDX-License-Identifier: Apache-2.0
--- The driver with a slot that is played here.
local driver = require "calls.driver"
local record = require "calls.record"
local redis = require "core.redis"
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
    handlers.on_ready("n1.1", false, "", { channel }, {})
    task.sleep(10)
    assert.equal(1, begun)
  end)
end)
