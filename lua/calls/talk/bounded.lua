-- SPDX-License-Identifier: Apache-2.0
--- Waits for what may take long, but no longer than that.
local promise = require "lib.promise"
local task = require "core.task"

--- fn's results; nil, { code = "timeout" } when they are not there in time (it goes on by itself, and nobody looks at what comes of it);
--- nil, { code = "failed" } when it raised. Waits.
--- @param after function  timer: after(ms, fn) -> { cancel }
return function(after, ms, fn, ...)
  local done, given = promise.new(), { n = select("#", ...), ... }
  local limit = after(ms, function() done:give(nil, { code = "timeout", text = ("it took longer than %d ms"):format(ms) }) end)
  task.spawn(function()
    local results = { pcall(fn, unpack(given, 1, given.n)) }
    if results[1] then return done:give(unpack(results, 2, 4)) end
    done:give(nil, { code = "failed", text = tostring(results[2]) })
  end)
  local a, b, c = done:wait()
  limit:cancel()
  return a, b, c
end
