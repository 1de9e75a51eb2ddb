-- SPDX-License-Identifier: Apache-2.0
--- What somebody tries who has a log-in, a key or the disk, and wants more than is his. Against a real database and Redis.
local world = require "data_world"
if not world then
  describe("who wants more", function() pending("runs in the host, with sql.schema = \"..._test\"") end)
  return
end

local audit = require "audit"
local auth = require "auth"
local bit = require "bit"
local blob = require "core.blob"
local clock = require "core.clock"
local db = require "lib.db"
local json = require "core.json"
local media = require "core.media"
local recordings = require "calls.recordings"
local revoked = require "auth.revoked"
local router = require "lib.router"
local sequencer = require "audit.sequencer"
local sql = require "core.sql"
local store = require "calls.store"
local stream = require "audit.stream"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

local acme, other, admin
local ask = world.ask

local function as(token, ...)
  local own = world.token
  world.token = token
  local status, body, headers = ask(...)
  world.token = own
  return status, body, headers
end

local function key(fields)
  local status, body = ask("POST", "/auth/keys", fields)
  assert(status == 201, json.encode(body))
  return body.key, body.id
end

local function many(n) return json.decode(('{"d":'):rep(n) .. "1" .. ("}"):rep(n)) end

describe("who wants more", function()
  setup(function()
    world.begin{ "auth", "tenants", "agents", "leads", "audit" }
    acme = tenants.create{ slug = "acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    other = tenants.create{ slug = "other", admin_email = "boss@other.test", admin_password = "a-long-password" }
    auth.put_operator("root@example.test", "an-operator-password")
    admin = world.login("admin@acme.test", "a-long-password")
    world.token = admin
  end)

  it("cannot store a lead that keeps the list of leads from being read", function()
    local status, body = ask("POST", "/leads", { name = "deep", data = many(40) })
    assert.equal(422, status)
    assert.equal("#/data", body.errors[1].pointer)
    assert.equal(201, (ask("POST", "/leads", { name = "deep enough", data = many(32) })))
    assert.equal(200, (ask("GET", "/leads")))
  end)

  it("hears of an address or of scopes that are too long, instead of an error of the database", function()
    assert.equal(422, (ask("POST", "/agents", { email = ("\195\169"):rep(200) .. "@acme.test", password = "a-long-password" })))
    local scopes = json.array{}
    for i = 1, 30 do scopes[i] = ("a"):rep(20) .. ":" .. ("b"):rep(19) end
    assert.equal(422, (ask("POST", "/auth/keys", { name = "k", scopes = scopes })))
  end)

  it("makes with a key no key that may do more", function()
    local narrow = key{ name = "k", role = "admin", scopes = { "auth:write", "leads:*" } }
    for _, wanted in ipairs{ "*", "auth:*", "events:read" } do
      local status, body = as(narrow, "POST", "/auth/keys", { name = "more", role = "admin", scopes = { wanted } })
      assert.equal(403, status, wanted)
      assert.equal("scope_missing", body.code)
    end
    assert.equal(201, (as(narrow, "POST", "/auth/keys", { name = "less", scopes = { "leads:read", "auth:write" } })))
    assert.same({ { n = 0 } }, sql.query(db.platform(), "SELECT COUNT(*) AS n FROM api_key WHERE name = 'more'"))
  end)

  it("sees in the snapshot of /ws only what its key may read", function()
    stream.snapshot_part("secret", "calls:read", function() return "a phone number" end)
    local function snapshot_for(scopes)
      local sent
      local ws = { send = function(_, text) sent = sent or json.decode(text) return true end, queued = function() return 0 end, close = function() end }
      local handler = stream.open{ query = {}, slug = "acme", user = { id = "pk_1", role = "agent", tenant = "acme", scopes = scopes } }
      handler.on_open(ws)
      handler.on_close(1000)
      return sent
    end
    assert.is_nil(snapshot_for({ "events:read" }).secret)
    assert.equal("a phone number", snapshot_for({ "events:read", "calls:read" }).secret)
    assert.equal("a phone number", snapshot_for(nil).secret)
  end)

  it("loses its WebSocket when its tenant is suspended", function()
    router.socket{ path = "/spec", roles = { "admin" }, open = function() return {} end }
    local boss = world.login("boss@other.test", "a-long-password")
    local closed
    local ws = { close = function(_, code) closed = code end }
    local handler = router.upgrade{ method = "GET", path = "/spec", query = "", headers = { authorization = "Bearer " .. boss } }
    handler.on_open(ws)
    local root = world.login("root@example.test", "an-operator-password")
    assert.equal(200, (as(root, "PATCH", "/admin/tenants/other", { status = "suspended" })))
    for _ = 1, 300 do
      if closed then break end
      task.sleep(10)
    end
    assert.equal(4403, closed)
    assert.equal(200, (as(root, "PATCH", "/admin/tenants/other", { status = "active" })))
  end)

  it("gets the first answer for a repeated key, and one key only", function()
    local once = { ["idempotency-key"] = "key-once" }
    local status, first = ask("POST", "/auth/keys", { name = "once", scopes = { "leads:read" } }, once)
    assert.equal(201, status)
    local _, again, headers = ask("POST", "/auth/keys", { name = "once", scopes = { "leads:read" } }, once)
    assert.same(first, again)
    assert.equal("true", headers["Idempotent-Replayed"])
    assert.same({ { n = 1 } }, sql.query(db.platform(), "SELECT COUNT(*) AS n FROM api_key WHERE name = 'once'"))
    for _, row in ipairs(sql.query(db.platform(), "SELECT response FROM idempotency")) do
      assert.is_nil(row.response:find(first.key, 1, true))
    end
    local gone = { ["idempotency-key"] = "revoke-once" }
    assert.equal(204, (ask("DELETE", "/auth/keys/" .. first.id, nil, gone)))
    assert.equal(204, (ask("DELETE", "/auth/keys/" .. first.id, nil, gone)))
    assert.equal(404, (ask("DELETE", "/auth/keys/" .. first.id)))
  end)

  it("gets the first answer for a tenant that is made twice, also when the first try died on its way", function()
    local root, once = world.login("root@example.test", "an-operator-password"), { ["idempotency-key"] = "tenant-once" }
    local body = { slug = "once", admin_email = "a@once.test", admin_password = "a-long-password" }
    local link = require("agents").link
    require("agents").link = function() error("died") end
    assert.equal(500, (as(root, "POST", "/admin/tenants", body, once)))
    require("agents").link = link
    local status, first = as(root, "POST", "/admin/tenants", body, once)
    assert.equal(201, status)
    assert.equal("active", first.status)
    local again, second = as(root, "POST", "/admin/tenants", body, once)
    assert.equal(201, again)
    assert.same(first, second)
    assert.equal(409, (as(root, "POST", "/admin/tenants", body)))
    assert.equal(422, (as(root, "POST", "/admin/tenants", { slug = "twice", admin_email = "a@once.test", admin_password = "a-long-password" }, once)))
    assert.is_nil(tenants.get("twice"))
  end)

  it("cannot bring all migrations to a halt by a tenant on a server that is not there", function()
    local root = world.login("root@example.test", "an-operator-password")
    local status, body = as(root, "POST", "/admin/tenants", { slug = "lost", admin_email = "a@lost.test", admin_password = "a-long-password", database = "nope" })
    assert.equal(422, status)
    assert.equal("#/database", body.errors[1].pointer)
    -- One that was begun by an older version, or by a configuration that has changed since.
    sql.query(db.platform(), "INSERT INTO tenant (slug, name, `database`, schema_name, data_key) VALUES ('half', 'half', 'nope', 'parley_test_t_half', 'x')")
    local _, failures = tenants.migrate_all()
    assert.same({}, failures)
  end)

  it("ends what a changed password had open also when the change is repeated after a crash", function()
    local _, agent = ask("POST", "/agents", { email = "eve@acme.test", password = "a-long-password" })
    local session = world.login("eve@acme.test", "a-long-password")
    local once, logins = { ["idempotency-key"] = "password-once" }, revoked.logins
    revoked.logins = function() error("died") end
    assert.equal(500, (ask("PATCH", "/agents/" .. agent.id, { password = "another-password" }, once)))
    revoked.logins = logins
    assert.equal(200, (as(session, "GET", "/leads")))
    assert.equal(200, (ask("PATCH", "/agents/" .. agent.id, { password = "another-password" }, once)))
    assert.equal(401, (as(session, "GET", "/leads")))
  end)

  it("cannot tell from the time of a refusal whether an e-mail is known, nor in how many tenants", function()
    for i = 1, 3 do
      local made = tenants.create{ slug = "shared-" .. i, admin_email = "shared@many.test", admin_password = "a-long-password-" .. i }
      assert.equal("active", made.status)
    end
    local function took(email)
      local began = clock.mono_ms()
      assert.equal(401, (ask("POST", "/auth/login", { email = email, password = "wrong" })))
      return clock.mono_ms() - began
    end
    for _, email in ipairs{ "nobody@nowhere.test", "admin@acme.test", "shared@many.test" } do
      local ms = took(email)
      assert.is_true(math.abs((ms + 250) % 500 - 250) < 60, email .. " " .. ms)  -- at a step, but for what the loop does besides
    end
  end)

  it("cannot keep somebody else from logging in by guessing at his password", function()
    local function try(remote, password)
      local answer = router.handle{ method = "POST", path = "/auth/login", query = "", remote = remote, secure = false,
        headers = { host = "x:1", ["content-type"] = "application/json" }, body = json.encode{ email = "victim@acme.test", password = password } }
      return answer.status
    end
    assert.equal(201, (ask("POST", "/agents", { email = "victim@acme.test", password = "a-long-password" })))
    local refused
    for _ = 1, 15 do refused = try("203.0.113.7", "wrong") == 429 or refused end
    assert.is_true(refused)
    assert.equal(200, try("203.0.113.8", "a-long-password"))
  end)

  it("is refused at once when he asks again and again, without asking Redis each time", function()
    local ratelimit = require "lib.ratelimit"
    -- Outside of a task whoever must wait raises.
    local function at_once() return coroutine.wrap(ratelimit.take)("heavy", "who floods") end
    for _ = 1, 20 do assert.is_true((ratelimit.take("heavy", "who floods"))) end
    assert.is_false((ratelimit.take("heavy", "who floods")))
    for _ = 1, 5 do assert.same({ false, 1 }, { at_once() }) end
    assert.is_true((ratelimit.take("heavy", "another")))
    ratelimit.give_back("heavy", "who floods")
    assert.is_true((ratelimit.take("heavy", "who floods")))
    assert.is_false((ratelimit.take("heavy", "who floods")))
    task.sleep(600)
    assert.is_true((ratelimit.take("heavy", "who floods")))
  end)

  it("cannot go on with a token that was good a moment ago", function()
    local _, me = ask("GET", "/auth/me")
    local user = { id = me.id, role = "admin", tenant = "acme" }
    local short = auth.token(user, 1)
    assert.equal(200, (as(short, "GET", "/leads")))
    assert.equal(200, (as(short, "GET", "/leads")))
    assert.equal(401, (as(short:sub(1, -2) .. (short:sub(-1) == "A" and "B" or "A"), "GET", "/leads")))
    task.sleep(2100)
    assert.equal(401, (as(short, "GET", "/leads")))
    user.session = "abcd"
    local ended = auth.token(user)
    assert.equal(200, (as(ended, "GET", "/leads")))
    revoked.session("abcd")
    assert.equal(401, (as(ended, "GET", "/leads")))
  end)

  it("has no session from a password that was changed while it was checked", function()
    local crypto = require "core.crypto"
    local _, agent = ask("POST", "/agents", { email = "race@acme.test", password = "a-long-password" })
    local verify = crypto.password_verify
    crypto.password_verify = function(...)
      local fits = verify(...)
      crypto.password_verify = verify
      assert.equal(200, (ask("PATCH", "/agents/" .. agent.id, { password = "another-password" })))
      return fits
    end
    assert.equal(401, (ask("POST", "/auth/login", { email = "race@acme.test", password = "a-long-password" })))
    assert.same({ { n = 0 } }, sql.query(db.platform(), "SELECT COUNT(*) AS n FROM refresh_token WHERE user_id = ? AND revoked_at IS NULL",
      require("lib.ids").decode("us", agent.id)))
    assert.equal(200, (ask("POST", "/auth/login", { email = "race@acme.test", password = "another-password" })))
  end)

  it("cannot take audit rows off the end of the chain unseen", function()
    sequencer.sweep(acme)
    local n = audit.verify(acme)
    assert.is_true(n > 2)
    db.transaction(acme.db, function(tx)
      db.run(tx, "CREATE TEMPORARY TABLE kept AS SELECT * FROM audit_log WHERE seq = ?", n)
      db.run(tx, "DELETE FROM audit_log WHERE seq = ?", n)
      return true
    end)
    assert.same({ nil, n }, { audit.verify(acme) })
  end)

  it("does not make the list of live calls slower with each call that was escalated once", function()
    for i = 1, 400 do
      sql.query(acme.db, "INSERT INTO `call` (public_id, direction, start_time, end_time, status, channel_id) VALUES (?, 'inbound', ?, ?, 'escalated', ?)",
        "old-" .. i, time.now(), time.now(), "old-" .. i)
    end
    sql.query(acme.db, "INSERT INTO `call` (public_id, direction, start_time, status, channel_id) VALUES ('up-1', 'inbound', ?, 'escalated', 'up-1')", time.now())
    sql.query(acme.db, "ANALYZE TABLE `call`")
    local real, text, values = db.query, nil, nil
    db.query = function(name, statement, ...)
      text, values = statement, { ... }
      return real(name, statement, ...)
    end
    for _, ask_store in ipairs{ function() return store.active(acme.db, 500) end, function() return store.list(acme.db, { active = true }, nil, 50) end,
      function() return store.active_count(acme.db) end } do
      local found = ask_store()
      assert.equal(1, type(found) == "number" and found or #found)
      for _, step in ipairs(real(acme.db, "EXPLAIN " .. text, unpack(values))) do assert.is_true(tonumber(step.rows) < 10, step.table .. " " .. step.rows) end
    end
    db.query = real
    sql.query(acme.db, "DELETE FROM `call` WHERE channel_id LIKE 'old-%' OR channel_id = 'up-1'")
  end)

  it("finds the ended calls behind any number of those that are up, and reads no more than are asked for", function()
    for i = 1, 600 do
      local ended = i <= 400
      sql.query(acme.db, "INSERT INTO `call` (public_id, direction, start_time, end_time, status, channel_id) VALUES (?, 'inbound', ?, ?, ?, ?)",
        "many-" .. i, time.now(), ended and time.now() or nil, ended and "completed" or "connected", "many-" .. i)
    end
    sql.query(acme.db, "ANALYZE TABLE `call`")
    local real, text, values = db.query, nil, nil
    db.query = function(name, statement, ...)
      text, values = statement, { ... }
      return real(name, statement, ...)
    end
    local newest = store.list(acme.db, { active = false }, nil, 20)
    assert.equal(20, #newest)
    assert.same({ "many-400", "many-381" }, { newest[1].public_id, newest[20].public_id })
    for _, filter in ipairs{ {}, { active = false }, { active = true }, { active = false, status = "completed" }, { active = true, status = "connected" },
      { active = false, phone_hash = "none" } } do
      store.list(acme.db, filter, 1e9, 20)
      for _, step in ipairs(real(acme.db, "EXPLAIN " .. text, unpack(values))) do
        assert.is_nil((step.Extra or ""):find("filesort", 1, true), text .. ": " .. tostring(step.key) .. " " .. tostring(step.Extra))
      end
    end
    db.query = real
    assert.equal(600, #store.list(acme.db, {}, nil, 700))
    assert.equal(200, #store.list(acme.db, { active = true }, nil, 700))
    sql.query(acme.db, "DELETE FROM `call` WHERE channel_id LIKE 'many-%'")
  end)

  describe("with a recording", function()
    local row, real, on_audio

    setup(function()
      real = media.recorder
      media.recorder = function(given)
        on_audio = given.on_audio
        return { close = function() end }
      end
      local call_id = sql.query(acme.db, "INSERT INTO `call` (public_id, direction, start_time, status, channel_id) VALUES ('c-1', 'inbound', ?, 'connected', 'x')", time.now()).insert_id
      local leg = {}
      local recording = assert(recordings.open({ id = "c-1", tenant = acme, row_id = call_id, leg = leg, recorders = {} }, { kind = "message", key = "k1", left = leg }))
      for _ = 1, 3 do on_audio(("ab"):rep(160), 0) end
      recording:close("key")
      row = store.recording(acme.db, recording.public_id)
    end)
    teardown(function() media.recorder = real end)

    local function refused(tenant, as_row)
      local wav, err = recordings.wav(tenant or acme, as_row or row)
      assert.is_nil(wav)
      assert.equal("denied", err.code)
      return err.text
    end

    local function with_segment(text, value, fn)
      local segment = sql.query(acme.db, "SELECT id, wrapped_key, blob_key, chunks FROM recording_segment WHERE recording_id = ?", row.id)[1]
      sql.query(acme.db, "UPDATE recording_segment SET " .. text .. " = ? WHERE id = ?", value, segment.id)
      fn()
      sql.query(acme.db, "UPDATE recording_segment SET wrapped_key = ?, blob_key = ?, chunks = ? WHERE id = ?", segment.wrapped_key, segment.blob_key, segment.chunks, segment.id)
    end

    it("hears it with the key of its own tenant", function()
      local parts = {}
      assert.is_true(assert(recordings.wav(acme, row))(function(bytes)
        parts[#parts + 1] = bytes
        return true
      end))
      assert.equal(44 + 3 * 320, #table.concat(parts))
    end)

    it("cannot open it with the key of another tenant", function()
      local thief = {}
      for name, value in pairs(other) do thief[name] = value end
      thief.db = acme.db  -- as if the rows had been copied into the other's schema
      assert.truthy(refused(thief):find("not one of this tenant", 1, true))
    end)

    it("cannot open it with a key that another tenant has wrapped, or that belongs to another segment", function()
      local crypto = require "core.crypto"
      local segment = store.segments(acme.db, row.id)[1]
      local segment_key = crypto.open(crypto.derive(acme.key, "recording-keys"), segment.wrapped_key, segment.blob_key)
      with_segment("wrapped_key", crypto.seal(crypto.derive(other.key, "recording-keys"), segment_key, segment.blob_key), function() refused() end)
      with_segment("wrapped_key", crypto.seal(crypto.derive(acme.key, "recording-keys"), segment_key, "recordings/1/else"), function() refused() end)
      with_segment("wrapped_key", crypto.seal(crypto.derive(acme.key, "recording-keys"), crypto.random(32), segment.blob_key), function() refused() end)
    end)

    it("cannot give it out as another recording, cut it or move its chunks", function()
      local segment = store.segments(acme.db, row.id)[1]
      refused(acme, { id = row.id, public_id = "rc_other", state = row.state })
      local bytes = blob.get(segment.blob_key)
      local size = 4 + 320 + 28
      for name, changed in pairs{
        ["cut behind a chunk"] = bytes:sub(1, 2 * size), ["the first chunk gone"] = bytes:sub(size + 1), ["a bit of it"] = bytes:sub(1, 40) .. "\1" .. bytes:sub(42),
        ["two chunks in each other's place"] = bytes:sub(size + 1, 2 * size) .. bytes:sub(1, size) .. bytes:sub(2 * size + 1), ["all of it gone"] = false,
      } do
        if changed then blob.put(segment.blob_key, changed) else blob.remove(segment.blob_key) end
        refused()
        assert.is_string(name)
      end
      blob.put(segment.blob_key, bytes)
      assert.truthy(recordings.wav(acme, row))
    end)

    it("hears it as MP3, and is given none of one that is damaged", function()
      local write = assert(recordings.mp3(acme, row))
      local parts = {}
      assert.is_true(write(function(bytes)
        parts[#parts + 1] = bytes
        return true
      end))
      local bytes = table.concat(parts)
      assert.equal(255, bytes:byte(1))
      assert.is_true(#bytes > 200 and #bytes < 4000)
      assert.is_true(assert(recordings.mp3(acme, row))(function() return nil, "gone" end))
      local sealed = blob.get(store.segments(acme.db, row.id)[1].blob_key)
      local part = blob.part
      blob.part = function(_, from, most) return (sealed:sub(1, 99) .. "\1" .. sealed:sub(101)):sub(from + 1, from + most) end
      local none, err = recordings.mp3(acme, row)
      blob.part = part
      assert.same({ nil, "denied" }, { none, err.code })
    end)

    it("notices each byte of it that is flipped", function()
      local segment = store.segments(acme.db, row.id)[1]
      local bytes = blob.get(segment.blob_key)
      local changed
      local part = blob.part
      blob.part = function(_, from, most) return changed:sub(from + 1, from + most) end
      local heard = {}
      for at = 1, #bytes do
        for _, bits in ipairs{ 1, 128, 255 } do
          changed = bytes:sub(1, at - 1) .. string.char(bit.bxor(bytes:byte(at), bits)) .. bytes:sub(at + 1)
          if recordings.wav(acme, row) then heard[#heard + 1] = at end
        end
      end
      blob.part = part
      assert.same({}, heard)
      assert.truthy(recordings.wav(acme, row))
    end)
  end)
end)
