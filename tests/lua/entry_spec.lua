-- SPDX-License-Identifier: Apache-2.0
--- How a call begins, with database, Redis, Asterisk and cells played here.
if not pcall(require, "core.task") then return end
local audit = require "audit"
local Call = require "calls.call"
local entry = require "calls.entry"
local hooks = require "scripts.hooks"
local live = require "calls.live"
local lost = require "calls.lost"
local operator = require "scripts.operator"
local roster = require "calls.roster"
local scripts = require "scripts"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local trunks = require "calls.trunks"

-- Puts things in place of a module's own, until give_back().
local replaced = {}
local function replace(of, name, with)
  table.insert(replaced, { of, name, of[name] })
  of[name] = with
end
local function give_back()
  for i = #replaced, 1, -1 do replaced[i][1][replaced[i][2]] = replaced[i][3] end
  replaced = {}
end

describe("what a new call runs", function()
  local tenant = { id = -700, slug = "t", db = "t" }
  local counted, failure, drawn, numbers

  local function began(fields)
    local call = { id = "c1", tenant = tenant, direction = "inbound", from = "+1", to = "+2", change = function() end }
    for name, value in pairs(fields or {}) do call[name] = value end
    function call.begin(self, start) self.began = start end
    function call.failed(self, kind) self.fell = kind end
    entry.begin(call)
    return call
  end

  before_each(function()
    counted, failure, drawn, numbers = {}, "error", { "h-canary", true }, { ["*"] = "flows/main.lua" }
    replace(scripts.pointers, "pick", function(of)
      if of == operator.tenant then return "h-operator", false end
      return unpack(drawn)
    end)
    replace(scripts, "report", function(of)
      if of == operator.tenant then return { flows = { ["flows/ours.lua"] = { start = "o" } }, bundle = {}, hooks = { "routing" } } end
      return { flows = { ["flows/main.lua"] = { start = "a" } }, bundle = { numbers = numbers }, hooks = { "routing" } }
    end)
    replace(scripts, "count", function(of, hash, kind, is_canary) table.insert(counted, { of.id, hash, kind or "ok", is_canary == true }) end)
    replace(hooks, "version", function(_, _, hash) return hash end)
    replace(hooks, "call", function(of)
      if of == operator.tenant then return { flow = "flows/ours.lua" }, "h-operator" end
      return nil, nil, failure
    end)
  end)
  after_each(give_back)

  -- The call went on by the numbers and ended well, so the canary had no failed call, whatever its routing did.
  it("counts against a canary whose routing fails, though the call goes on by its number", function()
    local call = began()
    assert.equal("a", call.began)
    assert.same({}, counted)
    Call.count(call)
    assert.same({ { -700, "h-canary", "error", true } }, counted)
  end)

  it("counts against it when the operator's flow takes the call, which counts for the operator's version besides", function()
    numbers = {}
    local call = began()
    assert.equal("o", call.began)
    Call.count(call)
    assert.same({ { -700, "h-canary", "error", true }, { operator.tenant.id, "h-operator", "ok", false } }, counted)
  end)

  it("counts as well for a version whose routing decides or leaves it", function()
    failure = nil
    Call.count(began())
    assert.same({ { -700, "h-canary", "ok", true } }, counted)
  end)

  it("is remembered for who takes the call up, so that it counts there", function()
    local head = Call.head(began())
    assert.equal("error", head.hook_failed)
  end)

  -- Its flow began behind its end, found nobody, and was a failure of the version's.
  it("is nothing when its caller goes while its flow is written down", function()
    for _, left in ipairs{ "gone_why", "frozen", "over" } do
      local call = began{ change = function(self) self[left] = "caller" end }
      assert.is_nil(call.began, left)
    end
  end)
end)

describe("a call that cannot be written at once", function()
  local writes, asked, slept, fails, channel, went_on
  local tenant = { id = -701, slug = "t", db = "t", key = ("k"):rep(32) }

  before_each(function()
    writes, asked, slept, fails, channel, went_on = 0, {}, {}, 2, { id = "chan-1", state = "Ring", dialplan = { app_data = "x,trunk", exten = "100" } }, 0
    replace(trunks, "whose", function() return tenant, { id = 1 }, "+2" end)
    replace(trunks, "parse", function() end)
    replace(roster, "take_room", function() return function() end end)
    replace(roster, "slot", function() return { boot = "b" } end)
    replace(roster, "new_id", function() return "c-new" end)
    replace(roster, "enlist", function() end)
    replace(lost, "expect", function() end)
    replace(live, "changed", function() end)
    replace(Call, "keep_head", function() end)
    replace(entry, "begin", function() went_on = went_on + 1 end)
    replace(telephony, "slot", function() return { node = "n1", fence = 3 } end)
    replace(telephony, "request", function(_, method, path) table.insert(asked, method .. " " .. path) return 200, {} end)
    replace(audit, "event", function() end)
    replace(store, "insert", function() return { id = 7 } end)
    replace(audit, "transaction", function(_, fn)
      writes = writes + 1
      if writes <= fails then error({ code = "closed", text = "the database is away" }, 0) end
      fn{ query = function() return {} end }
    end)
    replace(task, "sleep", function(ms)
      table.insert(slept, ms)
      task.wait(function(resume) slept.wake = resume end)
    end)
  end)
  after_each(function()
    roster.by_channel["chan-1"] = nil
    give_back()
  end)

  local function arrives() task.spawn(entry.inbound, "n1.1", channel) end

  it("is begun by itself a second later, until it can be", function()
    arrives()
    assert.same({ 1, 0 }, { writes, went_on })
    slept.wake()
    slept.wake()
    assert.same({ 3, 1 }, { writes, went_on })
    assert.equal(1000, slept[1])
  end)

  -- The list came every half a minute and counted the tries from one, so that a call rang on for ever.
  it("and waits for its next try is not begun anew by the list of channels", function()
    arrives()
    for _ = 1, 5 do arrives() end  -- the list of channels, and StasisStart once more
    assert.same({ 1, 1 }, { writes, #slept })
    slept.wake()
    for _ = 1, 5 do arrives() end
    assert.same({ 2, 2 }, { writes, #slept })
    slept.wake()
    assert.same({ 3, 1 }, { writes, went_on })
  end)

  it("is refused after eight tries, and may be begun by the list if it is still there", function()
    fails = 100
    arrives()
    for _ = 2, 8 do slept.wake() end
    assert.equal(8, writes)
    assert.equal("DELETE /channels/chan-1?reason_code=34", asked[#asked])
    assert.is_nil(roster.by_channel["chan-1"])
  end)

  it("is left when its caller has gone meanwhile", function()
    replace(telephony, "request", function(_, method, path) table.insert(asked, method .. " " .. path) return 404 end)
    arrives()
    slept.wake()
    assert.equal(1, writes)
    assert.same({ "GET /channels/chan-1" }, asked)
    assert.is_nil(roster.by_channel["chan-1"])
  end)
end)
