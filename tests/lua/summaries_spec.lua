-- SPDX-License-Identifier: Apache-2.0
--- What is kept of a conversation, in a real database: sealed, masked, by the call's owner only, and gone with the transcripts.
local world = require "data_world"
if not world then
  describe("summaries", function() pending("need the host and a database of their own") end)
  return
end
local audit = require "audit"
local Call = require "calls.call"
local calls = require "calls"
local db = require "lib.db"
local ids = require "lib.ids"
local keeping = require "calls.keeping"
local leads = require "leads"
local promise = require "lib.promise"
local store = require "calls.store"
local summaries = require "calls.summaries"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

describe("a summary of a conversation", function()
  local tenant, call
  local n = 0

  setup(function()
    world.begin{ "auth", "tenants", "calls", "agents", "leads" }
    tenant = tenants.create{ slug = "summed", name = "Summed", admin_email = "a@summed.example", admin_password = "a-Long-password" }
  end)

  before_each(function()
    n = n + 1
    local name = "c-n1-1-s" .. n
    local id = audit.transaction(tenant, function(tx)
      return db.run(tx, "INSERT INTO `call` (public_id, direction, start_time, status, fence) VALUES (?, 'inbound', ?, 'connected', 5)", name, time.now()).insert_id
    end)
    call = Call.new{ id = name, row_id = id, tenant = tenant, slot = "n1.1", fence = 5, direction = "inbound", started_us = 1 }
    call.lost = function(self) self.is_lost = true end
  end)

  local function row() return store.by_public_id(tenant.db, call.id) end

  local function kept(given, is_there)
    summaries.keep(call, given)
    for _ = 1, 200 do
      if is_there() then break end
      task.sleep(10)
    end
  end

  it("is with the call, without personal values, and its lead says with which", function()
    local lead = audit.transaction(tenant, function(tx)
      return leads.create(tenant, tx, { name = "Ann", phone = "+12025550123", source = "call", data = { roof = "flat" } }, { actor = "flow" })
    end)
    kept({ summary = 'The caller said: "call me at ann@example.com"', sentiment = "negative", lead = lead.id }, function() return (leads.get(tenant, lead.id).data or {}).call end)
    local view = calls.view(tenant, row(), true)
    assert.equal('The caller said: "call me at [EMAIL]"', view.summary)
    assert.equal("negative", view.sentiment)
    assert.same({ roof = "flat", call = call.id, sentiment = -1 }, leads.get(tenant, lead.id).data)
    assert.is_nil(row().summary:find("caller", 1, true))
    assert.is_nil(calls.view(tenant, row()).summary)
  end)

  it("is the model's, when that has one", function()
    local go = promise.new()
    kept({ summary = "short", sentiment = "neutral", ask = function() return go:wait() end }, function() return row().summary end)
    assert.equal("short", summaries.of(tenant, row()))
    go:give{ text = "<neutral> Ann wants a roof, her number is +1 202 555 0123." }
    for _ = 1, 200 do
      if summaries.of(tenant, row()) ~= "short" then break end
      task.sleep(10)
    end
    assert.equal("Ann wants a roof, her number is [PHONE].", summaries.of(tenant, row()))
  end)

  it("is that of the newest conversation, though the model's of one before comes later", function()
    local go = promise.new()
    kept({ summary = "the first", sentiment = "negative", ask = function() return go:wait() end }, function() return row().summary end)
    kept({ summary = "the second", sentiment = "neutral" }, function() return summaries.of(tenant, row()) == "the second" end)
    go:give{ text = "The first, in the model's words." }
    task.sleep(100)
    assert.equal("the second", summaries.of(tenant, row()))
    assert.equal("neutral", row().sentiment)
  end)

  it("stays as it is when the model has none, or breaks", function()
    for _, ask in ipairs{ function() return nil, { class = "server" } end, function() error("broken", 0) end, function() return { text = "" } end } do
      kept({ summary = "short", sentiment = "neutral", ask = ask }, function() return row().summary end)
      task.sleep(50)
      assert.equal("short", summaries.of(tenant, row()))
    end
  end)

  it("is not written by who has lost the call", function()
    call.fence = 4
    kept({ summary = "short", sentiment = "neutral" }, function() return call.is_lost end)
    assert.is_true(call.is_lost)
    assert.is_nil(row().summary)
  end)

  it("is an agent's only where the call is his, as the transcript is", function()
    kept({ summary = "short", sentiment = "neutral" }, function() return row().summary end)
    local function log_in(email)
      local status, answer = world.ask("POST", "/auth/login", { email = email, password = "a-Long-password" })
      assert.equal(200, status)
      world.token = answer.token
    end
    local function seen() return select(2, world.ask("GET", "/calls/" .. call.id)).summary end
    log_in "a@summed.example"
    assert.equal("short", seen())
    local made, agent = world.ask("POST", "/agents", { email = "ann@summed.example", password = "a-Long-password", role = "agent", name = "Ann" })
    assert.equal(201, made)
    log_in "ann@summed.example"
    assert.is_nil(seen())
    db.query(tenant.db, "UPDATE `call` SET agent_id = ? WHERE id = ?", ids.decode("us", agent.id), call.row_id)
    assert.equal("short", seen())
  end)

  it("goes when transcripts go", function()
    kept({ summary = "short", sentiment = "positive" }, function() return row().summary end)
    db.query(tenant.db, "UPDATE `call` SET summary_at = '2001-01-01' WHERE id = ?", call.row_id)
    keeping.expire(tenant)
    assert.is_nil(row().summary)
    assert.equal("positive", row().sentiment)
  end)
end)
