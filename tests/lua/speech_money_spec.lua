-- SPDX-License-Identifier: Apache-2.0
--- What a tenant's speech uses and costs: its own order and keys, its budget, the ledger. With a real database; the providers are played here.
require "stand_in"
local data = require "data_world"
if not data then
  describe("speech and its cost", function() pending("needs the host with a database") end)
  return
end
local account = require "speech.account"
local auth = require "auth"
local json = require "core.json"
local ledger = require "ai.ledger"
local limits = require "ai.limits"
local minutes = require "speech.minutes"
local sequencer = require "audit.sequencer"
local speech = require "speech"
local sql = require "core.sql"
local task = require "core.task"
local tenants = require "tenants"
local world = require "speech.world"

local PCM = ("\1\0\2\0"):rep(4000)  -- 1 s at 8 kHz
local operator, admin, rival, acme, other, kick, stream
local asked, answers = {}, {}
local serial = 0

local function as(token, method, path, body)
  data.token = token
  local status, answer = data.ask(method, path, body)
  return status, answer
end

local function must(token, method, path, body)
  local status, answer = as(token, method, path, body)
  assert(status >= 200 and status <= 299, method .. " " .. path .. ": " .. status .. " " .. json.encode(answer))
  return answer
end

local function text()
  serial = serial + 1
  return ("Text %d of %d."):format(serial, require("core.clock").wall_us())
end

local function rows(query, ...) return assert(sql.query(acme.db, query, ...)) end

local function said(tenant, what, scope)
  local audio, err = speech.audio(tenant, { text = what or text() }, scope)
  assert(audio, err and err.text)
  ledger.settle(2000)
end

