-- SPDX-License-Identifier: Apache-2.0
--- Transcripts in a real database: masked before they are written, once by their number, by the call's owner only, and what becomes of them.
local world = require "data_world"
if not world then
  describe("transcripts", function() pending("need the host and a database of their own") end)
  return
end
local audit = require "audit"
local blob = require "core.blob"
local Call = require "calls.call"
local clock = require "core.clock"
local config = require "core.config"
local core = require "core.remains"
local db = require "lib.db"
local file = require "core.file"
local ids = require "lib.ids"
local jobs = require "lib.jobs"
local keeping = require "calls.keeping"
local pii = require "lib.pii"
local remains = require "lib.remains"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"
local transcript = require "calls.transcript"

local FORM = "AC-######"

describe("transcripts", function()
  local tenant, call

  setup(function()
    world.begin{ "auth", "tenants", "calls", "agents" }
    tenant = tenants.create{ slug = "talks", name = "Talks", admin_email = "a@talks.example", admin_password = "a-Long-password" }
  end)

  local function make(name, fence)
    return audit.transaction(tenant, function(tx)
      local id = db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status, fence) VALUES (?, 'inbound', ?, 'connected', ?)", name, time.now(), fence or 5).insert_id
      return { id = name, row_id = id, tenant = tenant, slot = "n1.1", fence = 5 }
    end)
  end

  local n = 0
  before_each(function()
    n = n + 1
    call = make("c-n1-1-t" .. n)
  end)

  local function settled(of)
    for _ = 1, 200 do
      if transcript.waiting() == 0 then break end
      task.sleep(20)
    end
    return transcript.of(tenant, (of or call).id)
  end

  it("are read in their order, with who said what when, and the stages of its turn", function()
    transcript.add(call, { n = 2, party = "agent", text = "Good day. How can I help you?", heard = "Good day. How can", began_ms = 900, ended_ms = 2100,
      timeline = { turn = 1, gap_ms = 812.5, model_ms = 300, note = "the caller's words", counts = { filler = 1, who = "he" } } })
    transcript.add(call, { n = 1, party = "caller", text = "Hello?", began_ms = 0.4, ended_ms = 700, sentiment = "neutral", confidence = 0.876 })
    transcript.add(call, { n = 3, party = "human", text = "Ann speaking.", sentiment = "cheerful" })
    transcript.add(call, { n = 4, party = "agent", text = "Nobody heard this.", heard = "" })
    local list = settled()
    assert.equal(3, #list)
    assert.equal("Hello?", list[1].text)
    assert.same({ 1, "caller", 0, 700, "neutral", 0.88, false }, { list[1].n, list[1].speaker, list[1].beganMs, list[1].endedMs, list[1].sentiment, list[1].confidence, list[1].interrupted })
    assert.same({ 2, "ai", "Good day. How can", true }, { list[2].n, list[2].speaker, list[2].text, list[2].interrupted })
    assert.same({ turn = 1, gap_ms = 812.5, model_ms = 300, counts = { filler = 1 } }, list[2].timeline)
    assert.same({ "agent" }, { list[3].speaker, list[3].sentiment })
    assert.equal("[0:00] Caller: Hello?\n[0:00] AI: Good day. How can [interrupted]\n[0:00] Agent: Ann speaking.\n", transcript.text(list))
  end)

  it("hold no personal value in any row, sealed or not, though it is told in parts", function()
    transcript.add(call, { n = 1, party = "caller", text = "My card is four one one one 1111" })
    transcript.add(call, { n = 2, party = "agent", text = "Yes?" })
    transcript.add(call, { n = 3, party = "caller", text = "1111 1111 and mail jo@example.org" })
    local list = settled()
    assert.same({ "My card is [CARD]", "Yes?", "[CARD] and mail [EMAIL]" }, { list[1].text, list[2].text, list[3].text })
  end)

  it("hold no card's number either that is told behind many utterances of digits", function()
    local told = { "4711", "23", "42", "0815", "17", "99", "4111", "1111", "1111", "1111", "That is it." }
    for i, text in ipairs(told) do transcript.add(call, { n = i, party = "caller", text = text }) end
    local list = settled()
    assert.equal(11, #list)
    for i = 7, 10 do assert.equal("[CARD]", list[i].text) end
  end)

  it("that are longer than is kept hold no part of a number that the end goes through", function()
    for i = 1, 9 do
      transcript.add(call, { n = i, party = "caller", text = ("word "):rep(3196) .. ("a"):rep(i) .. " 4111 1111 1111 1111 please" })
    end
    local list = settled()
    for i = 1, 9 do
      assert.equal(("a"):rep(i), list[i].text:match("(%a+)%s*$"))
      assert.is_nil(list[i].text:find("%d"))
    end
  end)

  it("hold no card's number that is told digit by digit", function()
    for i = 1, 16 do transcript.add(call, { n = i, party = "caller", text = i == 1 and "4" or "1" }) end
    transcript.add(call, { n = 17, party = "caller", text = "That is it." })
    local list = settled()
    assert.equal(17, #list)
    for i = 1, 16 do assert.equal("[CARD]", list[i].text) end
  end)

  -- A "yes" ended it: its first half was in one row, and the second in another.
  it("hold no card's number either between the groups of which something was said that says nothing", function()
    for i, text in ipairs{ "4111 1111", "Um.", "1111", "[coughs]", "yes, and", "1111", "That is it." } do transcript.add(call, { n = i, party = "caller", text = text }) end
    local texts = {}
    for i, line in ipairs(settled()) do texts[i] = line.text end
    assert.same({ "[CARD]", "Um.", "[CARD]", "[coughs]", "yes, and", "[CARD]", "That is it." }, texts)
  end)

  it("wait for what follows digits, and not for ever", function()
    transcript.add(call, { n = 1, party = "caller", text = "It is 4111" })
    transcript.add(call, { n = 2, party = "agent", text = "Go on." })
    task.sleep(400)
    local list = transcript.of(tenant, call.id)
    assert.same({ 1, "Go on." }, { #list, list[1].text })
    transcript.add(call, { n = 3, party = "caller", text = "No, I will write to you." })
    task.sleep(700)
    assert.same({ "It is 4111", "Go on.", "No, I will write to you." }, { transcript.of(tenant, call.id)[1].text, transcript.of(tenant, call.id)[2].text,
      transcript.of(tenant, call.id)[3].text })
    transcript.add(call, { n = 4, party = "caller", text = "Well, 4711" })
    transcript.finish(call)
    assert.equal("Well, 4711", settled()[4].text)
  end)

  -- After 15 s its first group was let go, and was no part of a number: the recogniser was busy with the others.
  it("wait for the rest of a number for as long as its text is on its way, and not for ever then", function()
    local real, passed = clock.mono_ms, 0
    clock.mono_ms = function() return real() + passed end
    local function pass(ms)
      for _ = 1, ms / 4000 do
        passed = passed + 4000
        task.sleep(250)
      end
    end
    local ok, problem = pcall(function()
      call.card_voice = { texts = { {} } }
      transcript.add(call, { n = 1, party = "caller", text = "It is 4111 1111" })
      task.sleep(250)
      pass(28000)
      assert.equal(0, #transcript.of(tenant, call.id))
      call.card_voice = nil
      passed = passed + 2000  -- until the caller's turn has ended
      transcript.add(call, { n = 2, party = "caller", text = "1111 1111" })
      task.sleep(500)
      pass(16000)
      assert.same({ "It is [CARD]", "[CARD]" }, { settled()[1].text, settled()[2].text })
      call.card_voice = { speaking = true, texts = {} }
      transcript.add(call, { n = 3, party = "caller", text = "It is 4711" })
      pass(136000)
      assert.equal("It is 4711", settled()[3].text)
    end)
    clock.mono_ms = real
    if not ok then error(problem, 0) end
  end)

  -- What ended in digits waited for more until the row was the successor's, and was refused then: it was lost at every planned hand-over.
  it("are written before their call is given away, though they end in digits", function()
    local given = Call.new{ id = call.id, row_id = call.row_id, tenant = tenant, slot = "n1.1", fence = 5, channel = "1.9" }
    transcript.add(given, { n = 1, party = "caller", text = "It is 4111" })
    task.sleep(300)
    given:freeze()
    transcript.add(given, { n = 2, party = "caller", text = "And 12" })
    transcript.settle_calls({ given }, 2000)
    local list = transcript.of(tenant, call.id)
    assert.same({ 2, "It is 4111", "And 12" }, { #list, list[1] and list[1].text, list[2] and list[2].text })
    transcript.add(given, { n = 3, party = "caller", text = "Or 13" })
    assert.equal("Or 13", (settled()[3] or {}).text)
  end)

  it("are not waited for longer than the calls can wait", function()
    local real = keeping.of
    keeping.of = function() error("away", 0) end
    transcript.add(call, { n = 1, party = "caller", text = "Hello." })
    local began = clock.mono_ms()
    transcript.settle_calls({ call }, 100)
    keeping.of = real
    assert.is_true(clock.mono_ms() - began < 1000)
    assert.equal("Hello.", settled()[1].text)
  end)

  -- What waited in a worker that was killed was lost.
  it("that wait when their worker is killed are written by another, once, with no digit that may be of a number", function()
    local hold, away = store.hold, true
    store.hold = function(...)
      if away then db.query("no_such_schema", "SELECT nothing FROM nowhere") end
      return hold(...)
    end
    transcript.add(call, { n = 1, party = "caller", text = "I am Jo, jo@example.org." })
    transcript.add(call, { n = 2, party = "caller", text = "My card is four one one one 1111" })
    task.sleep(400)
    local folder = config.run_dir .. "/remains"
    local bytes = {}
    for _, name in ipairs(file.list(folder)) do bytes[#bytes + 1] = file.read(folder .. "/" .. name) end
    bytes = table.concat(bytes)
    local dead = assert(core.create(folder, "dead.transcript"))
    dead:add(bytes)
    dead:leave()
    assert.is_nil(bytes:find("example", 1, true))
    local expect, expected = keeping.expect, nil
    keeping.expect = function(of) expected = of end
    remains.look(function(id) return id == tenant.id and tenant or nil end)
    keeping.expect = expect
    assert.equal(tenant, expected)  -- they end as others do
    local list = transcript.of(tenant, call.id)
    assert.same({ 2, "I am Jo, [EMAIL].", "My card is [NUMBER]" }, { #list, list[1] and list[1].text, list[2] and list[2].text })
    away = false
    transcript.add(call, { n = 3, party = "caller", text = "and no more." })
    list = settled()
    store.hold = hold
    assert.same({ 3, "I am Jo, [EMAIL].", "My card is [NUMBER]", "and no more." }, { #list, list[1].text, list[2].text, list[3].text })
    for _, name in ipairs(file.list(folder)) do assert.equal("", file.read(folder .. "/" .. name)) end
  end)

  it("have each utterance once, whoever adds it again", function()
    transcript.add(call, { n = 1, party = "caller", text = "Hello." })
    settled()
    transcript.add({ id = call.id, row_id = call.row_id, tenant = tenant, slot = "n1.1", fence = 6 }, { n = 1, party = "caller", text = "Hello again." })
    assert.equal("Hello.", settled()[1].text)
    assert.equal(1, #settled())
  end)

  it("are not written by who has lost the call", function()
    db.query(tenant.db, "UPDATE `call` SET fence = 9 WHERE id = ?", call.row_id)
    transcript.add(call, { n = 1, party = "caller", text = "Hello." })
    assert.equal(0, #settled())
  end)

  it("lose nothing while the database is away, and keep their order", function()
    local real, away = db.transaction, true
    local failure = select(2, pcall(db.query, "no_such_schema", "SELECT nothing FROM nowhere"))
    failure.code = "closed"
    db.transaction = function(...)
      if away then error(failure, 0) end
      return real(...)
    end
    for i = 1, 120 do transcript.add(call, { n = i, party = "agent", text = "Sentence " .. string.char(64 + i % 26) .. "." }) end
    task.sleep(300)
    assert.equal(120, transcript.waiting())
    away = false
    task.sleep(600)
    db.transaction = real
    local list = settled()
    assert.equal(120, #list)
    for i = 1, 120 do assert.equal(i, list[i].n) end
  end)

  it("wait in bounded number", function()
    local real = keeping.of
    keeping.of = function() error("away", 0) end
    for i = 1, 510 do transcript.add(call, { n = i, party = "agent", text = "So." }) end
    assert.equal(500, transcript.waiting())
    keeping.of = real
    assert.equal(500, #settled())
  end)

  it("are masked by the tenant's own forms too", function()
    audit.transaction(tenant, function(tx)
      local settings = keeping.read(tenant, tx)
      settings.masks = { { name = "CONTRACT", form = FORM } }
      keeping.set(tx, settings)
    end)
    keeping.moved(tenant)
    transcript.add(call, { n = 1, party = "caller", text = "It is about AC-123456, please." })
    assert.equal("It is about [CONTRACT], please.", settled()[1].text)
  end)

  describe("over HTTP", function()
    setup(function()
      local status, answer = world.ask("POST", "/auth/login", { email = "a@talks.example", password = "a-Long-password" })
      assert.equal(200, status)
      world.token = answer.token
    end)

    it("are JSON or text, and whoever reads them is written down", function()
      transcript.add(call, { n = 1, party = "caller", text = "Hello.", began_ms = 61000 })
      settled()
      local status, answer = world.ask("GET", "/calls/" .. call.id .. "/transcript")
      assert.same({ 200, "Hello.", "caller", false }, { status, answer.utterances[1].text, answer.utterances[1].speaker, answer.ended })
      local _, text, headers = world.ask("GET", "/calls/" .. call.id .. "/transcript?as=text")
      assert.equal("[1:01] Caller: Hello.\n", text)
      assert.truthy(headers["Content-Type"]:find("text/plain", 1, true))
      local noted = "(SELECT COUNT(*) FROM %s WHERE action = 'call.transcript_read' AND subject = ?)"
      assert.equal(2, db.query(tenant.db, "SELECT " .. noted:format("audit_pending") .. " + " .. noted:format("audit_log") .. " AS n", call.id, call.id)[1].n)
      assert.equal(404, (world.ask("GET", "/calls/c-n1-1-none/transcript")))
      assert.equal(400, (world.ask("GET", "/calls/" .. call.id .. "/transcript?as=pdf")))
    end)

    it("have a policy that is changed in parts and checked", function()
      local status, answer = world.ask("PATCH", "/calls/policy", { recording = "announce", announcement = "We record this.", recordingDays = 30 })
      assert.same({ 200, "announce", "We record this.", 30, 2555 }, { status, answer.recording, answer.announcement, answer.recordingDays, answer.transcriptDays })
      answer = select(2, world.ask("PATCH", "/calls/policy", { recording = "on", announcement = require("core.json").null, transcriptDays = 7,
        masks = { { name = "BADGE", form = "@@-##" } } }))
      assert.same({ "on", 30, 7, "BADGE" }, { answer.recording, answer.recordingDays, answer.transcriptDays, answer.masks[1].name })
      assert.equal(answer.transcriptDays, select(2, world.ask("GET", "/calls/policy")).transcriptDays)
      status, answer = world.ask("PATCH", "/calls/policy", { masks = { { name = "BADGE", form = "@@##" }, { name = "no", form = "@@##" } } })
      assert.same({ 422, "#/masks/1" }, { status, answer.errors[1].pointer })
      assert.equal(422, (world.ask("PATCH", "/calls/policy", { recordingDays = 0 })))
      assert.equal(422, (world.ask("PATCH", "/calls/policy", { recording = "always" })))
      world.ask("PATCH", "/calls/policy", { recording = "flow", recordingDays = 2555, transcriptDays = 2555, masks = require("core.json").array{} })
    end)

    it("are an agent's only where the call is his", function()
      local made, agent = world.ask("POST", "/agents", { email = "ann@talks.example", password = "a-Long-password", role = "agent", name = "Ann" })
      assert.equal(201, made)
      local mine = world.token
      local _, answer = world.ask("POST", "/auth/login", { email = "ann@talks.example", password = "a-Long-password" })
      world.token = answer.token
      assert.equal(403, (world.ask("GET", "/calls/" .. call.id .. "/transcript")))
      db.query(tenant.db, "UPDATE `call` SET agent_id = ? WHERE id = ?", ids.decode("us", agent.id), call.row_id)
      assert.equal(200, (world.ask("GET", "/calls/" .. call.id .. "/transcript")))
      assert.equal(403, (world.ask("GET", "/calls/policy")))
      world.token = mine
    end)
  end)

  describe("that are old", function()
    local function recording(name, days, state)
      local at = time.sql(clock.wall_us() - days * 86400e6)
      local key = ("recordings/%d/%s/one"):format(tenant.id, name)
      assert(blob.put(key, "sound"))
      audit.transaction(tenant, function(tx)
        local id = db.run(tx, "INSERT INTO recording (public_id, call_id, kind, codec, state, started_at) VALUES (?, ?, 'call', 'pcm_s16le', ?, ?)", name, call.row_id, state or "stored", at).insert_id
        store.segment_insert(tx, { recording_id = id, blob_key = key, started_at = at, wrapped_key = "k" })
      end)
      return key
    end

    it("go with their recordings, blob and rows, and the younger ones stay", function()
      audit.transaction(tenant, function(tx)
        local settings = keeping.read(tenant, tx)
        settings.transcriptDays, settings.recordingDays = 10, 20
        keeping.set(tx, settings)
        for i, days in ipairs{ 9, 11, 30 } do
          store.utterances_insert(tx, call.row_id, { { i, "caller", require("core.crypto").hex(pii.seal(tenant, "transcript.text", "x")), require("core.json").null,
            time.sql(clock.wall_us() - days * 86400e6), require("core.json").null, 0, 0, 0, require("core.json").null } })
        end
      end)
      local old, young, open = recording("rc_old", 21), recording("rc_young", 19), recording("rc_open", 40, "open")
      local before = db.query(tenant.db, "SELECT COUNT(*) AS n FROM outbox WHERE type = 'recording.deleted'")[1].n
      local utterances, recordings = keeping.expire(tenant)
      assert.same({ 2, 1 }, { utterances, recordings })
      assert.equal(1, #transcript.of(tenant, call.id))
      assert.is_nil((blob.get(old)))
      assert.equal("sound", (blob.get(young)))
      assert.equal("sound", (blob.get(open)))
      assert.is_nil(store.recording(tenant.db, "rc_old"))
      assert.truthy(store.recording(tenant.db, "rc_young"))
      assert.equal(0, db.query(tenant.db, "SELECT COUNT(*) AS n FROM recording_segment WHERE blob_key = ?", old)[1].n)
      assert.is_true(db.query(tenant.db, "SELECT COUNT(*) AS n FROM outbox WHERE type = 'recording.deleted'")[1].n > before
        or db.query(tenant.db, "SELECT COUNT(*) AS n FROM event WHERE type = 'recording.deleted'")[1].n > 0)
      assert.same({ 0, 0 }, { keeping.expire(tenant) })
    end)

    it("whose sound is gone already go all the same", function()
      local key = recording("rc_half", 21)
      assert(blob.remove(key))
      assert.same({ 0, 1 }, { keeping.expire(tenant) })
      assert.is_nil(store.recording(tenant.db, "rc_half"))
    end)

    it("are found by an index", function()
      local plan = db.query(tenant.db, "EXPLAIN DELETE FROM transcript WHERE `timestamp` < ? ORDER BY `timestamp` LIMIT 500", time.now())
      assert.equal("idx_timestamp", plan[1].key)
    end)

    it("have a job that comes again", function()
      keeping.expect(tenant)
      task.sleep(50)
      assert.truthy(jobs.get(tenant.id, "calls.retention"))
    end)
  end)
end)
