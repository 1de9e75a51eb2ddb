-- SPDX-License-Identifier: Apache-2.0
--- What turns are taken in: this worker's clock, its connections, and what it knows of how the models are.
local clock = require "core.clock"
local deadlines = require "ai.deadlines"
local health = require "ai.health"
local http = require "core.http"
local measure = require "ai.measure"

local world = { mono_ms = clock.mono_ms, after = deadlines.after, random = math.random, stream = http.stream, on_state = measure.breaker }

world.health = health.new(world)

return world