setup(function()
  data.begin{ "auth", "ai" }
  auth.put_operator("op@x.example", "a-Long-password")
  for _, slug in ipairs{ "acme", "other" } do tenants.create{ slug = slug, name = slug, admin_email = slug .. "@x.example", admin_password = "a-Long-password" } end
  operator, admin, rival = data.login("op@x.example", "a-Long-password"), data.login("acme@x.example", "a-Long-password"), data.login("other@x.example", "a-Long-password")
  acme, other = tenants.get("acme"), tenants.get("other")
  kick = sequencer.kick
  sequencer.kick = function() end
  must(operator, "POST", "/admin/ai/providers", { name = "voices", kind = "elevenlabs", url = "http://voices" })
  must(operator, "PUT", "/admin/ai/providers/voices/models/flash", {})
  for _, of in ipairs{ { admin, "acme" }, { rival, "other" } } do
    must(of[1], "POST", "/ai/providers", { name = "mine", like = "voices" })
    must(of[1], "POST", "/ai/providers/mine/keys", { name = "one", key = "secret-" .. of[2] })
    must(of[1], "PUT", "/ai/providers/mine/models/flash", {})
  end
  must(operator, "POST", "/admin/ai/prices", { model = "flash", characters = "50" })
  stream = world.stream
  world.stream = function(request)
    asked[#asked + 1] = { key = request.headers["xi-api-key"], url = request.url, body = json.decode(request.body) }
    local answer, n = answers[request.headers["xi-api-key"]] or {}, 0
    local made = { status = answer.status or 200, headers = {}, cancel = function() end }
    function made.next()
      n = n + 1
      if n == 1 and not answer.status then return false, json.encode{ audio_base64 = require("core.crypto").b64(PCM) } end
      if n == 1 then return false, '{"detail":{"status":"invalid_api_key","message":"no"}}' end
      return nil
    end
    if request.on_begin then request.on_begin(made) end
    return made
  end
end)

teardown(function() sequencer.kick, world.stream = kick, stream end)

before_each(function()
  asked, answers = {}, {}
  for _, of in ipairs{ acme, other } do
    for _, statement in ipairs{ "DELETE FROM ai_call", "DELETE FROM ai_spend", "DELETE FROM ai_share WHERE owner <> ''" } do assert(sql.query(of.db, statement)) end
  end
end)

describe("speech of a tenant", function()
  it("uses its own key and no other's", function()
    said(acme)
    said(other)
    assert.same({ "secret-acme", "secret-other" }, { asked[1].key, asked[2].key })
    assert.equal(2, #asked)
  end)

  it("is set over the API with its order, language and voice, and known at once", function()
    must(admin, "PUT", "/ai/speech", { language = "de", synthesise = { { provider = "mine", model = "flash", voice = "Anna1" } } })
    said(acme)
    assert.truthy(asked[1].url:find("/Anna1/", 1, true))
    local shown = must(admin, "GET", "/ai/speech")
    assert.same({ "de", true }, { shown.speech.language, shown.own })
    local targets, found = speech.targets(acme, "synthesise")
    assert.same({ "mine", "local", "de" }, { targets[1].provider, targets[2].provider, found.speech.language })
    must(admin, "PUT", "/ai/speech", { synthesise = json.array{} })
    said(acme)
    assert.equal(1, #asked)
    must(admin, "DELETE", "/ai/speech")
    said(acme)
    assert.equal(2, #asked)
  end)

  it("is the operator's where it has set none", function()
    must(operator, "PUT", "/admin/ai/speech", { language = "fr" })
    local _, found = speech.targets(acme, "recognise")
    assert.equal("fr", found.speech.language)
    assert.same({ "fr", false }, { must(admin, "GET", "/ai/speech").speech.language, must(admin, "GET", "/ai/speech").own })
    must(operator, "DELETE", "/admin/ai/speech")
  end)

  it("is refused what is not there, with a word on what", function()
    local status, answer = as(admin, "PUT", "/ai/speech", { recognise = { { provider = "mine", model = "flash" } } })
    assert.equal(422, status)
    assert.same({ pointer = "#/recognise/0", detail = "names mine/flash, which is no model with the purpose recognise" }, answer.errors[1])
    status, answer = as(admin, "PUT", "/ai/providers/mine/models/ears", { purpose = "recognise" })
    assert.equal(422, status)
    assert.equal("must be synthesise: a provider of kind elevenlabs has no models for recognise", answer.errors[1].detail)
    assert.equal(422, (as(rival, "PUT", "/ai/speech", { synthesise = { { provider = "acmes", model = "flash" } } })))
    assert.equal(422, (as(operator, "POST", "/admin/ai/prices", { model = "x", cached = "1" })))
    assert.equal(422, (as(operator, "POST", "/admin/ai/prices", { model = "x", input = "1", minute = "1" })))
  end)

  -- A caller heard nothing while the database did not answer, though who speaks had been known a minute before.
  it("does not wait for a database that is slow, once it is known", function()
    said(acme)
    local store, clock = require "ai.store", require "core.clock"
    local models, mono_ms = store.models, clock.mono_ms
    local began = mono_ms()
    store.models = function()
      task.sleep(1500)
      error("away", 0)
    end
    clock.mono_ms = function() return mono_ms() + 90000 end
    local targets = speech.targets(acme, "synthesise")
    store.models, clock.mono_ms = models, mono_ms
    assert.equal("mine", targets[1].provider)
    assert.is_true(mono_ms() - began < 1500)
    task.sleep(1600)
  end)

  it("is no model that a chat could name", function()
    local choice = require "ai.choice"
    assert.is_nil(choice.of(acme, "flash"))
    for _, name in ipairs(choice.list(acme)) do assert.are_not.equal("flash", name.id) end
  end)

  it("rests a key that was refused, and the program speaks", function()
    answers["secret-acme"] = { status = 401 }
    said(acme)
    said(acme)
    assert.equal(1, #asked)
    assert.equal(0, rows("SELECT success FROM ai_call")[1].success)
    assert.equal("auth", rows("SELECT error_class FROM ai_call")[1].error_class)
    task.sleep(200)
    for _, provider in ipairs(must(admin, "GET", "/ai/providers").providers) do
      if provider.name == "mine" then must(admin, "PATCH", "/ai/providers/mine/keys/" .. provider.keys[1].id, { status = "active" }) end
    end
    world.health.keys, answers = {}, {}
    said(acme)
    assert.equal(2, #asked)
  end)
end)

-- All was read once, when it began.
describe("a conversation", function()
  local voice

  local function speak()
    local heard = voice.say{ text = text() }
    while heard:next() do end
  end

  -- How many are asked for a text, once what was changed has been read.
  local function asked_for_one()
    speak()
    task.sleep(300)
    asked = {}
    speak()
    return #asked
  end

  before_each(function() voice = speech.conversation(acme, { purpose = "call" }) end)
  after_each(function()
    as(admin, "DELETE", "/ai/speech")
    as(operator, "DELETE", "/admin/ai/budgets/acme")
  end)

  it("speaks by the order that is set while it lasts", function()
    assert.equal(1, asked_for_one())
    must(admin, "PUT", "/ai/speech", { synthesise = json.array{} })
    assert.equal(0, asked_for_one())
    must(admin, "DELETE", "/ai/speech")
    assert.equal(1, asked_for_one())
  end)

  it("keeps to a budget that is set while it lasts", function()
    assert.equal(1, asked_for_one())
    must(operator, "PUT", "/admin/ai/budgets/acme", { day = "0.0001" })
    assert.equal(0, asked_for_one())
  end)

  it("uses no key that was paused while it lasts", function()
    assert.equal(1, asked_for_one())
    local key
    for _, provider in ipairs(must(admin, "GET", "/ai/providers").providers) do
      if provider.name == "mine" then key = "/ai/providers/mine/keys/" .. provider.keys[1].id end
    end
    must(admin, "PATCH", key, { status = "paused" })
    assert.equal(0, asked_for_one())
    must(admin, "PATCH", key, { status = "active" })
  end)

  it("is led by the realtime models that there are, by none where the list is empty, and what befalls them is in the ledger", function()
    assert.is_false(voice.may_lead())
    must(operator, "POST", "/admin/ai/providers", { name = "live", kind = "gemini", url = "http://live" })
    must(admin, "POST", "/ai/providers", { name = "mylive", like = "live" })
    must(admin, "POST", "/ai/providers/mylive/keys", { name = "one", key = "secret" })
    must(admin, "PUT", "/ai/providers/mylive/models/talker", { purpose = "realtime" })
    local led = speech.conversation(acme, { purpose = "call" })
    assert.is_true(led.may_lead())
    local open_ws, url, last = world.open_ws, nil, nil
    world.open_ws = function(request)
      url = request.url
      return nil, { code = "network", text = "nobody is there" }
    end
    led.lead{ instructions = "x", on_event = function(event) last = event end }
    task.sleep(300)
    world.open_ws = open_ws
    assert.truthy(url:find("ws://live/ws/", 1, true), url)
    assert.same({ "error", "network" }, { last.type, last.class })
    ledger.settle(2000)
    local row = rows("SELECT provider, model, cost, success, error_class FROM ai_call WHERE model = 'talker'")[1]
    assert.same({ "mylive", 0, 0, "network" }, { row.provider, row.cost, row.success, row.error_class })
    must(admin, "PUT", "/ai/speech", { realtime = json.array{} })
    assert.is_false(speech.conversation(acme, { purpose = "call" }).may_lead())
    must(admin, "DELETE", "/ai/providers/mylive")
  end)

  -- What was changed is read beside the caller, not before he hears something.
  it("does not wait for a database that is slow", function()
    local store, clock = require "ai.store", require "core.clock"
    local models = store.models
    store.models = function(...)
      task.sleep(500)
      return models(...)
    end
    must(admin, "PUT", "/ai/speech", { language = "de" })
    require("ai.providers").forget(acme.id)
    local began = clock.mono_ms()
    voice.say{ text = text() }:cancel()
    assert.is_true(clock.mono_ms() - began < 300)
    store.models = models
    task.sleep(600)
  end)
end)

describe("what speech costs", function()
  it("is a row of the ledger for each use, and part of the call's cost; what is kept costs nothing again", function()
    local call = rows("INSERT INTO `call` (public_id, direction, start_time, status) VALUES ('c-1', 'inbound', UTC_TIMESTAMP(6), 'connected')").insert_id
    local what = "Twelve chars" .. text()
    said(acme, what, { purpose = "call", call_row = call, call_id = "c-1" })
    said(acme, what, { purpose = "call", call_row = call, call_id = "c-1" })
    local found = rows("SELECT * FROM ai_call")
    assert.equal(1, #found)
    local row = found[1]
    assert.same({ "mine", "flash", #what * 50, "call", call, 1, 0 }, { row.provider, row.model, row.cost, row.purpose, row.call_id, row.success, row.tokens_used })
    assert.truthy(row.price_version:find((", %d characters, 1.000 s"):format(#what), 1, true), row.price_version)
    assert.equal(#what * 50, rows("SELECT cost FROM `call` WHERE id = ?", call)[1].cost)
  end)

  it("is asked of the budget first: when that is spent the program speaks, and nothing is billed", function()
    must(operator, "PUT", "/admin/ai/budgets/acme", { day = "0.001" })
    said(acme)
    task.sleep(300)
    for _ = 1, 3 do said(acme) end
    local first = #asked
    said(acme)
    assert.equal(first, #asked)
    assert.is_true(first >= 1 and first <= 3)
    must(operator, "DELETE", "/admin/ai/budgets/acme")
  end)

  it("of a budget is refused where the model has no price of its units", function()
    must(admin, "PUT", "/ai/providers/mine/models/odd", {})
    must(admin, "PUT", "/ai/speech", { synthesise = { { provider = "mine", model = "odd" } } })
    must(operator, "POST", "/admin/ai/prices", { model = "odd", input = "1", output = "1" })
    must(operator, "PUT", "/admin/ai/budgets/acme", { day = "5" })
    local targets, found = speech.targets(acme, "synthesise")
    assert.equal("odd", targets[1].model)
    local price = found.price(targets[1])
    assert.is_true(price == nil or price.characters ~= nil)
    said(acme)
    assert.equal(price and 1 or 0, #asked)
    must(operator, "DELETE", "/admin/ai/budgets/acme")
    must(admin, "DELETE", "/ai/speech")
    must(admin, "DELETE", "/ai/providers/mine/models/odd")
  end)

  -- The second minute asked for a second permit, was refused it, and the caller's recogniser was dropped after 50 s.
  it("of a recogniser that listens for minutes is one request to all limits", function()
    local own = account.new(acme, { purpose = "call" }, { budget = {}, price = function() return { input = 0, output = 0, minute = 6000, currency = "USD", version = "v" } end })
    local target = { provider = "ears", model = "live", purpose = "recognise", flags = {}, owner = 0, limits = { provider = { id = 424242, concurrent = 1 } } }
    local refused
    local paid = assert(minutes.begin({ owner = { account = own }, target = target }, function(failure) refused = failure end))
    for _ = 1, 130 do
      paid:heard(1)
      task.sleep(1)
      assert.is_nil(refused and refused.text)
      assert.equal(1, limits.figures().p424242.running)
    end
    paid:heard(45)
    paid:over(nil)
    assert.equal(0, limits.figures().p424242.running)
    ledger.settle(2000)
    assert.equal(3, rows("SELECT COUNT(*) AS n FROM ai_call")[1].n)
  end)

  it("of a realtime model is its tokens of text and of sound", function()
    local found = { budget = {}, price = function()
      return { input = 4e6, output = 16e6, cached = 4e5, audio_input = 32e6, audio_output = 64e6, audio_cached = 4e5, currency = "USD", version = "v" }
    end }
    local own = account.new(acme, { purpose = "call" }, found)
    local use = assert(own:begin({ provider = "oai", model = "live", purpose = "realtime", flags = {}, owner = 0 }, { audio_input = 5000, audio_output = 5000 }))
    use:done{ input = 100, cached = 50, output = 10, audio_input = 1000, audio_cached = 400, audio_output = 500 }
    ledger.settle(2000)
    local row = rows("SELECT input_tokens, cached_tokens, output_tokens, cost FROM ai_call")[1]
    assert.same({ 1100, 450, 510, 50 * 4 + 50 * 0.4 + 10 * 16 + 600 * 32 + 400 * 0.4 + 500 * 64 }, { row.input_tokens, row.cached_tokens, row.output_tokens, row.cost })
  end)
end)
