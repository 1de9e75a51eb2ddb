-- SPDX-License-Identifier: Apache-2.0
--- What scripts logged and how they failed: read backwards by pages, or followed.
local clock = require "core.clock"
local cursor = require "lib.cursor"
local json = require "core.json"
local operator = require "scripts.operator"
local problem = require "lib.problem"
local script_log = require "scripts.log"
local store = require "scripts.store"
local time = require "lib.time"

local routes = {}

-- Lines are numbered when they are written and seen when that is committed: one may come up behind a later one for a moment.
-- So who follows is given the lines of the last seconds again; they have ids to be told apart by.
local AGAIN_US = 5e6

local function entry_of(ctx, row)
  local entry = script_log.view(ctx.tenant, row)
  entry.id = cursor.encode("script_line", row.id)
  return entry
end

local function follow(ctx, after, call_id)
  local rows = store.log_after(ctx.tenant.db, after, call_id, ctx.query.limit)
  local list, since = json.array(), after
  local old = time.sql(clock.wall_us() - AGAIN_US)
  local full = #rows == ctx.query.limit
  for i, row in ipairs(rows) do
    list[i] = entry_of(ctx, row)
    if full or row.at < old and since == (i > 1 and rows[i - 1].id or after) then since = row.id end
  end
  return 200, { entries = list, after = cursor.encode("script_log_after", since) }
end

local function read(ctx)
  local q = ctx.query
  if q.cursor and q.after then return problem.new(400, "cursor_and_after", "cursor reads backwards and after follows: send one of them.") end
  local call_id
  if q.call then
    call_id = ctx.tenant.id ~= operator.tenant.id and store.call_id(ctx.tenant.db, q.call)
    if not call_id then return problem.new(404, "call_not_found", "There is no such call. GET /calls lists those there are.") end
  end
  if q.after then return follow(ctx, (cursor.decode("script_log_after", q.after, 1)), call_id) end
  local before = q.cursor and cursor.decode("script_log", q.cursor, 1)
  local newest = not before and store.log_newest(ctx.tenant.db)
  local rows = store.log_list(ctx.tenant.db, before, call_id, q.limit + 1)
  local list, following = json.array(), nil
  for i, row in ipairs(rows) do
    if i > q.limit then
      following = cursor.encode("script_log", rows[i - 1].id)
    else
      list[i] = entry_of(ctx, row)
    end
  end
  return 200, { entries = list, next = following, after = newest and cursor.encode("script_log_after", newest) or nil }
end

--- Declares the route by add(route).
function routes.register(add)
  add{ method = "GET", path = "/scripts/log", summary = "What scripts logged and how they failed: newest first; with after, what came since, oldest first",
    roles = { "admin", "supervisor" }, handler = read, query = {
      limit = { type = "integer", minimum = 1, maximum = 200, default = 50 }, cursor = { type = "string", maxLength = 500 },
      after = { type = "string", maxLength = 500, description = "'after' of the answer before; entries may come again within seconds, with the same id" },
      call = { type = "string", maxLength = 64, description = "only of this call" } } }
end

return routes
