-- SPDX-License-Identifier: Apache-2.0
--- What a model's tools do to leads, in a real database; and what they give back of a knowledge base that is played.
local data_world = require "data_world"
if not data_world then return end

local json = require "core.json"
local kb = require "kb"
local leads = require "leads"
local mind = require "calls.talk.mind"
local promise = require "lib.promise"
local store = require "calls.store"
local tenants = require "tenants"
local timer = require "core.timer"
local tools = require "calls.talk.tools"
local verbs = require "calls.verbs"

local CARD = "4111 1111 1111 1111"
local ALL = tools.of(tools.names)

describe("a tool of a conversation", function()
  local acme, real
  local serial = 0

  setup(function()
    data_world.begin{ "auth", "tenants", "leads" }
    tenants.create{ slug = "acme", name = "Acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    acme = tenants.get("acme")
    real = { hold = store.hold, search = kb.search }
    store.hold = function() return true end  -- there is no row of the call
  end)

  teardown(function() store.hold, kb.search = real.hold, real.search end)

  -- @param key string|nil  of a conversation that goes on
  local function new_talk(key)
    serial = serial + 1
    local call = { id = "c-n1-1-" .. serial, tenant = acme, from = "+12025550123", fence = 1, slot = 1, verbs = verbs.table, about = function() return {} end }
    local talk = { call = call, key = key or "k" .. serial, kept = {} }
    function talk:keep() self.kept[#self.kept + 1] = self.lead and self.lead.id or false end
    return talk
  end

  local function run(talk, name, arguments) return tools.run(talk, ALL, name, arguments) end
  local function lead_of(talk) return leads.get(acme, talk.lead.id) end

  it("stores no card's number, whichever of them is given it", function()
    local talk = new_talk()
    assert(run(talk, "create_lead", { name = "Ann " .. CARD, interest = "a roof" }))
    assert.equal("Ann [CARD]", lead_of(talk).name)
    assert(run(talk, "update_lead", { interest = "card " .. CARD }))
    assert.equal("card [CARD]", lead_of(talk).notes)
    assert(run(talk, "create_lead", { interest = "again " .. CARD }))
    assert.equal("again [CARD]", lead_of(talk).notes)
    local result = assert(run(talk, "book_callback", { at = "noon, " .. CARD }))
    assert.equal("noon, [CARD]", lead_of(talk).data.callback.at)
    assert.equal("noon, [CARD]", result.at)
  end)

  it("stores no part of a card's number that a limit cuts", function()
    local talk = new_talk()
    assert(run(talk, "create_lead", { interest = "a roof" }))
    assert(run(talk, "book_callback", { at = ("x"):rep(85) .. CARD }))
    assert.equal(("x"):rep(85) .. "[CARD]", lead_of(talk).data.callback.at)
  end)

  it("changes a lead only to what a new one may have", function()
    local talk = new_talk()
    assert(run(talk, "create_lead", { interest = "a roof" }))
    local result, err = run(talk, "update_lead", { email = "ann at example" })
    assert.is_nil(result)
    assert.equal("invalid", err.code)
    assert.is_nil(lead_of(talk).email)
    assert(run(talk, "update_lead", { email = "ann@example.com", score = "nan" }))
    assert.equal("ann@example.com", lead_of(talk).email)
  end)

  it("makes a lead that a successor knows at once", function()
    local talk = new_talk()
    assert(run(talk, "create_lead", { name = "Ann" }))
    assert.same({ talk.lead.id }, talk.kept)
    talk = new_talk()
    talk.is_over = true
    assert(run(talk, "create_lead", { name = "Ann" }))
    assert.same({}, talk.kept)
  end)

  it("changes the lead that a predecessor had made and not written down", function()
    local before = new_talk()
    assert(run(before, "create_lead", { name = "Ann", interest = "a roof" }))
    local talk = new_talk(before.key)
    assert(run(talk, "update_lead", { interest = "a roof of glass" }))
    assert.equal(before.lead.id, talk.lead.id)
    assert.equal("Ann", lead_of(talk).name)
    assert.equal("a roof of glass", lead_of(talk).notes)
  end)

  it("cuts a text between characters", function()
    local talk = new_talk()
    assert(run(talk, "create_lead", { name = ("ä"):rep(200) }))
    assert.equal(("ä"):rep(127), lead_of(talk).name)
  end)

  -- What a model is told when it has called that tool.
  local function told(talk, name, arguments)
    local asked, over = {}, promise.new()
    talk.tools, talk.history = ALL, { messages = function(_, _, steps) return steps end }
    talk.world = { after = timer.after, chat = function(_, request)
      asked[#asked + 1] = request.messages
      if #asked == 2 then return { text = "Well.", tool_calls = {} } end
      return { text = "", tool_calls = { { id = "t1", name = name, arguments = json.encode(arguments) } } }
    end }
    mind.begin(talk, "hello"):attach{ text = function() end, bound = function() end, over = function(outcome) over:give(outcome) end }
    return over:wait(), asked[2] and json.decode(asked[2][2].text)
  end

  it("gives back a passage that is cut between characters", function()
    kb.search = function() return { { heading = "Prices", text = "x" .. ("€"):rep(500) } } end
    local outcome, result = told(new_talk(), "lookup_kb", { question = "what does it cost" })
    assert.is_nil(outcome.human)
    assert.equal("x" .. ("€"):rep(399), result.passages[1].text)
  end)

  it("that gives back what is no text has failed, and the conversation knows it", function()
    kb.search = function() return { { heading = "\255", text = "ten" } } end
    local outcome = told(new_talk(), "lookup_kb", { question = "what does it cost" })
    assert.equal("tool_failed", outcome.human)
    assert.equal(2, #outcome.steps)
    assert.is_true(outcome.steps[2].is_error)
  end)
end)
