-- SPDX-License-Identifier: Apache-2.0
--- A tenant's days in a real database: each answered call counted once by whoever ends it, asked for by route, and kept for a time.
local world = require "data_world"
if not world then
  describe("a tenant's call quality", function() pending("needs the host and a database of its own") end)
  return
end
local audit = require "audit"
local auth = require "auth"
local Call = require "calls.call"
local clock = require "core.clock"
local db = require "lib.db"
local figures = require "calls.figures"
local keeping = require "calls.keeping"
local log = require "core.log"
local lost = require "calls.lost"
local promise = require "lib.promise"
local quality = require "calls.quality"
local record = require "calls.record"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local time = require "lib.time"
local timer = require "core.timer"

local SEEN = { received = 990, lost = 10, late = 0, lossPercent = 1, jitterMs = 4.5, concealedMs = 20, mos = 4.2 }

local function report(gap)
  return { turn = 1, endpoint_ms = 500, final_text_ms = 300, model_ms = math.max(0, gap - 800), chunk_ms = 50, voice_ms = 230, send_ms = 20, gap_ms = gap, own_ms = 40, counts = {} }
end

describe("a tenant's call quality", function()
  local tenant, admin, today
  local ask = world.ask
  local after, waiting = timer.after, {}

  -- The time at which places are told has come: how many were.
  local function tell_places()
    local due = waiting
    waiting = {}
    for _, tell in ipairs(due) do tell() end
    return #due
  end

  setup(function()
    world.begin{ "auth", "tenants", "calls", "agents" }
    tenant = tenants.create{ slug = "waits", name = "Waits", admin_email = "a@waits.example", admin_password = "a-Long-password" }
    admin = world.login("a@waits.example", "a-Long-password")
    while not redis.call("PING") do task.sleep(10) end
    timer.after = function(ms, fn)
      if ms ~= quality.RANK_MS then return after(ms, fn) end
      waiting[#waiting + 1] = fn
    end
  end)

  teardown(function() timer.after = after end)

  before_each(function()
    world.token = admin
    today = time.now():sub(1, 10)
    for _, name in ipairs{ "call_quality", "quality_day", "`call`" } do db.query(tenant.db, "DELETE FROM " .. name) end
    redis.call("DEL", rediskey("quality:", today))
  end)

  local n = 0
  local function make(fields)
    n = n + 1
    local name = "c-n1-1-q" .. n
    local row_id = audit.transaction(tenant, function(tx)
      return db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status, fence, node, slot, channel_id) VALUES (?, 'inbound', ?, 'connected', 5, 'n1', 'n1.1', ?)",
        name, time.now(), name).insert_id
    end)
    local given = { id = name, row_id = row_id, tenant = tenant, slot = "n1.1", node = "n1", fence = 5, channel = "1.9", direction = "inbound", from = "+12025550123", to = "+15550100",
      up = true, status = "connected", answered_us = clock.wall_us(), started_us = clock.wall_us(), gone_why = "hung up", hangup_by = "caller" }
    for key, value in pairs(fields or {}) do given[key] = value end
    return Call.new(given)
  end

  local function of_today()
    local status, body = ask("GET", "/calls/quality?from=" .. today)
    assert.equal(200, status)
    return body.days[1]
  end

  -- Calls of a day that are over, with these longest gaps.
  local function past(day, gaps)
    for _, gap in ipairs(gaps) do
      local call, measured = make(), figures.new()
      figures.turn(measured, report(gap))
      audit.transaction(tenant, function(tx)
        assert.is_true(store.update(tx, call.row_id, 5, { status = "completed", end_time = day .. " 10:00:00", answer_time = day .. " 09:59:00" }))
        assert.equal(day, (quality.count(tx, call.row_id, day .. " 10:00:00.000000", measured, SEEN)))
        return true
      end)
    end
  end

  it("has the turns and the audio of a call from its end on", function()
    local call = make{ quality = SEEN }
    for _, gap in ipairs{ 820, 900, 1600 } do call:timed(report(gap)) end
    assert.same({ 0, 0 }, { of_today().calls, of_today().turns })
    call:close()
    local day = of_today()
    assert.same({ 1, 3, 33.33, 1600 }, { day.calls, day.turns, day.slowPercent, day.longestGap })
    assert.is_true(math.abs(day.gap.p50 / 900 - 1) < 0.1 and math.abs(day.gap.p99 / 1600 - 1) < 0.1)
    assert.same({ 990, 10, 1, 4.2 }, { day.audio.received, day.audio.lost, day.audio.lossPercent, day.audio.mos })
  end)

  it("has each turn once when the call was taken up, and the call once when who had ended it died behind the commit", function()
    local first = make{ gone_why = false }
    first:timed(report(700))
    first:timed(report(710))
    assert.is_true(first:keep_head())
    local function taken(fence)
      local kept = assert(record.read("n1.1", first.id, function() return tenant end))
      local call = Call.restore({ name = "n1.1", node = "n1" }, fence, kept)
      call.gone_why, call.hangup_by = "hung up", "caller"
      return call
    end
    local second, third = taken(6), taken(7)
    second:timed(report(1500))
    second:close()
    assert.same({ 1, 3, 1500 }, { of_today().calls, of_today().turns, of_today().longestGap })
    third:close()
    assert.same({ 1, 3 }, { of_today().calls, of_today().turns })
  end)

  it("has nothing of a worker that does not own the call any more", function()
    local call = make()
    call:timed(report(700))
    db.query(tenant.db, "UPDATE `call` SET fence = 9 WHERE id = ?", call.row_id)
    call:close()
    assert.same({ 0, 0 }, { of_today().calls, #db.query(tenant.db, "SELECT 1 AS x FROM call_quality") })
  end)

  it("has a call once whose end was rolled back and tried again", function()
    local real, failed = store.set_quality_day, 0
    store.set_quality_day = function(...)
      failed = failed + 1
      real(...)
      if failed == 1 then db.fail{ code = "closed", text = "the server has gone away" } end
    end
    local call = make()
    call:timed(report(700))
    call:close()
    store.set_quality_day = real
    assert.same({ 2, 1, 1 }, { failed, of_today().calls, of_today().turns })
  end)

  local function without_table(name, fn)
    db.query(tenant.db, ("RENAME TABLE %s TO taken_away"):format(name))
    local ok, err = pcall(fn)
    db.query(tenant.db, ("RENAME TABLE taken_away TO %s"):format(name))
    assert(ok, err)
  end

  local function rows_of(table_name) return #db.query(tenant.db, "SELECT 1 AS x FROM " .. table_name) end

  it("costs a call nothing else of its row when its figures cannot be written", function()
    local function close(fields)
      local call = make{ failure = "the script failed", state = "greeting", file = "main.lua", hash = ("a"):rep(64), visiting = true }
      for name, value in pairs(fields or {}) do call[name] = value end
      call:close()
      local row = db.query(tenant.db, "SELECT end_time, timeline, failure, journal, state, flow, bundle_hash FROM `call` WHERE id = ?", call.row_id)[1]
      for _, name in ipairs{ "end_time", "timeline", "failure", "journal", "state", "flow", "bundle_hash" } do assert.is_not_nil(row[name], name) end
      return call
    end
    without_table("call_quality", close)
    without_table("quality_day", close)
    assert.same({ 0, 0, 0 }, { rows_of("call_quality"), rows_of("quality_day"), of_today().calls })
    -- Figures in the database or of the call that are none.
    local call = close()
    db.query(tenant.db, "UPDATE quality_day SET figures = '{'")
    for _ = 1, 8 do close() end
    assert.equal(8, rows_of("call_quality"))
    close{ figures = { times = 1 } }
    assert.equal(8, rows_of("call_quality"))
    db.query(tenant.db, "UPDATE quality_day SET figures = NULL WHERE part = ?", call.row_id % 8)
    assert.same({ 7, 8 }, { of_today().calls, rows_of("quality_day") })
  end)

  it("lets calls that end together do so without waiting for one another", function()
    local first, second = make(), make()
    local over = promise.new()
    audit.transaction(tenant, function(tx)
      assert.equal(today, (quality.count(tx, first.row_id, time.now())))
      task.spawn(function()
        second:close()
        over:give(true)
      end)
      local limit = timer.after(10000, function() over:give(false) end)
      assert.is_true(over:wait())
      limit:cancel()
      return true
    end)
    assert.equal(2, of_today().calls)
  end)

  it("has all of many calls that end at the same moment, on a day that had none", function()
    local ended = 0
    for i = 1, 40 do
      local call = make()
      call:timed(report(700 + i))
      task.spawn(function()
        call:close()
        ended = ended + 1
      end)
    end
    for _ = 1, 500 do
      if ended == 40 then break end
      task.sleep(10)
    end
    assert.same({ 40, 40, 40 }, { ended, of_today().calls, of_today().turns })
  end)

  -- A call that nobody has any more, and somebody looks.
  local function lose()
    local call = make()
    db.query(tenant.db, "UPDATE `call` SET start_time = ?, answer_time = ? WHERE id = ?", time.ahead(-300), time.ahead(-299), call.row_id)
    local real = { telephony.status, telephony.request }
    telephony.status = function() return { { slot = "n1.1", mine = true, state = "ready" } } end
    telephony.request = function() return 404 end
    local nodes = require "nodes"
    local has = nodes.has
    nodes.has = function() return true end
    lost.look(tenant, function() end)
    telephony.status, telephony.request, nodes.has = real[1], real[2], has
    assert.equal("lost", store.by_public_id(tenant.db, call.id).outcome)
  end

  it("has a call that was lost, without its turns, and none that nobody answered", function()
    local rang = make()
    rang.up, rang.answered_us = nil, nil
    rang:close()
    assert.equal(0, of_today().calls)
    lose()
    assert.same({ 1, 0 }, { of_today().calls, of_today().turns })
  end)

  it("does not keep a lost call from being closed when its figures cannot be written", function()
    without_table("call_quality", lose)
    without_table("quality_day", lose)
    assert.same({ 0, 0 }, { rows_of("call_quality"), of_today().calls })
  end)

  it("is told day by day and together, also of days without a call", function()
    past("2026-03-01", { 800, 820, 3000 })
    past("2026-03-03", { 500 })
    local status, body = ask("GET", "/calls/quality?from=2026-02-28&to=2026-03-03")
    assert.equal(200, status)
    local told = {}
    for i, day in ipairs(body.days) do told[i] = ("%s %d %d"):format(day.day, day.calls, day.turns) end
    assert.same({ "2026-02-28 0 0", "2026-03-01 3 3", "2026-03-02 0 0", "2026-03-03 1 1" }, told)
    assert.same({ 4, 4, 25, 3000 }, { body.whole.calls, body.whole.turns, body.whole.slowPercent, body.whole.longestGap })
    assert.is_true(math.abs(body.whole.gap.p50 / 800 - 1) < 0.1 and math.abs(body.days[2].gap.p99 / 3000 - 1) < 0.1)
    status, body = ask("GET", "/calls/quality")
    assert.same({ 200, 7, today }, { status, #body.days, body.to })
  end)

  -- One such row, and the page had nothing of three months; or a warning at each call that ended.
  it("is told without the parts that are damaged, each of which a worker logs once", function()
    local warn, logged = log.warn, {}
    log.warn = function(event, fields) table.insert(logged, { event, fields.tenant, fields.day, fields.part, type(fields.text) }) end
    for i, text in ipairs{ "{", "[]", "null", '{"turns":1,"slow":0,"longest":0,"times":{"gap":{"x":1}},"made":{}}',
      '{"turns":0,"slow":0,"longest":0,"calls":-100,"times":{},"made":{}}' } do
      local first, last = ("2026-03-%02d"):format(2 * i - 1), ("2026-03-%02d"):format(2 * i)
      past(first, { 800, 820, 3000 })
      past(last, { 500, 510 })
      local part = db.query(tenant.db, "SELECT part FROM quality_day WHERE `day` = ? AND figures IS NOT NULL ORDER BY part", first)[1].part
      db.query(tenant.db, "UPDATE quality_day SET figures = ? WHERE `day` = ? AND part = ?", text, first, part)
      for _ = 1, 3 do
        local status, body = ask("GET", ("/calls/quality?from=%s&to=%s"):format(first, last))
        assert.equal(200, status, text)
        assert.same({ 4, 2, 2 }, { body.whole.calls, body.days[1].calls, body.days[2].calls })
      end
      assert.equal(i, #logged)
      assert.same({ "quality.damaged", "waits", first, part, "string" }, logged[i])
    end
    log.warn = warn
  end)

  it("is read in pieces, between which others have their turn", function()
    past("2026-03-01", { 800 })
    local row = db.query(tenant.db, "SELECT figures FROM quality_day WHERE figures IS NOT NULL")[1]
    for day = 1, 31 do
      for part = 0, 7 do
        db.query(tenant.db, "INSERT INTO quality_day (`day`, part, figures) VALUES (?, ?, ?)", ("2026-05-%02d"):format(day), part, row.figures)
      end
    end
    local turns, over = 0, false
    task.spawn(function()
      while not over and turns < 1e5 do
        turns = turns + 1
        task.sleep(0)
      end
    end)
    local read, before = store.quality_days, nil
    store.quality_days = function(...)
      local rows = read(...)
      before = turns
      return rows
    end
    local status, body = ask("GET", "/calls/quality?from=2026-05-01&to=2026-05-31")
    local between = turns - before
    store.quality_days, over = read, true
    assert.same({ 200, 248 }, { status, body.whole.calls })
    assert.is_true(between >= 12, between)
  end)

  it("is refused for days that are none, the wrong way round or too many, with what to do", function()
    for query, detail in pairs{ ["from=2026-02-30"] = "date like", ["from=yesterday"] = "date like", ["from=2026-03-02&to=2026-03-01"] = "must not be after 'to'",
      ["from=2026-01-01&to=2026-04-03"] = "at most 91 days before 'to'", ["days=7"] = "" } do
      local status, body = ask("GET", "/calls/quality?" .. query)
      assert.equal(400, status, query)
      assert.truthy((body.detail .. (body.errors[1] or {}).detail):find(detail, 1, true), query .. ": " .. body.detail)
    end
    assert.equal(200, (ask("GET", "/calls/quality?from=2026-01-01&to=2026-04-02")))
    assert.equal(400, (ask("GET", "/calls/slowest?day=2026-13-01")))
    assert.equal(400, (ask("GET", "/calls/slowest?day=2026-03-01&cursor=x")))
  end)

  it("leads to a day's calls, the slowest first, a page after the other, by an index", function()
    past("2026-03-01", { 900, 2500, 1200, 2500, 700 })
    past("2026-03-02", { 9000 })
    local seen, at = {}, ""
    for _ = 1, 3 do
      local status, body = ask("GET", "/calls/slowest?day=2026-03-01&limit=2" .. at)
      assert.equal(200, status)
      for _, call in ipairs(body.calls) do seen[#seen + 1] = call.longestGap end
      at = type(body.next) == "string" and "&cursor=" .. body.next
    end
    assert.same({ 2500, 2500, 1200, 900, 700 }, seen)
    assert.is_false(at)
    local _, body = ask("GET", "/calls/slowest?day=2026-03-02")
    local call = body.calls[1]
    assert.same({ 9000, 1, 1, 1, 4.5, 4.2 }, { call.longestGap, call.turns, call.slowTurns, call.quality.lossPercent, call.quality.jitterMs, call.quality.mos })
    local status, one = ask("GET", "/calls/" .. call.id)
    assert.same({ 200, call.id }, { status, one.id })
    local text
    local real = db.query
    db.query = function(name, given, ...)
      text = given
      return real(name, given, ...)
    end
    store.slowest(tenant.db, "2026-03-01", 2500, 1, 3)
    db.query = real
    local plan = db.query(tenant.db, "EXPLAIN " .. text, "2026-03-01", 2500, 2500, 1)
    assert.same({ "call_quality", "idx_day_gap" }, { plan[1].table, plan[1].key })
    assert.is_nil((plan[1].Extra or ""):find("filesort", 1, true), plan[1].Extra)
  end)

  it("is for admins and supervisors of the tenant, and for nobody else", function()
    past(today, { 5000 })
    assert.equal(201, (ask("POST", "/agents", { email = "s@waits.example", password = "a-Long-password", role = "supervisor" })))
    assert.equal(201, (ask("POST", "/agents", { email = "g@waits.example", password = "a-Long-password", role = "agent" })))
    tenants.create{ slug = "other", name = "Other", admin_email = "o@other.example", admin_password = "a-Long-password" }
    world.token = world.login("s@waits.example", "a-Long-password")
    assert.equal(1, of_today().calls)
    world.token = world.login("g@waits.example", "a-Long-password")
    assert.same({ 403, 403, 403 }, { ask("GET", "/calls/quality"), (ask("GET", "/calls/slowest")), (ask("GET", "/admin/calls/quality")) })
    world.token = world.login("o@other.example", "a-Long-password")
    assert.equal(0, of_today().calls)
    assert.same({}, select(2, ask("GET", "/calls/slowest")).calls)
    world.token = nil
    assert.equal(401, (ask("GET", "/calls/quality")))
  end)

  it("is compared with other tenants' for operators, by the share of slow turns", function()
    tenants.create{ slug = "swift", name = "Swift", admin_email = "w@swift.example", admin_password = "a-Long-password" }
    local of = { waits = { 12, 8 }, swift = { 39, 1 }, other = { 3, 3 } }
    tell_places()
    redis.call("DEL", rediskey("quality:", today))
    for slug, turns in pairs(of) do
      local of_tenant = tenants.get(slug)
      -- In two calls: one has those that were swift, the other those that were slow.
      for i, gap in ipairs{ 850, 1500 } do
        local measured = figures.new()
        for _ = 1, turns[i] do figures.turn(measured, report(gap)) end
        local row = db.query(of_tenant.db, "INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', ?, 'completed')", "c-r" .. i, time.now()).insert_id
        quality.rank(of_tenant, (audit.transaction(of_tenant, function(tx) return quality.count(tx, row, time.now(), measured) end)))
      end
    end
    assert.equal(3, tell_places())  -- once for both
    auth.put_operator("root@waits.example", "an-operator-password")
    world.token = world.login("root@waits.example", "an-operator-password")
    local status, body = ask("GET", "/admin/calls/quality")
    assert.same({ 200, 2, "waits", 40, "swift", 2.5 },
      { status, #body.tenants, body.tenants[1].tenant, body.tenants[1].slowPercent, body.tenants[2].tenant, body.tenants[2].slowPercent })
    assert.is_true(redis.call("TTL", rediskey("quality:", today)) > 86400)
    assert.equal(1, #select(2, ask("GET", "/admin/calls/quality?limit=1")).tenants)
  end)

  it("is kept for four hundred days", function()
    local function ago(days) return time.sql(clock.wall_us() - days * 86400e6):sub(1, 10) end
    past(ago(401), { 800, 900 })
    past(ago(399), { 800 })
    keeping.expire(tenant)
    assert.same({ 1, 1 }, { #db.query(tenant.db, "SELECT 1 AS x FROM call_quality"), #db.query(tenant.db, "SELECT 1 AS x FROM quality_day") })
  end)
end)
