-- SPDX-License-Identifier: Apache-2.0
--- A tenant and its cell, which is played here: what the worker sends it is noted, and world.say() is what it says.
local cell = require "core.cell"
local cells = require "scripts.cells"
local store = require "scripts.store"

local world = {
  sent = {},       -- { type, ... } of each message to the newest cell, in order; "idle" and the like where it was held
  spawned = nil,   -- the newest cell
  say = nil,       -- its say(type, ...)
  ended = nil,     -- why the first one was ended
  last_id = 0,     -- of the tenant of now
}
local real = {}

function world.next_tenant() world.ended, world.last_id = nil, world.last_id + 1 end  -- one whose cell dies often waits

function world.tenant() return { id = -100 - world.last_id, slug = "t", db = "t" } end

--- Before each test.
function world.open()
  real.spawn, real.bytes = cell.spawn, store.bundle_bytes
  world.sent = {}
  world.next_tenant()
  store.bundle_bytes = function(_, hash) return "bytes of " .. hash end
  cell.spawn = function(handlers)
    world.say = handlers.on_message
    world.spawned = {
      page_now = {},
      send = function(_, kind, ...) table.insert(world.sent, { kind, ... }) return true end,
      load = function(_, hash) table.insert(world.sent, { "load", hash }) handlers.on_message("loaded", hash, true, "") return true end,
      kill = function(self, why)
        world.ended = world.ended or why
        handlers.on_ended(why, self.page_now)
      end,
      dry_ms = function() return 0 end, state = function() return "R" end,
      ran = function() return false end, usage = function() return 0, 1 end, hold = function(_, how) table.insert(world.sent, { how }) end,
      budget = function() return { share_percent = 50, hard_mb = 64, slice_ms = 2, tenant = 7, weight = 0 } end,
    }
    return world.spawned
  end
end

--- After each test.
function world.close()
  world.spawned:kill("idle")
  cell.spawn, store.bundle_bytes = real.spawn, real.bytes
end

function world.run(hash, call, handler)
  return cells.run(world.tenant(), hash, call or "c1", handler or { lost = function() end }, "flows/main.lua", "a", 1, {}, {})
end

--- A run that notes what it hears.
function world.listener()
  local heard = {}
  local function note(kind) return function(...) table.insert(heard, { kind, ... }) end end
  return { verb = note "verb", next = note "next", failed = note "failed", lost = note "lost" }, heard
end

function world.count(kind)
  local n = 0
  for _, message in ipairs(world.sent) do if message[1] == kind then n = n + 1 end end
  return n
end

return world
