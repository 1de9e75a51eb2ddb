-- SPDX-License-Identifier: Apache-2.0
--- How long callers waited and how calls sounded: of the tenant's days, of a day's calls one by one, and for operators which tenants are slow.
local calls = require "calls"
local clock = require "core.clock"
local cursor = require "lib.cursor"
local figures = require "calls.figures"
local json = require "core.json"
local problem = require "lib.problem"
local quality = require "calls.quality"
local router = require "lib.router"
local schema = require "lib.schema"
local store = require "calls.store"
local task = require "core.task"
local time = require "lib.time"

local routes = {}

local MOST_DAYS = 92
local DEFAULT_DAYS = 7
local DAYS_AT_ONCE = 20  -- that are made ready to be shown before others have their turn
local DAY_US = 86400 * 1e6

local function midnight(day) return clock.parse(day .. "T00:00:00Z") end

local function refuse(parameter, detail)
  problem.raise(400, "invalid_query", ("'%s' %s."):format(parameter, detail), { errors = { { parameter = parameter, detail = detail } } })
end

local function span(query)
  local last = query.to or time.now():sub(1, 10)
  local first = query.from or time.sql(midnight(last) - (DEFAULT_DAYS - 1) * DAY_US):sub(1, 10)
  if first > last then refuse("from", "must not be after 'to'") end
  if midnight(last) - midnight(first) >= MOST_DAYS * DAY_US then refuse("from", ("must be at most %d days before 'to' (today unless given)"):format(MOST_DAYS - 1)) end
  return first, last
end

local function days(ctx)
  local first, last = span(ctx.query)
  local list, whole = quality.days(ctx.tenant, first, last)
  local out = json.array{}
  for i, one in ipairs(list) do
    out[i] = figures.shown(one.figures)
    out[i].day = one.day
    if i % DAYS_AT_ONCE == 0 then task.sleep(0) end
  end
  return 200, { from = first, to = last, whole = figures.shown(whole), days = out }
end

local function slowest(ctx)
  local day, limit = ctx.query.day or time.now():sub(1, 10), ctx.query.limit
  local gap_ms, call_id
  if ctx.query.cursor then gap_ms, call_id = cursor.decode("slowest:" .. day, ctx.query.cursor, 2) end
  local rows, out = store.slowest(ctx.tenant.db, day, gap_ms, call_id, limit + 1), json.array{}
  for i = 1, math.min(#rows, limit) do
    local row, view = rows[i], calls.view(ctx.tenant, rows[i])
    view.turns, view.slowTurns, view.longestGap = row.turns, row.slow_turns, row.longest_gap_ms
    if row.received then
      view.quality = { received = row.received, lost = row.lost, lossPercent = math.floor(1e4 * row.lost / (row.received + row.lost) + 0.5) / 100,
        jitterMs = tonumber(row.jitter_ms), mos = tonumber(row.mos) }
    end
    out[i] = view
  end
  return 200, { day = day, calls = out, next = #rows > limit and cursor.encode("slowest:" .. day, rows[limit].longest_gap_ms, rows[limit].id) or json.null }
end

local function slow_tenants(ctx)
  local list, day = quality.slowest(ctx.query.limit)
  if not list then
    return problem.new(503, "order_away", "The order of the tenants cannot be read just now. Try again in a moment.", { headers = { ["Retry-After"] = "2" } })
  end
  local out = json.array{}
  for i, one in ipairs(list) do
    out[i] = figures.shown(one.figures)
    out[i].tenant = one.tenant.slug
  end
  return 200, { day = day, tenants = out }
end

local ms = { type = "number", description = "ms" }
local spread = { type = "object", nullable = true, additionalProperties = false, properties = { p50 = ms, p90 = ms, p99 = ms },
  description = "ms that so many of a hundred are not above, within a twentieth; null: not measured" }
local stages = schema.object{ finalText = ms, endOfTurn = ms, firstToken = ms, firstAudio = ms, firstPacket = ms }

local function shown(of, more)
  local properties = {
    calls = { type = "integer", description = "that were answered" }, turns = { type = "integer" },
    slowPercent = { type = "number", nullable = true, description = "of the turns: their gap was longer than a second" }, longestGap = { type = "number", nullable = true },
    gap = spread, bargeIn = spread, own = spread, finalText = spread, firstToken = spread, firstAudio = spread,
    stages = { type = "object", nullable = true, properties = { p50 = stages, p99 = stages },
      description = "what the turns were made of that took about as long as that percentile of the gap" },
    audio = { type = "object", nullable = true, properties = {
      calls = { type = "integer", description = "of which audio came" }, received = { type = "integer" }, lost = { type = "integer" },
      lossPercent = { type = "number", nullable = true }, jitter = spread, mos = { type = "number", description = "estimated; the mean of the calls" }, mosLeast = { type = "number" },
    } },
  }
  if of then properties[of] = more end
  return schema.object(properties)
end

--- Declares the routes.
function routes.register()
  local date = { type = "string", format = "date" }
  local readers = { "admin", "supervisor", "platform" }
  router.add{ method = "GET", path = "/calls/quality", roles = readers, handler = days,
    summary = "How long callers waited for us and how calls sounded, day by day (UTC, by a call's end) and together",
    query = { from = { type = "string", format = "date", description = ("the seventh day up to 'to' unless given; at most %d days"):format(MOST_DAYS) },
      to = { type = "string", format = "date", description = "today unless given" } },
    response = schema.object{ from = date, to = date, whole = shown(), days = { type = "array", items = shown("day", date) } } }
  router.add{ method = "GET", path = "/calls/slowest", roles = readers, handler = slowest, summary = "The calls of a day, the one whose caller waited longest first",
    query = { day = { type = "string", format = "date", description = "UTC; today unless given" }, cursor = { type = "string", maxLength = 500 },
      limit = { type = "integer", minimum = 1, maximum = 100, default = 20 } },
    response = schema.object{ day = date, calls = { type = "array", items = { type = "object", additionalProperties = true } },
      next = { type = "string", nullable = true } } }
  router.add{ method = "GET", path = "/admin/calls/quality", roles = { "platform" }, tenant = false, handler = slow_tenants,
    summary = "The tenants whose callers wait longest today: those with the largest share of turns over a second, of twenty turns on",
    query = { limit = { type = "integer", minimum = 1, maximum = 50, default = 10 } },
    response = schema.object{ day = date, tenants = { type = "array", items = shown("tenant", { type = "string" }) } } }
end

return routes
