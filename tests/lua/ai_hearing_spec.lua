-- SPDX-License-Identifier: Apache-2.0
--- Answers on their way to a client that reads slowly, or no more.
local ai = require "ai"
local hearing = require "ai.hearing"
local promise = require "lib.promise"
local task = require "core.task"

describe("a slow reader", function()
  local real
  local left  -- of those who speak

  -- An answer of which two speak at the same time, more than may wait: an attempt, and whoever ends its turn.
  local function two_speak(asked)
    left = 2
    local done = promise.new()
    for _ = 1, 2 do
      task.spawn(function()
        for _ = 1, 70 do asked.on_event{ type = "text", text = "x" } end
        left = left - 1
        if left == 0 then done:give() end
      end)
    end
    return done
  end

  setup(function() real = ai.chat end)
  teardown(function() ai.chat = real end)

  it("leaves nobody waiting for ever who speaks at the same time as another", function()
    ai.chat = function(_, _, asked)
      two_speak(asked):wait()
      return { text = "", tool_calls = {} }
    end
    local heard, count = hearing.open({ slug = "t" }, {}, {}), 0
    task.sleep(0)
    assert.equal(2, left)
    while heard:next() do count = count + 1 end
    assert.equal(140, count)
    assert.equal(0, left)
  end)

  it("that goes away lets all go on who wait, though the answer is over", function()
    ai.chat = function(_, _, asked)
      two_speak(asked)
      return nil, { class = "timeout", text = "no answer before the deadline" }
    end
    local heard = hearing.open({ slug = "t" }, {}, {})
    task.sleep(0)
    assert.equal(2, left)
    heard:cancel()
    task.sleep(0)
    assert.equal(0, left)
  end)
end)
