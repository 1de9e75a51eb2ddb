-- SPDX-License-Identifier: Apache-2.0
--- A worker's end, run when its slots are others' and its connections are closed: what waits in memory to be written is written.
--- The worker gives this three seconds (core/host/worker.c), then it ends all the same.
local scripts = require "scripts"

local LIMIT_MS = 2500

scripts.settle(LIMIT_MS)
