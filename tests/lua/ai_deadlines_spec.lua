-- SPDX-License-Identifier: Apache-2.0
--- Deadlines in real time: each comes once, in its time, unless it was taken back.
local clock = require "core.clock"
local deadlines = require "ai.deadlines"
local task = require "core.task"

describe("a deadline", function()
  before_each(function() task.sleep(1) end)  -- the loop's own clock stood still while this was loaded

  it("comes once, not early, and not much late", function()
    local began, came = clock.mono_ms(), {}
    for _, ms in ipairs{ 30, 260, 300, 300.4, 420 } do
      deadlines.after(ms, function() came[#came + 1] = { ms = ms, at = clock.mono_ms() - began } end)
    end
    task.sleep(700)
    assert.equal(5, #came)
    for _, one in ipairs(came) do
      assert.truthy(one.at >= one.ms or one.ms == 30)  -- which has a timer of the core, whose clock may stand still a while
      assert.truthy(one.at < one.ms + 250)  -- a busy machine
    end
  end)

  it("that was taken back never comes, first, last or in between", function()
    local made, came = {}, {}
    for i = 1, 6 do made[i] = deadlines.after(300, function() came[#came + 1] = i end) end
    for _, i in ipairs{ 1, 3, 3, 6 } do made[i]:cancel() end
    task.sleep(400)
    assert.same({ 2, 4, 5 }, came)
    made[2]:cancel()
    made[4]:cancel()
  end)

  it("may take others back, make more, wait, and fail by itself", function()
    local came, victim = {}, nil
    deadlines.after(260, function()
      victim:cancel()
      deadlines.after(251, function() came[#came + 1] = "again" end)
      task.sleep(1)
      came[#came + 1] = "first"
    end)
    victim = deadlines.after(261, function() came[#came + 1] = "victim" end)
    deadlines.after(262, function() came[#came + 1] = "other" end)
    task.sleep(700)
    table.sort(came)
    assert.same({ "again", "first", "other" }, came)
  end)
end)
