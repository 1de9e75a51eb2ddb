-- SPDX-License-Identifier: Apache-2.0
--- Questions from end to end within a worker: a tenant with providers in a real database, servers that answer as they are told.
local data_world = require "data_world"
if not data_world then return end

local ai = require "ai"
local ai_world = require "ai_world"
local db = require "lib.db"
local embeddings = require "ai.compatible.embeddings"
local health = require "ai.health"
local json = require "core.json"
local ledger = require "ai.ledger"
local promise = require "lib.promise"
local providers = require "ai.providers"
local pii = require "lib.pii"
local store = require "ai.store"
local task = require "core.task"
local tenants = require "tenants"
local trace = require "lib.trace"
local world = require "ai.world"

local says, fails, refuses, late = ai_world.says, ai_world.fails, ai_world.refuses, ai_world.late

local hello = { messages = { { role = "user", text = "When do you open?" } } }

describe("a question", function()
  local acme, real

  local function add(tenant, name, quality, kind)
    db.transaction(db.platform(), function(tx)
      local id = store.add_provider(tx, tenant.id, { name = name, kind = kind or "openai_chat", url = "http://" .. name .. "/v1", region = "", status = "active" })
      store.put_model(tx, id, { model = "m-" .. name, purpose = "chat", quality = quality, weight = 1, status = "active", flags = '{"compatible":true,"include_usage":true}' })
      store.add_key(tx, id, { name = "one", secret = pii.seal(tenant, "ai_key.secret", "sk-" .. name), status = "active" })
      return true
    end)
  end

  setup(function()
    data_world.begin{ "auth", "tenants" }
    acme = tenants.get("acme") or tenants.create{ slug = "acme", name = "Acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    acme = tenants.get("acme")
    add(acme, "first", 90)
    add(acme, "second", 50)
    providers.forget(acme.id)
    real = { stream = world.stream, health = world.health }
  end)

  teardown(function()
    world.stream, world.health = real.stream, real.health
    ledger.settle(2000)
  end)

  local at
  local function servers(list)
    at = ai_world.live(list)
    world.stream, world.health = at.stream, health.new(world)
  end

  it("is answered by the best model, and the answer says by whom and at what price", function()
    servers{ first = { says("At", " nine.") } }
    local answer = assert(ai.chat(acme, hello, { purpose = "api" }))
    assert.equal("At nine.", answer.text)
    assert.same({ "first", "m-first", "off", "end" }, { answer.provider, answer.model, answer.cache, answer.reason })
    assert.equal(10, answer.usage.input)
    assert.equal(1, #answer.attempts)
    assert.equal("When do you open?", at.asked[1].body.messages[1].content)
  end)

  it("is answered by the next one when the first is away, and both attempts are written down", function()
    servers{ first = { refuses() }, second = { says("At nine.") } }
    local answer = assert(ai.chat(acme, hello, { purpose = "api", external_ref = "their-7" }))
    assert.equal("second", answer.provider)
    assert.is_true(ledger.settle(2000))
    local rows = db.query(acme.db, "SELECT provider, attempt, success, error_class, output_tokens FROM ai_call WHERE external_ref = ? ORDER BY attempt", "their-7")
    assert.equal(2, #rows)
    assert.same({ "first", 0, "network" }, { rows[1].provider, rows[1].success, rows[1].error_class })
    assert.same({ "second", 1, 1 }, { rows[2].provider, rows[2].success, rows[2].output_tokens })
  end)

  it("is told in events while it comes", function()
    servers{ first = { says("At", " nine", " or", " ten.") } }
    local seen, text = {}, {}
    local answer = assert(ai.chat(acme, hello, { purpose = "api", on_event = function(event)
      seen[#seen + 1] = event.type
      text[#text + 1] = event.text
    end }))
    assert.equal("At nine or ten.", table.concat(text))
    assert.equal("At nine or ten.", answer.text)
    assert.equal("start", seen[1])
    assert.equal("usage", seen[#seen - 1])
    assert.equal("end", seen[#seen])
  end)

  it("of a live call is never told more than can be listened to", function()
    local sentence = "This is a sentence that goes on for quite a while."
    local words = {}
    for _ = 1, 40 do words[#words + 1] = sentence .. " " end
    servers{ first = { says(unpack(words)) } }
    local answer = assert(ai.chat(acme, { messages = { { role = "user", text = "Tell me everything about it." } } }, { purpose = "call", on_event = function() end }))
    assert.is_true(#answer.text <= 700)
    assert.equal("length", answer.reason)
    assert.truthy(answer.text:find("while%.%s*$"))
  end)

  it("keeps a caller's own values from the provider, and gives them back in the answer", function()
    servers{ first = { says("I", " have noted it.") } }
    assert(ai.chat(acme, { messages = { { role = "user", text = "My mail is jane.roe@example.com, write it down." } } }, { purpose = "call" }))
    assert.is_nil(at.asked[1].body.messages[#at.asked[1].body.messages].content:find("jane.roe", 1, true))
  end)

  it("that was asked before is answered from the cache, in events, too", function()
    servers{ first = { says("At nine.") } }
    local question = { messages = { { role = "user", text = "Are you open on Sundays?" } } }
    assert.equal("miss", assert(ai.chat(acme, question, { purpose = "campaign" })).cache)
    local text = {}
    local answer = assert(ai.chat(acme, question, { purpose = "campaign", on_event = function(event) text[#text + 1] = event.text end }))
    assert.equal("hit", answer.cache)
    assert.equal("At nine.", table.concat(text))
    assert.equal("first", at:order())
  end)

  it("that means the same was never found for calls, because the caller's mark was compared, too", function()
    db.transaction(db.platform(), function(tx)
      local id = store.add_provider(tx, acme.id, { name = "vectors", kind = "openai_chat", url = "http://vectors/v1", region = "", status = "active" })
      store.put_model(tx, id, { model = "v", purpose = "embeddings", quality = 50, weight = 1, status = "active", flags = '{"compatible":true}' })
      store.add_key(tx, id, { name = "one", secret = pii.seal(acme, "ai_key.secret", "sk-vectors"), status = "active" })
      return true
    end)
    providers.forget(acme.id)
    local function vector(x, y)
      return { status = 200, steps = { { 1, json.encode{ data = { { index = 0, embedding = { x, y } } }, model = "v", usage = { prompt_tokens = 5, total_tokens = 5 } } } } }
    end
    servers{ first = { says("At eight.") }, vectors = { vector(1, 0.01), vector(1, 0.02), vector(1, 0.02) } }
    local function ask(text)
      return assert(ai.chat(acme, { messages = { { role = "user", text = text } } }, { purpose = "call", external_ref = "semantic-1",
        policy = { cache = { semantic = { threshold = 0.95 } } } }))
    end
    assert.equal("miss", ask("From when on are you there in the morning?").cache)
    local answer = ask("When does your shop open in the morning?")
    assert.same({ "hit", "At eight." }, { answer.cache, answer.text })
    assert.equal("vectors first vectors", at:order())
    assert.equal("When does your shop open in the morning?", at.asked[3].body.input[1])
    assert.is_true(ledger.settle(2000))
    local rows = db.query(acme.db, "SELECT 1 FROM ai_call WHERE external_ref = 'semantic-1' AND provider = 'vectors'")
    assert.equal(2, #rows)
    ask("My mail is jo@example.org, when do you open?")  -- personal: compared with nothing, and not paid for
    assert.equal("vectors first vectors first", at:order())
  end)

  it("for vectors over OpenAI's form has them as their clients read them", function()
    local body = { data = { { index = 0, embedding = { 1, 0.5 } }, { index = 1, embedding = { 0, 2 } } }, model = "v", usage = { prompt_tokens = 5, total_tokens = 5 } }
    servers{ vectors = { { status = 200, steps = { { 1, json.encode(body) } } } } }
    local ctx = { tenant = acme, trace = trace.from(nil), body = { input = json.array{ "one", "two" }, model = "v", encoding_format = "float" } }
    local status, text = embeddings.create(ctx)
    local found = json.decode(text)
    assert.same({ 200, "list", "v", 5, 2 }, { status, found.object, found.model, found.usage.total_tokens, #found.data })
    assert.same({ "embedding", 1, 0, 2 }, { found.data[2].object, found.data[2].index, found.data[2].embedding[1], found.data[2].embedding[2] })
    ctx.body.encoding_format = "base64"
    servers{ vectors = { { status = 200, steps = { { 1, json.encode(body) } } } } }
    text = select(2, embeddings.create(ctx))
    assert.equal("AACAPwAAAD8=", json.decode(text).data[1].embedding)
    ctx.body.dimensions, ctx.body.input = 65536, {}
    for i = 1, 65 do ctx.body.input[i] = "x" end
    local ok, refusal = pcall(embeddings.create, ctx)
    assert.is_false(ok)
    assert.same({ 400, "input" }, { refusal.status, refusal.fields.param })
    assert.equal("vectors", at:order())
  end)

  it("of a call that no model answers goes to a human", function()
    servers{ first = { refuses() }, second = { fails(500) } }
    local answer = assert(ai.chat(acme, { messages = { { role = "user", text = "Where is my parcel 7?" } } }, { purpose = "call", deadline_ms = 3000 }))
    assert.equal("human", answer.degraded)
    assert.equal("", answer.text)
    assert.is_true(#answer.attempts >= 2)
  end)

  it("of a call that goes to a human in the middle of its answer is not heard twice", function()
    servers{ first = { says("At", " nine", { "cut" }) }, second = { fails(500) } }
    local seen, text = {}, {}
    local answer = assert(ai.chat(acme, { messages = { { role = "user", text = "When is parcel 8 here?" } } }, { purpose = "call", deadline_ms = 3000,
      on_event = function(event)
        seen[#seen + 1] = event.type
        text[#text + 1] = event.text
      end }))
    assert.equal("human", answer.degraded)
    assert.equal("At nine", answer.text)
    assert.equal("At nine", table.concat(text))
    assert.same({ "usage", "end" }, { seen[#seen - 1], seen[#seen] })
  end)

  it("of the API that no model answers is a failure with its class", function()
    servers{ first = { refuses() }, second = { fails(404) } }
    local answer, err = ai.chat(acme, { messages = { { role = "user", text = "Who?" } } }, { purpose = "api", deadline_ms = 1500 })
    assert.is_nil(answer)
    assert.is_not_nil(err.class)
    providers.forget(acme.id)
  end)

  it("that is wrong is asked of nobody", function()
    servers{ first = { says("x") } }
    local answer, err = ai.chat(acme, { messages = {} }, {})
    assert.is_nil(answer)
    assert.equal("bad_request", err.class)
    assert.equal("", at:order())
  end)

  it("that the caller talks over ends at once, and half an answer is paid for by estimate", function()
    servers{ first = { says("At", " nine", { 3000, "{}" }) } }
    local cancel = promise.new()
    local function on_event(event)
      if event.type ~= "text" then return end
      task.spawn(function()
        task.sleep(50)
        cancel:give()
      end)
    end
    local answer, err = ai.chat(acme, { messages = { { role = "user", text = "And on Mondays?" } } },
      { purpose = "api", external_ref = "cut-1", cancel = cancel, on_event = on_event })
    assert.is_nil(answer)
    assert.equal("cancelled", err.class)
    assert.equal("At nine", err.said)
    assert.same({ "first" }, at.cancelled)
    assert.is_true(ledger.settle(2000))
    local row = db.query(acme.db, "SELECT error_class, estimated, output_tokens FROM ai_call WHERE external_ref = ?", "cut-1")[1]
    assert.same({ "cancelled", 1, 2 }, { row.error_class, row.estimated, row.output_tokens })
  end)

  local function written(ref)
    task.sleep(20)
    assert.is_true(ledger.settle(2000))
    return db.query(acme.db, "SELECT error_class, estimated, input_tokens, output_tokens FROM ai_call WHERE external_ref = ? ORDER BY attempt", ref)
  end

  it("that is cut after the model has said one token's usage is paid for by all that was heard", function()
    add(acme, "third", 10, "claude")
    providers.forget(acme.id)
    servers{ third = { { status = 200, steps = {
      { 0, '{"type":"message_start","message":{"id":"m1","model":"m-third","usage":{"input_tokens":10,"output_tokens":1}}}' },
      { 0, '{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}' },
      { 0, ('{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}'):format(("word "):rep(80)) },
      { 3000, '{"type":"ping"}' },
    } } } }
    local cancel = promise.new()
    local function on_event(event)
      if event.type == "text" then task.spawn(function()
        task.sleep(20)
        cancel:give()
      end) end
    end
    assert.is_nil((ai.chat(acme, { messages = { { role = "user", text = "And on Tuesdays?" } } }, { purpose = "api", external_ref = "cut-2", cancel = cancel,
      pinned = "third/m-third", on_event = on_event })))
    local row = written("cut-2")[1]
    assert.same({ "cancelled", 1, 10, 100 }, { row.error_class, row.estimated, row.input_tokens, row.output_tokens })
  end)

  it("that is given up before the first word is paid for, for the model has read it; one that nobody took is not", function()
    local function ask(ref, first)
      servers{ first = { first }, second = { says("y") } }
      ai.chat(acme, { messages = { { role = "user", text = "And " .. ref .. "?" } } }, { purpose = "api", external_ref = ref, policy = { first_token_ms = 50 } })
      return written(ref)[1]
    end
    local silent = ask("silent", late(math.huge, says("x")))
    assert.same({ "timeout", 1, 0 }, { silent.error_class, silent.estimated, silent.output_tokens })
    assert.is_true(silent.input_tokens > 0)
    for ref, first in pairs{ away = refuses(), broken = fails(500), slow = fails(504) } do
      local row = ask(ref, first)
      assert.is_not_nil(row.error_class)
      assert.equal(0, row.estimated, ref)
      assert.equal(0, tonumber(row.input_tokens) or 0, ref)
    end
  end)

  it("of many callers at once gives each its own answer", function()
    local plan = {}
    for i = 1, 40 do plan[i] = late(i % 7, i % 5 == 0 and fails(503) or says("x")) end
    servers{ first = plan, second = { says("y") } }
    local all = {}
    for i = 1, 40 do
      local done = promise.new()
      all[i] = done
      task.spawn(function()
        local own = {}
        local asked = { messages = { { role = "user", text = "Question " .. i } } }
        local answer = ai.chat(acme, asked, { purpose = "api", on_event = function(event) own[#own + 1] = event.text end })
        done:give(answer ~= nil and answer.text == table.concat(own) and #answer.text == 1)
      end)
    end
    for i = 1, 40 do assert.is_true(all[i]:wait(), "answer " .. i) end
  end)
end)
