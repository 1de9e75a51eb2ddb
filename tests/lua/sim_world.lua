-- SPDX-License-Identifier: Apache-2.0
--- Bundles for the simulator's specs, made of the text of a flow.
local bundle = require "core.bundle"
local sim = require "sim"

local world = {}

--- The bytes of a bundle with a flow and more files by path. `states` is the inside of flow.define{ ... }.
function world.bytes(states, more)
  local given = {
    ["bundle.lua"] = 'return { numbers = { ["*"] = "flows/main.lua" }, fallback = { say = "Sorry.", hangup = true } }',
    ["flows/main.lua"] = 'local flow = require "flow"\nreturn flow.define{\n' .. states .. "\n}\n",
  }
  for path, data in pairs(more or {}) do given[path] = data end
  local files = {}
  for path, data in pairs(given) do files[#files + 1] = { path = path, data = data } end
  table.sort(files, function(a, b) return a.path < b.path end)
  return assert(bundle.pack(files))
end

--- Plays a caller through a flow of these states, in a world of its own.
function world.play(states, given, more)
  local open, err = sim.open(world.bytes(states, more), { eager = true })
  assert(open, err and err.text)
  local result, problem = sim.call(open, given or {})
  open.close()
  return result, problem
end

return world
