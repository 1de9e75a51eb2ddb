-- SPDX-License-Identifier: Apache-2.0
--- parley run tests/e2e/days_into.lua TENANT FILE: adds calls that are over, with what was measured of them, from a file of JSON: list of
--- { at = "2026-11-27 10:00:00", turns = reports of voice.timeline, seen = see calls.quality | nil }.
local audit = require "audit"
local figures = require "calls.figures"
local file = require "core.file"
local json = require "core.json"
local pii = require "lib.pii"
local quality = require "calls.quality"
local store = require "calls.store"
local tenants = require "tenants"

local slug, path = ...
local tenant = assert(tenants.get(slug))
for i, one in ipairs(assert(json.decode(assert(file.read(path))))) do
  local measured, name = figures.new(), ("c-made-%s-%d"):format(one.at:gsub("%D", ""), i)
  for _, report in ipairs(one.turns) do figures.turn(measured, report) end
  audit.transaction(tenant, function(tx)
    local row = store.insert(tx, { public_id = name, direction = "inbound", phone_number = pii.seal(tenant, "call.phone_number", "+12025550" .. 100 + i % 900),
      our_number = "+15550100", start_time = one.at, node = "made", slot = "made.1", channel_id = name, node_boot = "1", fence = 1 })
    assert(store.update(tx, row.id, 1, { status = "completed", outcome = "done", answer_time = one.at, end_time = one.at, duration_seconds = 60 }))
    quality.count(tx, row.id, one.at, measured, one.seen)
    return true
  end)
end
