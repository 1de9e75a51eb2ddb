-- SPDX-License-Identifier: Apache-2.0
--- What the host gives to Lua and no other spec looks at closely: JSON as text, tasks one after another, handles of metrics.
local clock = require "core.clock"
local deflate = require "core.deflate"
local json = require "core.json"
local metrics = require "core.metrics"
local task = require "core.task"
local timer = require "core.timer"

describe("core.json.encode", function()
  -- Compiled loops over pairs() ended early, and said nothing: an UPDATE of a call's row went out without its columns.
  it("is interpreted", function() assert.is_false((require("jit").status())) end)

  it("writes keys in order, numbers exactly and text as it is", function()
    assert.equal('{"a":1,"b":[true,false,null],"c":{"d":"ä/\\"\\\\"}}', json.encode{ c = { d = 'ä/"\\' }, a = 1, b = { true, false, json.null } })
    assert.equal('"\\b\\f\\n\\r\\t\\u0001\\u001F\127"', json.encode("\b\f\n\r\t\1\31\127"))
    assert.equal("[0,-1,9007199254740992,-9007199254740992]", json.encode{ 0, -1, 2 ^ 53, -2 ^ 53 })
    assert.equal("[0.5,0.10000000000000001,-1.5,2.5e20]", json.encode{ 0.5, 0.1, -1.5, 2.5e20 })
    assert.equal("[[],{},0]", json.encode{ json.array(), {}, -0.0 })
    assert.equal('{"1":"one","x":2}', json.encode{ [1] = "one", x = 2 })
    assert.equal('{"10":1,"2":2}', json.encode{ [10] = 1, [2] = 2 })
  end)

  it("writes a record's members in the order of their names, whatever the order in which they are given", function()
    local write = json.record{ "size", "a\"b", "name", "tags" }
    assert.equal('{"a\\"b":null,"name":"Zoë","size":0.5,"tags":[]}', write(0.5, nil, "Zoë", json.array()))
    assert.equal('{"a\\"b":{"x":1},"name":null,"size":true,"tags":null}', write(true, { x = 1 }))
    assert.equal(json.encode{ size = 1, ['a"b'] = false, name = "\1", tags = { 1, 2 } }, write(1, false, "\1", { 1, 2 }))
    local function why(...) return (select(2, pcall(...))) end
    assert.matches("the record has 4 members", why(write, 1, 2, 3, 4, 5))
    assert.matches("a string is not UTF%-8", why(write, "\255"))
    assert.matches("nested deeper than 64", why(write, (function() local t = {} t.me = t return t end)()))
    assert.matches("the name a stands twice", why(json.record, { "a", "b", "a" }))
    assert.matches("1 to 32 names", why(json.record, {}))
    assert.matches("names", why(json.record, { 1 }))
  end)

  it("writes what it reads back as the same value", function()
    local many = {}
    for i = 1, 100 do many["key " .. i] = { i, tostring(i), { nested = i / 7 } } end
    assert.same(many, json.decode(json.encode(many)))
    assert.equal(json.encode(many), json.encode(json.decode(json.encode(many))))
  end)

  it("says what it cannot write", function()
    local function why(value) return (select(2, pcall(json.encode, value))) end
    assert.matches("JSON has no NaN", why{ 1, { x = 0 / 0 } })
    assert.matches("JSON has no infinity", why(math.huge))
    assert.matches("a string is not UTF%-8", why{ "\255" })
    assert.matches("a string is not UTF%-8", why{ "\237\160\128" })
    assert.matches("a table key is not UTF%-8", why{ ["\255"] = 1 })
    assert.matches("a table key is neither text nor a number", why{ [true] = 1 })
    assert.matches("JSON cannot hold a function", why{ f = print })
    local endless = {}
    endless.me = endless
    assert.matches("nested deeper than 64", why(endless))
  end)
end)

local function wait_for(condition)
  for _ = 1, 500 do
    if condition() then return end
    task.sleep(10)
  end
end

