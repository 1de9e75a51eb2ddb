-- SPDX-License-Identifier: Apache-2.0
--- What is written of a call, with Redis played here.
local Call = require "calls.call"
local record = require "calls.record"
local task = require "core.task"

describe("what is written of a call", function()
  local write = record.write

  after_each(function() record.write = write end)

  local function make()
    return Call.new{ id = "c-n1-1-x", tenant = { id = 1, slug = "t", db = "t", key = ("k"):rep(32) }, slot = "n1.1", fence = 5, channel = "1.1", direction = "inbound", row_id = 7, up = true }
  end

  -- It counted as one that another worker had taken, or was told of as a record that cannot be written.
  it("does not mind that the record was removed while a write of its own was on the way", function()
    local call = make()
    record.write = function() return nil, { code = "ended", text = "the call has ended, and its record is removed" } end
    assert.is_true(call:keep{ digits = "1" })
    assert.is_nil(call.stale)
    assert.is_nil(call.unwritten)
  end)

  -- It was written twice a second for as long as the call was there.
  it("is not written any more to a record that was removed", function()
    local call, tried = make(), 0
    record.write = function() return nil, { code = "closed", text = "Redis is away" } end
    local write_all = record.write_all
    record.write_all = function()
      tried = tried + 1
      return nil, { code = "ended", text = "the call has ended, and its record is removed" }
    end
    call:keep{ digits = "1" }
    task.sleep(1300)
    record.write_all = write_all
    assert.equal(1, tried)
    assert.is_nil(call.unwritten)
  end)
end)
