-- SPDX-License-Identifier: Apache-2.0
--- Simulated calls of ten verbs: parley run tests/bench/sim.lua FOLDER CALLS [WIDTH]. A line for each number of calls at a time.
local bundle = require "core.bundle"
local caller = require "sim.caller"
local clock = require "core.clock"
local engine = require "sim.engine"
local folder = require "cli.folder"
local promise = require "lib.promise"
local sim = require "sim"
local task = require "core.task"

local root, calls, only = ...
calls = tonumber(calls)
local world = assert(sim.open(assert(bundle.pack(assert(folder.data(root)))), { eager = true }))
local him = assert(caller.check{ steps = { { key = "1" }, { keys = "94107" }, { say = "My roof is large and sunny." } } })
local verbs = #engine.call(world, him).trace

for _, width in ipairs(only and { tonumber(only) } or { 1, 2, 8 }) do
  local began_ms, cpu, left, running, over = clock.mono_ms(), os.clock(), calls, width, promise.new()
  world.cell.mark()
  for _ = 1, width do
    task.spawn(function()
      while left > 0 do
        left = left - 1
        engine.call(world, him)
      end
      running = running - 1
      if running == 0 then over:give() end
    end)
  end
  over:wait()
  print(("%d at a time: %d verbs, %.0f calls/s, worker %.0f us, cell %.0f us"):format(width, verbs, calls / (clock.mono_ms() - began_ms) * 1000,
    (os.clock() - cpu) * 1e6 / calls, world.cell.used_us() / calls))
end
world.close()
return 0