describe("core.task", function()
  it("gives each task a clean start, though coroutines are used again", function()
    local seen = {}
    for i = 1, 300 do
      task.spawn(function(...)
        seen[#seen + 1] = select("#", ...)
        if i % 3 == 0 then task.sleep(0) end
        if i % 50 == 0 then error("expected: a task that fails is not used again") end
        return i, i, i
      end, i)
    end
    wait_for(function() return #seen == 300 end)
    assert.equal(300, #seen)
    for i = 1, 300 do assert.equal(1, seen[i]) end
  end)

  it("keeps tasks that wait apart from those that begin meanwhile", function()
    local ends, resumes = {}, {}
    for i = 1, 100 do
      task.spawn(function()
        ends[i] = task.wait(function(resume) resumes[i] = resume end)
      end)
      task.spawn(function() return "ended at once" end)
    end
    for i = 100, 1, -1 do resumes[i](i * 2) end
    for i = 1, 100 do assert.equal(i * 2, ends[i]) end
    resumes[1]("again")
    assert.equal(2, ends[1])
  end)

  it("does not let a coroutine of Lua's own wait", function()
    local ok, why = coroutine.resume(coroutine.create(function() task.sleep(0) end))
    assert.is_false(ok)
    assert.matches("can only be called from a task", why)
  end)

  it("does not let what cannot be left in the middle wait", function()
    local ok, why = pcall(string.gsub, "a", "a", function() task.sleep(0) end)
    assert.is_false(ok)
    assert.matches("cannot be called from inside", why)
  end)

  -- A timer of no time that a timer had started was due in the same turn of the loop: pieces of long work were one.
  it("gives others their turn each time that a task sleeps for nothing", function()
    local turns = 0
    local every = timer.every(1, function() turns = turns + 1 end)
    for _ = 1, 20 do
      local ends = clock.mono_ms() + 3
      repeat until clock.mono_ms() >= ends
      task.sleep(0)
    end
    every:cancel()
    assert.is_true(turns >= 10, turns)
  end)

  -- One that came from a timer went on before the loop had looked at what was ready.
  it("serves what became ready meanwhile before a task that slept for nothing goes on, wherever that came from", function()
    local long = ("a"):rep(1e6)  -- packed by a thread
    local function serves(ms)
      local served = false
      task.spawn(function()
        deflate.pack(long)
        served = true
      end)
      local ends = clock.mono_ms() + ms
      repeat until clock.mono_ms() >= ends
      task.sleep(0)
      return served
    end
    local ways = {
      timer = function(go) timer.after(1, go) end,
      poll = function(go)
        deflate.pack(long)
        go()
      end,
      sleep = function(go)
        task.sleep(0)
        go()
      end,
    }
    for way, from in pairs(ways) do
      local served
      for tries = 1, 10 do  -- the other's thread may have had no processor
        task.spawn(from, function() served = serves(10 * tries) end)
        wait_for(function() return served ~= nil end)
        if served then break end
        served = tries == 10 and served or nil
      end
      assert.is_true(served, way)
    end
  end)

  it("runs a timer's function as a task that may wait", function()
    local done
    timer.after(1, function()
      task.sleep(1)
      done = true
    end)
    wait_for(function() return done end)
    assert.is_true(done)
  end)
end)

describe("a handle of a metric", function()
  local function value(line)
    return tonumber(metrics.text():match("\n" .. line:gsub("%p", "%%%0") .. " (%S+)"))
  end

  it("counts in the same series as its name and labels do", function()
    local labels = { kind = "x", about = 'a "quote"' }
    metrics.count("spec_counted_total", labels, 2, "for a spec")
    local add = metrics.counter("spec_counted_total", labels, "for a spec")
    add(3)
    add()
    assert.equal(6, value('spec_counted_total{about="a \\"quote\\"",kind="x"}'))
    local observe = metrics.histogram("spec_seconds", nil, "for a spec")
    observe(0.5)
    metrics.observe("spec_seconds", nil, 0.25)
    assert.equal(2, value("spec_seconds_count"))
    assert.is_false(pcall(observe))
  end)
end)

describe("core.file", function()
  local file = require "core.file"
  local root = os.tmpname()

  setup(function() os.remove(root) end)
  teardown(function()
    for _, path in ipairs{ "/a/b/c.txt", "/a/b", "/a", "" } do os.remove(root .. path) end
  end)

  it("writes a file with the folders above it, and over one that is there", function()
    assert.is_true(file.write(root .. "/a/b/c.txt", "one\0two"))
    assert.equal("one\0two", file.read(root .. "/a/b/c.txt"))
    assert.is_true(file.write(root .. "/a/b/c.txt", ""))
    assert.equal("", file.read(root .. "/a/b/c.txt"))
    assert.same({ "c.txt" }, file.list(root .. "/a/b"))
    assert.same({ "directory", "file" }, { file.kind(root .. "/a"), file.kind(root .. "/a/b/c.txt") })
  end)

  it("says why it cannot write", function()
    for path, why in pairs{ [root .. "/a/b/c.txt/d"] = "Not a directory", [root .. "/a/b"] = "Is a directory", [""] = "Invalid argument", [("x/"):rep(5000)] = "too long" } do
      local ok, err = file.write(path, "x")
      assert.is_nil(ok)
      assert.matches(why, err.text)
    end
  end)

  it("knows that nobody looks at what is no terminal", function()
    assert.is_false(file.terminal(99))
    assert.has_error(function() file.terminal("x") end)
  end)
end)
