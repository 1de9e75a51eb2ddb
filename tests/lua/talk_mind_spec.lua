-- SPDX-License-Identifier: Apache-2.0
--- What a conversation asks, through the real ai.chat: a tenant with a provider in a real database, a server that answers as it is told.
local data_world = require "data_world"
if not data_world then return end

local ai = require "ai"
local ai_world = require "ai_world"
local db = require "lib.db"
local health = require "ai.health"
local history = require "calls.talk.history"
local ledger = require "ai.ledger"
local mind = require "calls.talk.mind"
local pii = require "lib.pii"
local promise = require "lib.promise"
local providers = require "ai.providers"
local store = require "ai.store"
local tenants = require "tenants"
local timer = require "core.timer"
local tools = require "calls.talk.tools"
local world = require "ai.world"

describe("a turn that a model answers", function()
  local acme, real

  setup(function()
    data_world.begin{ "auth", "tenants" }
    acme = tenants.get("acme") or tenants.create{ slug = "acme", name = "Acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    acme = tenants.get("acme")
    db.transaction(db.platform(), function(tx)
      local id = store.add_provider(tx, acme.id, { name = "talker", kind = "openai_chat", url = "http://talker/v1", region = "", status = "active" })
      store.put_model(tx, id, { model = "m-talker", purpose = "chat", quality = 99, weight = 1, status = "active", flags = '{"compatible":true,"include_usage":true,"tools":true}' })
      store.add_key(tx, id, { name = "one", secret = pii.seal(acme, "ai_key.secret", "sk-talker"), status = "active" })
      return true
    end)
    providers.forget(acme.id)
    real = { stream = world.stream, health = world.health }
  end)

  teardown(function()
    world.stream, world.health = real.stream, real.health
    ledger.settle(2000)
  end)

  it("is asked with the instructions, what was said before and the tools, and comes as text while it is written", function()
    local at = ai_world.live{ talker = { ai_world.says("We open", " at nine.") } }
    world.stream, world.health = at.stream, health.new(world)
    local call = { id = "c-n1-1-x", tenant = acme, trace = ("a"):rep(32) }
    local before = history.new()
    before:add(nil, nil, "Hello. How can I help you?", true)
    local thought = mind.begin({ call = call, world = { chat = ai.chat, after = timer.after }, history = before, tools = tools.of{ "lookup_kb", "hangup" },
      system = mind.system(call, { prompt = "Sell roofs." }) }, "When do you open?")
    local texts, over = {}, promise.new()
    thought:attach{ text = function(text) texts[#texts + 1] = text end, bound = function() end, over = function(outcome) over:give(outcome) end }
    local outcome = over:wait()
    assert.equal("We open at nine.", table.concat(texts))
    assert.is_true(outcome.spoke)
    assert.is_nil(outcome.human)
    local body = at.asked[1].body
    local roles = {}
    for i, message in ipairs(body.messages) do roles[i] = message.role end
    assert.same({ "system", "user", "assistant", "user" }, roles)
    assert.truthy(body.messages[1].content:find("Sell roofs.", 1, true))
    assert.truthy(body.messages[4].content:find("When do you open?", 1, true))
    assert.equal(2, #body.tools)
    assert.equal("lookup_kb", body.tools[1]["function"].name)
  end)
end)
