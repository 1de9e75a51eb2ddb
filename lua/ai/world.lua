-- SPDX-License-Identifier: Apache-2.0
--- What turns are taken in: this worker's clock, its connections, and what it knows of how the models are.
local clock = require "core.clock"
local health = require "ai.health"
local http = require "core.http"
local measure = require "ai.measure"
local timer = require "core.timer"

local world = { mono_ms = clock.mono_ms, after = timer.after, random = math.random, stream = http.stream, on_state = measure.breaker }

world.health = health.new(world)

return world
