-- SPDX-License-Identifier: Apache-2.0
--- What is said, with a synthesiser that is played here.
local speech = require "calls.speech"
local plugin = require "plugins.speech_espeak"
local task = require "core.task"

describe("speech", function()
  local render = plugin.render
  local running, most, waiting

  before_each(function()
    running, most, waiting = 0, 0, {}
    plugin.render = function()
      running = running + 1
      most = math.max(most, running)
      task.wait(function(resume) waiting[#waiting + 1] = resume end)
      running = running - 1
      return nil, { code = "failed", text = "no voice" }
    end
  end)
  after_each(function() plugin.render = render end)

  local function wait_for(what)
    for _ = 1, 1000 do
      if what() then return end
      task.sleep(2)
    end
  end

  -- One tenant's texts took all programs, and everybody else's callers waited.
  it("of one tenant does not keep another's waiting", function()
    local done = 0
    for n = 1, 6 do
      task.spawn(function()
        speech.audio({ id = 1, key = ("a"):rep(32) }, "text " .. n .. os.time())
        done = done + 1
      end)
    end
    wait_for(function() return running == 2 end)
    task.sleep(20)
    assert.equal(2, running)
    task.spawn(function()
      speech.audio({ id = 2, key = ("b"):rep(32) }, "another " .. os.time())
      done = done + 1
    end)
    wait_for(function() return running == 3 end)
    wait_for(function()
      if waiting[1] then table.remove(waiting, 1)() end
      return done == 7
    end)
    assert.equal(7, done)
    assert.equal(3, most)
  end)
end)
