-- SPDX-License-Identifier: Apache-2.0
--- What speech is heard and spoken in: this worker's clock and connections, and what it knows of how the providers are.
local ai = require "ai.world"
local process = require "core.process"
local timer = require "core.timer"
local ws = require "core.ws"

return { mono_ms = ai.mono_ms, after = ai.after, every = timer.every, random = ai.random, stream = ai.stream, health = ai.health, open_ws = ws.open, run = process.run }
