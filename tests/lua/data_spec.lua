-- SPDX-License-Identifier: Apache-2.0
--- Data and HTTP against a real database and Redis. What they need stands in data_world.
local world = require "data_world"
if not world then
  describe("data", function() pending("runs in the host, with sql.schema = \"..._test\"") end)
  return
end

local audit = require "audit"
local auth = require "auth"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local jobs = require "lib.jobs"
local json = require "core.json"
local leads = require "leads"
local migrate = require "lib.migrate"
local migrate_store = require "lib.migrate.store"
local problem = require "lib.problem"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local sequencer = require "audit.sequencer"
local sql = require "core.sql"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

local acme
local ask = world.ask

local function count(text)
  return sql.query(acme.db, text)[1].n
end

-- The sequencer runs as a task of its own; it has caught up when nothing waits.
local function settle()
  for _ = 1, 200 do
    if count("SELECT (SELECT COUNT(*) FROM outbox) + (SELECT COUNT(*) FROM audit_pending) + (SELECT seq - published FROM sequencer) AS n") == 0 then return end
    task.sleep(10)
  end
  error("the sequencer does not catch up")
end

describe("data", function()
  setup(function()
    world.begin{ "auth", "tenants", "agents", "leads", "audit" }
    assert.same({ 0, {} }, { tenants.migrate_all() })
    acme = tenants.create{ slug = "acme", name = "Acme", admin_email = "Admin@Acme.test", admin_password = "a-long-password" }
    redis.call("DEL", rediskey("events:", "acme"))
    world.token = world.login("admin@acme.test", "a-long-password")
  end)

  it("keeps the lead of the k6 script, flagged, and a second one for the same request", function()
    local body = { tenantId = "acme", name = "Test User", phone = "+1234567890", score = 85.5 }
    local status, first = ask("POST", "/leads", body)
    assert.equal(201, status)
    assert.is_false(first.phonePossible)
    assert.equal(85.5, first.score)
    local _, second = ask("POST", "/leads", body)
    assert.are_not.equal(first.id, second.id)
  end)

  it("stores nothing personal in clear", function()
    local _, lead = ask("POST", "/leads", { name = "Zacharias Quintessenz", phone = "+12025550188", email = "zq@secret.test", notes = "likes quince" })
    settle()
    for _, name in ipairs{ "lead", "outbox", "event", "audit_pending", "audit_log", "lead_word", "idempotency" } do
      for _, row in ipairs(sql.query(acme.db, ("SELECT * FROM `%s`"):format(name))) do
        for column, value in pairs(row) do
          local text = tostring(value):lower()
          for _, secret in ipairs{ "zacharias", "2025550188", "zq@secret", "quince" } do
            assert.is_nil(text:find(secret, 1, true), name .. "." .. column)
          end
        end
      end
    end
    local _, found = ask("GET", "/leads?q=quintessenz%20ZACHARIAS")
    assert.equal(lead.id, found.leads[1].id)
    _, found = ask("GET", "/leads?q=%2B1%20202%20555%200188")
    assert.equal(lead.id, found.leads[1].id)
    _, found = ask("GET", "/leads?email=ZQ@secret.test")
    assert.equal(lead.id, found.leads[1].id)
  end)

  it("has nothing in a row for a column that is NULL, whichever way it is asked for", function()
    local text, want = "SELECT 1 AS one, NULL AS none, CAST(? AS CHAR) AS given, CAST(? AS CHAR) AS absent", { { one = 1 } }
    assert.same(want, sql.query(acme.db, text, sql.null, nil))
    assert.same(want, db.query(acme.db, text, nil, nil))
    assert.same(want, db.query(db.lagging(acme.db), text, nil, nil))
    assert.same(want, db.try(acme.db, text, nil, nil))
    db.transaction(acme.db, function(tx)
      assert.same(want, tx:query(text, nil, nil))
      assert.same(want, db.run(tx, text, nil, nil))
      assert.same(want, db.attempt(tx, text, nil, nil))
      return true
    end)
  end)

  it("pages through leads in each order without losing or repeating one", function()
    for i = 1, 7 do ask("POST", "/leads", { name = "P" .. i, score = i % 3, source = "web" }) end
    for _, sort in ipairs{ "created", "-created", "score", "-score" } do
      local seen, total, cursor = {}, 0, nil
      repeat
        local status, page = ask("GET", "/leads?source=web&limit=3&sort=" .. sort .. (cursor and "&cursor=" .. cursor or ""))
        assert.equal(200, status)
        for _, lead in ipairs(page.leads) do
          assert.is_nil(seen[lead.id])
          seen[lead.id], total = true, total + 1
        end
        cursor = page.next ~= json.null and page.next or nil
      until not cursor
      assert.equal(7, total)
    end
  end)

  it("answers a repeated write with the first answer, and refuses the key for another", function()
    local key = { ["idempotency-key"] = "once-1" }
    local _, first = ask("POST", "/leads", { name = "Once" }, key)
    local status, again, headers = ask("POST", "/leads", { name = "Once" }, key)
    assert.equal(201, status)
    assert.equal(first.id, again.id)
    assert.equal("true", headers["Idempotent-Replayed"])
    assert.equal(422, (ask("POST", "/leads", { name = "Other" }, key)))
  end)

  it("took a server that hung at the key of a repeated write for a fault of ours", function()
    local store = require "lib.idempotency.store"
    local hung = { query = function() return nil, { code = "timeout", text = "no answer in 15000 ms; the connection was given up" } end }
    local ok, raised = pcall(store.take, hung, "hash", "fingerprint", 0)
    assert.is_false(ok)
    assert.is_true(require("lib.db").is_failure(raised))
    assert.equal("timeout", raised.code)
  end)

  it("refuses a change of what has changed meanwhile", function()
    local _, lead, headers = ask("POST", "/leads", { name = "V" })
    assert.equal(200, (ask("PUT", "/leads/" .. lead.id, { score = 10 }, { ["if-match"] = headers.ETag })))
    assert.equal(412, (ask("PUT", "/leads/" .. lead.id, { score = 20 }, { ["if-match"] = headers.ETag })))
    assert.equal(412, (ask("PATCH", "/leads/" .. lead.id, { score = 20, version = 1 })))
  end)

  it("gives a lead to an active agent only", function()
    local _, agent = ask("POST", "/agents", { email = "ann@acme.test", password = "another-password" })
    local _, lead = ask("POST", "/leads", { name = "W" })
    local status, given = ask("POST", "/leads/" .. lead.id .. "/assign", { agentId = agent.id })
    assert.equal(200, status)
    assert.equal("assigned", given.status)
    ask("PATCH", "/agents/" .. agent.id, { status = "inactive" })
    assert.equal(422, (ask("POST", "/leads/" .. lead.id .. "/assign", { agentId = agent.id })))
    assert.equal(422, (ask("POST", "/leads/" .. lead.id .. "/assign", { agentId = "us_00000000000" })))
  end)

  it("makes a flow's lead once, however often its verb runs", function()
    local function create(name)
      return audit.transaction(acme, function(tx) return leads.create(acme, tx, { name = name }, { effect_key = "c-1/1/1", actor = "flow" }) end)
    end
    local first, existed = create "F"
    local second, existed_again = create "F"
    assert.equal(first.id, second.id)
    assert.is_false(existed)
    assert.is_true(existed_again)
    local ok, raised = pcall(create, "\255")
    assert.is_false(ok)
    assert.is_true(problem.is(raised))
  end)

  it("does not show one tenant's leads to another", function()
    tenants.create{ slug = "other", admin_email = "boss@other.test", admin_password = "a-long-password" }
    local _, lead = ask("POST", "/leads", { name = "Mine" })
    local own = world.token
    local _, login = ask("POST", "/auth/login", { email = "boss@other.test", password = "a-long-password" })
    world.token = login.token
    assert.equal(404, (ask("GET", "/leads/" .. lead.id)))
    assert.equal(403, (ask("GET", "/leads?tenantId=acme")))
    world.token = own
  end)

  it("numbers events without a gap, chains the audit rows and fills the stream", function()
    settle()
    for i, row in ipairs(sql.query(acme.db, "SELECT seq FROM event ORDER BY seq")) do assert.equal(i, row.seq) end
    assert.equal(count("SELECT COUNT(*) AS n FROM audit_log"), audit.verify(acme))
    sql.query(acme.db, "UPDATE audit_log SET actor = CONCAT(actor, 'x') WHERE seq = 3")
    assert.same({ nil, 3 }, { audit.verify(acme) })
    sql.query(acme.db, "UPDATE audit_log SET actor = LEFT(actor, LENGTH(actor) - 1) WHERE seq = 3")
  end)

  it("finds an event whose writer died between commit and mark", function()
    settle()
    local before = count("SELECT COUNT(*) AS n FROM event")
    db.transaction(acme.db, function(tx)
      audit.event(tx, { type = "x.y", subject = "s" })
      return true
    end)
    sequencer.sweep(acme)
    assert.equal(before + 1, count("SELECT COUNT(*) AS n FROM event"))
  end)

  it("puts no event into the stream twice when it died before noting it", function()
    settle()
    local length = redis.call("XLEN", rediskey("events:", "acme"))
    sql.query(acme.db, "UPDATE sequencer SET published = published - 2")
    sequencer.sweep(acme)
    assert.equal(length, redis.call("XLEN", rediskey("events:", "acme")))
    settle()
  end)

  it("forgot everybody's token when one came with much space before it", function()
    local verify, verified = crypto.jwt_verify, 0
    crypto.jwt_verify = function(...)
      verified = verified + 1
      return verify(...)
    end
    local function who(header) return assert(auth.authenticate({ method = "GET", headers = { authorization = header } }, true)) end
    local first = "Bearer " .. world.token
    local other = "Bearer " .. auth.token(who(first))
    local ok, err = pcall(function()
      who(other)
      verified = 0
      for i = 1, 5000 do who("bEARER " .. (" "):rep(i) .. world.token) end
      who(first)
      who(other)
    end)
    crypto.jwt_verify = verify
    assert.same({ true, nil }, { ok, err })
    assert.equal(0, verified)
  end)

  it("ends a log-in whose refresh token comes twice", function()
    local _, _, headers = ask("POST", "/auth/login", { email = "boss@other.test", password = "a-long-password" })
    local cookie = headers["Set-Cookie"][2]:match("^([^;]+)")
    local status, _, renewed = ask("POST", "/auth/refresh", nil, { cookie = cookie, authorization = false })
    assert.equal(200, status)
    sql.query(db.platform(), "UPDATE refresh_token SET used_at = used_at - INTERVAL 1 MINUTE WHERE used_at IS NOT NULL")
    assert.equal(401, (ask("POST", "/auth/refresh", nil, { cookie = cookie, authorization = false })))
    assert.equal(401, (ask("POST", "/auth/refresh", nil, { cookie = renewed["Set-Cookie"][2]:match("^([^;]+)"), authorization = false })))
  end)

  it("lets an operator in, who names the tenant", function()
    auth.put_operator("root@example.test", "an-operator-password")
    local own = world.token
    local _, login = ask("POST", "/auth/login", { email = "root@example.test", password = "an-operator-password" }, { authorization = false })
    world.token = login.token
    assert.equal(400, (ask("GET", "/leads")))
    assert.equal(200, (ask("GET", "/leads?tenantId=acme")))
    assert.equal(409, (ask("POST", "/admin/tenants", { slug = "acme", admin_email = "a@b.test", admin_password = "a-long-password" })))
    world.token = own
  end)

  it("tries a failed job again and keeps its error", function()
    local runs = 0
    jobs.define("spec.fails", { run = function()
      runs = runs + 1
      if runs == 1 then error("not yet") end
      return true
    end })
    jobs.put{ kind = "spec.fails", key = "a" }
    jobs.look()
    for _ = 1, 100 do
      if jobs.get(0, "spec.fails", "a").last_error then break end
      task.sleep(10)
    end
    assert.truthy(jobs.get(0, "spec.fails", "a").last_error:find("not yet", 1, true))
    sql.query(db.platform(), "UPDATE job SET due = '2000-01-01' WHERE kind = 'spec.fails'")
    jobs.look()
    for _ = 1, 100 do
      if not jobs.get(0, "spec.fails", "a") then break end
      task.sleep(10)
    end
    assert.equal(2, runs)
    assert.is_nil(jobs.get(0, "spec.fails", "a"))
  end)

  -- What wrote or dropped more than some 250 entries raised: the call stayed where it was, and its row stayed open.
  it("writes and drops a journal of a thousand entries", function()
    local record = require "calls.record"
    local fields, names = { head = { visit = 1 } }, {}
    for n = 1, 1000 do
      names[n] = "j1." .. n
      fields[names[n]] = { name = "log", args = "h", done = true, ok = true, value = true }
    end
    assert.is_true(record.write(acme, "n1.1", "c-n1-1-long", 5, fields))
    local read = record.read("n1.1", "c-n1-1-long", function() return acme end)
    assert.same(fields, read.fields)
    assert.is_true(record.write(acme, "n1.1", "c-n1-1-long", 5, { head = { visit = 2 } }, names))
    assert.same({ head = { visit = 2 } }, record.read("n1.1", "c-n1-1-long", function() return acme end).fields)
    record.remove("n1.1", "c-n1-1-long", 5)
  end)

  -- The names were forgotten with the write that failed: whoever took the call up found visits after the gap that counts them.
  it("drops what has left a call's history also when the write that was to do so failed", function()
    local Call, history, record = require "calls.call", require "calls.history", require "calls.record"
    local most, first, write = history.MAX_BYTES, history.FIRST_BYTES, record.write
    history.MAX_BYTES, history.FIRST_BYTES = 1000, 200
    local call = Call.new{ id = "c-n1-1-gap", tenant = acme, slot = "n1.1", node = "n1", fence = 5, channel = "1.1", direction = "inbound" }
    local function visit(n)
      call.visit = n
      call.history:add(n, ('{"visit":%d,"x":"%s"}'):format(n, ("x"):rep(150)))
      return call:keep({ head = call:head(), [("j%d.1"):format(n + 1)] = { name = "log" } }, { ("j%d.1"):format(n) })
    end
    for n = 1, 6 do assert.is_true(visit(n)) end
    record.write = function() return nil, { code = "closed", text = "Redis is away" } end
    for n = 7, 9 do assert.is_nil(visit(n)) end
    record.write = write
    for _ = 1, 200 do
      if not call.unwritten then break end
      task.sleep(10)
    end
    local read = record.read("n1.1", call.id, function() return acme end)
    assert.same(call.history.visits, history.new(read.fields).visits)
    assert.is_true(call.history.visits[2].gap >= 3)
    assert.is_nil(read.fields["j7.1"])
    record.remove("n1.1", call.id, 5)
    history.MAX_BYTES, history.FIRST_BYTES = most, first
  end)

  -- It was sent before, and came after where a server had to be told the script first.
  it("drops nothing that a quicker write has of a later visit", function()
    local record = require "calls.record"
    local fields = { head = { visit = 3 }, h2 = "{}", ["j3.1"] = { name = "log" }, ["j3.2"] = { name = "log" }, h3 = "{}" }
    assert.is_true(record.write(acme, "n1.1", "c-n1-1-quick", 5, fields))
    assert.is_true(record.write_all(acme, "n1.1", "c-n1-1-quick", 5, { head = { visit = 3 }, h2 = "{}", ["j3.1"] = { name = "log" } }, 3))
    assert.same(fields, record.read("n1.1", "c-n1-1-quick", function() return acme end).fields)
    record.remove("n1.1", "c-n1-1-quick", 5)
  end)

  it("runs a job again when it says in how many seconds", function()
    local runs = 0
    jobs.define("spec.again", { run = function() runs = runs + 1 return runs == 1 and 3600 or true end })
    jobs.put{ kind = "spec.again" }
    jobs.look()
    for _ = 1, 100 do
      if jobs.get(0, "spec.again", "").state == "waiting" and runs == 1 then break end
      task.sleep(10)
    end
    local row = jobs.get(0, "spec.again", "")
    assert.equal(1, runs)
    assert.is_true(row.due > time.ahead(3000))
    assert.is_nil(row.last_error)
    jobs.remove(0, "spec.again", "")
  end)

  describe("a call's row that stays open", function()
    local lost = require "calls.lost"
    local record = require "calls.record"
    local telephony = require "core.telephony"
    local status, request, nodes = telephony.status, telephony.request, config.telephony

    after_each(function() telephony.status, telephony.request, config.telephony = status, request, nodes end)

    local function row(name, age_s, answered)
      local at = time.ahead(-age_s)
      sql.query(acme.db, [[INSERT INTO `call` (public_id, direction, start_time, answer_time, status, node, slot, channel_id, node_boot, fence, updated_at)
        VALUES (?, 'inbound', ?, ?, ?, 'n1', 'n1.1', ?, 'b', 5, ?)]], "c-n1-1-" .. name, at, answered and at or sql.null,
        answered and "connected" or "ringing", name, time.ahead(10 - age_s))
    end

    local function ended(name)
      return sql.query(acme.db, "SELECT status, outcome, end_time, duration_seconds FROM `call` WHERE public_id = ?", "c-n1-1-" .. name)[1]
    end

    -- A worker died between the row and the first record, and the caller was gone before anybody looked.
    it("is closed when its call lives nowhere, and only then", function()
      local answers = { gone = 404, talked = 404, living = 200, recorded = 404, young = 404 }
      config.telephony = { nodes = { { name = "n1" } } }
      telephony.status = function() return { { slot = "n1.4", mine = true, state = "ready" } } end
      telephony.request = function(slot, _, path)
        assert.equal("n1.4", slot)
        return answers[path:match("[^/]+$")]  -- of "silent": none
      end
      row("gone", 3600)
      row("talked", 3600, true)
      row("living", 3600, true)
      row("recorded", 3600, true)
      row("silent", 3600, true)
      row("mine", 3600, true)
      row("young", 20)
      assert.is_true(record.write(acme, "n1.1", "c-n1-1-recorded", 5, { head = {} }))
      local function find(id) return id == "c-n1-1-mine" end
      assert.equal(60, lost.look(acme, find))
      assert.equal("failed", ended("gone").status)
      assert.equal("lost", ended("gone").outcome)
      assert.equal("completed", ended("talked").status)
      assert.equal(10, ended("talked").duration_seconds)
      for _, name in ipairs{ "living", "recorded", "silent", "mine", "young" } do assert.is_nil(ended(name).end_time, name) end
      assert.equal(2, count("SELECT (SELECT COUNT(*) FROM event WHERE type = 'call.ended') + (SELECT COUNT(*) FROM outbox WHERE type = 'call.ended') AS n"))
      record.remove("n1.1", "c-n1-1-recorded", 5)
      sql.query(acme.db, "DELETE FROM `call` WHERE end_time IS NULL")
      assert.is_true(lost.look(acme, find))
    end)
  end)

  it("goes on with a migration from wherever it died", function()
    local name = config.sql.schema .. "_m"
    local file = { name = "0001_a.sql", hash = ("a"):rep(64), statements = {
      "CREATE TABLE a (id INT PRIMARY KEY)", "INSERT INTO a VALUES (1)", "ALTER TABLE a ADD COLUMN z INT", "CREATE INDEX iz ON a (z)",
    } }
    local run, run_noted = migrate_store.run, migrate_store.run_noted
    for die_at = 1, #file.statements do
      for _, after in ipairs{ false, true } do
        sql.query("", ("DROP DATABASE IF EXISTS `%s`"):format(name))
        local n = 0
        local function dying(real)
          return function(...)
            n = n + 1
            if n == die_at and not after then error("died") end
            local result, err = real(...)
            if n == die_at then error("died") end
            return result, err
          end
        end
        migrate_store.run, migrate_store.run_noted = dying(run), dying(run_noted)
        local ok = pcall(migrate.schema, "", name, { file })
        migrate_store.run, migrate_store.run_noted = run, run_noted
        assert.is_false(ok)
        migrate.schema("", name, { file })
        assert.same({ { id = 1 } }, sql.query(name, "SELECT id, z FROM a"))
      end
    end
    sql.query("", ("DROP DATABASE `%s`"):format(name))
  end)
end)
