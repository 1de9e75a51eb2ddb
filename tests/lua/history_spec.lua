-- SPDX-License-Identifier: Apache-2.0
local deflate = require "core.deflate"
local history = require "calls.history"
local journal = require "flow.journal"
local json = require "core.json"
local task = require "core.task"

describe("a call's history", function()
  local tenant = { id = 1, slug = "t", key = ("k"):rep(32) }

  local function call(fields)
    local made = { id = "c-n1-1-x", tenant = tenant, file = "flows/main.lua", hash = ("a"):rep(64), seed = 7, from = "+12025550123", visit = 1,
      state = "greeting", data = {}, journal = journal.new(), history = history.new() }
    for name, value in pairs(fields or {}) do made[name] = value end
    return made
  end

  local function verb(name, value, more)
    local hash, given = journal.arguments{ "x" }
    local entry = { name = name, args = hash, given = given, done = true, ok = true, value = value }
    for key, item in pairs(more or {}) do entry[key] = item end
    return entry
  end

  local function opened(of)
    local packed = history.pack(of)
    return packed and history.open(tenant, packed)
  end

  it("comes back as it was packed, sealed for its tenant", function()
    local c = call{ journal = journal.new{ verb("say", true), verb("menu", "sales") }, data = { seen = { "a", "b" } } }
    c.history:add(1, history.visit(c, { next = "sales" }))
    local back = opened(c)
    assert.same({ id = "c-n1-1-x", from = "+12025550123" }, back.info)
    assert.equal(7, back.seed)
    assert.same({ "a", "b" }, back.visits[1].data.seen)
    assert.equal("sales", back.visits[1].verbs[2].value)
    assert.same({ "x" }, back.visits[1].verbs[1].given)
    assert.same({ next = "sales" }, back.visits[1].how)
    assert.falsy(history.pack(c):find("sales", 1, true))
    assert.has_error(function() history.open({ id = 2, slug = "other", key = ("o"):rep(32) }, history.pack(c)) end)
  end)

  -- A flow that read call.route went another way when it was run again.
  it("keeps what the routing hook decided, for whoever runs the call again", function()
    local c = call{ journal = journal.new{ verb("say", true) }, route = { queue = "gold", priority = 80, skills = json.array{ "solar" } } }
    c.history:add(1, history.visit(c, { done = true }))
    assert.same({ queue = "gold", priority = 80, skills = { "solar" } }, opened(c).info.route)
  end)

  it("is nothing for a call whose flow never ran", function()
    assert.is_nil(history.pack(call()))
  end)

  it("holds of a secret that it was given, and not what it is", function()
    local c = call{ journal = journal.new{ verb("gather", "4711", { secret = true }) } }
    local text = history.visit(c, { done = true })
    assert.falsy(text:find("4711", 1, true))
    assert.truthy(text:find('"secret":true', 1, true))
  end)

  it("gives a visit to the record with its next write, once", function()
    local h = history.new()
    h:add(3, "{}")
    local fields, drop = h:unwritten({ head = 1 })
    assert.same({ head = 1, h3 = "{}" }, fields)
    assert.is_nil(drop)
    assert.same({}, (h:unwritten({})))
  end)

  it("is taken up from a record whole", function()
    local h = history.new()
    for visit = 1, 12 do h:add(visit, ('{"visit":%d}'):format(visit)) end
    local record = { head = {}, digits = "", ["j13.1"] = {} }
    h:all(record)
    local again = history.new(record)
    assert.is_true(again:has(12))
    assert.is_false(again:has(13))
    assert.same(h.visits, again.visits)
    assert.equal(h.bytes, again.bytes)
  end)

  local function long(visit) return ('{"visit":%d,"x":"%s"}'):format(visit, ("x"):rep(8000)) end

  it("lets the oldest after the first ones go when it has grown too large, and says so", function()
    local h, record = history.new(), {}
    for visit = 1, 100 do
      h:add(visit, long(visit))
      local fields, drop = h:unwritten({})
      for name, text in pairs(fields) do record[name] = text end
      for _, name in ipairs(drop or {}) do record[name] = nil end
      assert.truthy(h.bytes <= history.MAX_BYTES)
    end
    local kept, gap = {}, nil
    for i, visit in ipairs(h.visits) do
      kept[visit.visit] = true
      if visit.gap then gap = { i, visit.gap, visit.visit } end
    end
    assert.is_true(kept[1] and kept[8] and kept[100] and kept[80])
    assert.is_nil(kept[20])
    assert.same({ gap[1], 100 - #h.visits + 1, gap[1] }, gap)
    -- What the record holds is the same, field by field.
    local whole = {}
    h:all(whole)
    assert.same(whole, record)
    assert.same(h.visits, history.new(record).visits)
    local again = history.new(record)
    again:add(101, long(101))
    assert.equal(gap[2] + 1, again.visits[gap[1]].gap)
  end)

  it("leaves out the last verbs of a visit that is too large itself, and says how many", function()
    local entries = {}
    for n = 1, 100 do entries[n] = verb("menu", ("x"):rep(2000)) end
    local c = call{ journal = journal.new(entries) }
    local visit = json.decode(history.visit(c, { next = "b" }))
    assert.equal(100, #visit.verbs + visit.cut)
    assert.truthy(visit.cut > 50)
  end)

  -- Many calls that end at once wait for their turn; none is without its journal.
  it("is packed also when more calls end at once than may wait", function()
    local c = call{ journal = journal.new{ verb("say", ("x"):rep(30000)) } }
    c.history:add(1, history.visit(c, { done = true }))
    local left = 200
    for _ = 1, left do
      task.spawn(function()
        assert.equal(30000, #opened(c).visits[1].verbs[1].value)
        left = left - 1
      end)
    end
    assert.equal(200, left)
    for _ = 1, 500 do
      if left == 0 then break end
      task.sleep(10)
    end
    assert.equal(0, left)
  end)

  it("does not unpack more than was ever packed", function()
    local c = call()
    c.history:add(1, history.visit(c, { done = true }))
    local pii = require "lib.pii"
    local bomb = pii.seal(tenant, "call.journal", deflate.pack(("0"):rep(8 * 1024 * 1024)))
    assert.truthy(#bomb < 100000)
    local ok, text = pcall(history.open, tenant, bomb)
    assert.is_false(ok)
    assert.truthy(text:find("more than", 1, true))
  end)
end)

describe("core.deflate", function()
  it("unpacks what it packed, of any size and any bytes", function()
    for _, text in ipairs{ "", "a", ("\0\255"):rep(50000) } do
      assert.equal(text, deflate.unpack(deflate.pack(text), 100000))
    end
  end)

  -- A worker stood still while a long call's journal was packed.
  it("lets others run while it packs much", function()
    local packed
    task.spawn(function() packed = deflate.pack(("0123456789abcdef"):rep(256 * 1024)) end)
    assert.is_nil(packed)
    for _ = 1, 500 do
      if packed then break end
      task.sleep(10)
    end
    assert.equal(4 * 1024 * 1024, #deflate.unpack(packed, 4 * 1024 * 1024))
  end)

  it("says what is wrong with bytes that are too many or damaged", function()
    local packed = deflate.pack(("a"):rep(1000))
    assert.equal("limit", select(2, deflate.unpack(packed, 999)).code)
    assert.equal("invalid", select(2, deflate.unpack(packed:sub(1, -2), 1000)).code)
    assert.equal("invalid", select(2, deflate.unpack("no zlib at all", 1000)).code)
    assert.equal("invalid", select(2, deflate.unpack("", 1000)).code)
  end)
end)
