-- SPDX-License-Identifier: Apache-2.0
--- Which database server answers a read that may be old: a replica (`replica_of` in sql.servers) that is known to run and to be
--- less than some seconds behind, or none. What is known is asked in the background, so nobody waits for it.
local clock = require "core.clock"
local config = require "core.config"
local log = require "core.log"
local metrics = require "core.metrics"
local sql = require "core.sql"
local task = require "core.task"

local replica = {}

local CHECK_EVERY_MS = 2000
local LAG_MOST_S = 30

local of = {}  -- server -> list of { name, good, checked_ms, checking }
for _, server in ipairs(config.sql and config.sql.servers or {}) do
  if (server.replica_of or "") ~= "" then
    of[server.replica_of] = of[server.replica_of] or {}
    table.insert(of[server.replica_of], { name = server.name, checked_ms = -CHECK_EVERY_MS })
  end
end

local function note(server, good, why)
  if server.good ~= good then
    if good then log.info("sql.replica_used", { server = server.name }) else log.warn("sql.replica_left", { server = server.name, text = why }) end
  end
  server.good = good
end

-- nil: it answers reads; else why not.
local function fault(server)
  -- The right to ask is REPLICA MONITOR (MariaDB) or REPLICATION CLIENT (MySQL); a lag that is not known is too much.
  local rows, err = sql.query(server.name .. "/", "SHOW REPLICA STATUS")
  if not rows then return err.text end
  local row = rows[1]
  if not row then return "it is no replica of anything" end
  local behind = tonumber(row.Seconds_Behind_Master or row.Seconds_Behind_Source)
  if not behind then return "it does not follow" end
  metrics.gauge("sql_replica_lag_seconds", { server = server.name }, behind, "how far a replica is behind")
  if behind > LAG_MOST_S then return ("it is %d s behind"):format(behind) end
end

local function check(server)
  local why = fault(server)
  note(server, why == nil, why)
  server.checked_ms, server.checking = clock.mono_ms(), false
end

--- The replica to ask instead of a server, or nil.
function replica.pick(server_name)
  local found
  for _, server in ipairs(of[server_name] or {}) do
    if not server.checking and clock.mono_ms() - server.checked_ms >= CHECK_EVERY_MS then
      server.checking = true
      task.spawn(check, server)
    end
    if server.good and not found then found = server end
  end
  return found
end

--- It did not answer: nobody asks it before it was looked at again.
function replica.failed(server, err)
  note(server, false, err.text)
  server.checked_ms = clock.mono_ms()
end

return replica
