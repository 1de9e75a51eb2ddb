-- SPDX-License-Identifier: Apache-2.0
--- A worker's end, run when its slots are others' and its connections are closed: what waits in memory to be written is written.
--- The worker gives this three seconds (core/host/worker.c), then it ends all the same.
local budget = require "ai.budget"
local clock = require "core.clock"
local ledger = require "ai.ledger"
local scripts = require "scripts"
local transcript = require "calls.transcript"

local LIMIT_MS = 2500

local ends = clock.mono_ms() + LIMIT_MS
ledger.settle(LIMIT_MS)
if clock.mono_ms() < ends then budget.settle() end
transcript.settle(math.max(0, ends - clock.mono_ms()))
scripts.settle(math.max(0, ends - clock.mono_ms()))
