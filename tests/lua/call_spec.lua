-- SPDX-License-Identifier: Apache-2.0
--- A call's own life, with database and Redis played here.
local audit = require "audit"
local Call = require "calls.call"
local db = require "lib.db"
local record = require "calls.record"
local recordings = require "calls.recordings"

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
end)
