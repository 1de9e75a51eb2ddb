-- SPDX-License-Identifier: Apache-2.0
--- What a worker had noted and not written when it died, written by another: once, in its order, and when that can be.
local clock = require "core.clock"
local config = require "core.config"
local db = require "lib.db"
local file = require "core.file"
local json = require "core.json"
local log = require "core.log"
local task = require "core.task"
local loaded, core = pcall(require, "core.remains")
if not (loaded and config.run_dir) then
  describe("what a worker leaves", function() pending("needs the host and a run_dir") end)
  return
end
local remains = require "lib.remains"

local FOLDER = config.run_dir .. "/remains"
local TENANT, OTHER = { id = 7, slug = "acme" }, { id = 9, slug = "other" }
local mono_ms, warn, error_line = clock.mono_ms, log.warn, log.error

local function tenant_of(id) return id == TENANT.id and TENANT or id == OTHER.id and OTHER or nil end

local function mine()
  local out = {}
  for _, name in ipairs(file.list(FOLDER) or {}) do
    if not name:find("^dead") then out[#out + 1] = name end
  end
  table.sort(out)
  return out
end

-- What stands in all files of this process.
local function noted()
  local out = {}
  for _, name in ipairs(mine()) do out[#out + 1] = file.read(FOLDER .. "/" .. name) end
  return table.concat(out)
end

local function die_with(name, text)
  local one = assert(core.create(FOLDER, name))
  assert(one:add(text))
  one:leave()
end

local function line(id, n, kind) return json.encode{ kind or "spec", id, { n = n } } .. "\n" end

describe("what a worker leaves", function()
  local got, refuse, passed_ms, told

  setup(function()
    remains.define("spec", function(tenant, value)
      if refuse then refuse(value, tenant) end
      got[#got + 1] = value
    end)
    clock.mono_ms = function() return mono_ms() + passed_ms end
    log.warn = function(name) told[#told + 1] = name end
    log.error = log.warn
  end)
  teardown(function() clock.mono_ms, log.warn, log.error = mono_ms, warn, error_line end)

  before_each(function()
    got, refuse, passed_ms, told = {}, nil, 0, {}
    assert.equal("", noted())
  end)

  local function fails(code) db.fail{ code = code, text = "told so", number = 0 } end
  local function look_later(ms)
    passed_ms = passed_ms + (ms or 1000)
    remains.look(tenant_of)
  end
  local function numbers()
    local out = {}
    for i, value in ipairs(got) do out[i] = value.n end
    return table.concat(out, " ")
  end

  local function is_there(name) return file.kind(FOLDER .. "/" .. name) == "file" end

  it("is in its file until it is settled", function()
    local first, second = remains.note("spec", TENANT, { n = 1 }), remains.note("spec", TENANT, { n = 2 })
    assert.equal(2, select(2, noted():gsub("\n", "")))
    remains.settled(first)
    remains.settled(first)
    assert.truthy(noted():find('"n":2', 1, true))
    remains.settled(second)
    assert.equal("", noted())
    remains.settled(nil)
  end)

  -- Programs of the command line all have one owner's name: the second's file took the place of the first's.
  it("is in no file of another process of the same name", function()
    local first = remains.note("spec", TENANT, { n = 1 })
    package.loaded["lib.remains"] = nil
    local other = require "lib.remains"
    package.loaded["lib.remains"] = remains
    local second = other.note("spec", TENANT, { n = 2, text = ("x"):rep(1024 * 1024) })  -- full, so that its file goes with it
    assert.truthy(noted():find('"n":1', 1, true) and noted():find('"n":2', 1, true))
    remains.settled(first)
    other.settled(second)
  end)

  it("is in memory only where it cannot be noted", function()
    assert.is_nil(remains.note("spec", TENANT, { text = "\255" }))
    assert.is_nil(remains.note("spec", TENANT, { fn = print }))
    assert.equal("", noted())
  end)

  it("is not taken while it lives", function()
    local note = remains.note("spec", TENANT, { n = 1 })
    remains.look(tenant_of)
    assert.same({}, got)
    remains.settled(note)
  end)

  it("is begun in another file when one is full, which goes when all in it is settled", function()
    remains.settled(remains.note("spec", TENANT, { n = 1 }))
    local notes, before = {}, #mine()  -- other specs have theirs
    for i = 1, 25 do notes[i] = remains.note("spec", TENANT, { text = ("x"):rep(100000) }) end
    assert.equal(before + 2, #mine())
    for _, note in ipairs(notes) do remains.settled(note) end
    assert.equal(before, #mine())
  end)

  it("is written by another in its order, and is gone then", function()
    die_with("dead.1", json.encode{ "spec", 7, { n = 1 } } .. "\n" .. json.encode{ "spec", 7, { n = 2 } } .. "\n" .. '["spec",7,{"n":')
    remains.look(tenant_of)
    assert.same({ { n = 1 }, { n = 2 } }, got)
    assert.is_false(is_there "dead.1")
  end)

  it("waits while the database is away, alone, and is written when it is back", function()
    die_with("dead.2", line(7, 1) .. line(7, 2) .. line(7, 3))
    refuse = function(value) if value.n == 2 then fails "busy" end end
    look_later()
    assert.equal("1 3", numbers())
    assert.is_false(is_there "dead.2")
    assert.equal(line(7, 2), noted())
    refuse = nil
    look_later()
    assert.equal("1 3 2", numbers())
  end)

  for _, code in ipairs{ "closed", "denied", "not_found" } do
    it("holds up no other tenant's, and of its own is tried once a look: " .. code, function()
      local tries = 0
      die_with("dead.5", line(9, 1) .. line(7, 2) .. line(9, 3) .. line(7, 4))
      refuse = function(_, tenant)
        if tenant ~= OTHER then return end
        tries = tries + 1
        fails(code)
      end
      look_later()
      assert.equal("2 4", numbers())
      assert.equal(1, tries)
      look_later()
      assert.equal("2 4", numbers())
      assert.equal(line(9, 1) .. line(9, 3), noted())
      assert.same({ "remains.waiting" }, told)
      refuse = nil
      look_later(2000)
      assert.equal("2 4 1 3", numbers())
    end)
  end

  it("is tried less and less often, and at least every fifteen seconds", function()
    local tries = 0
    die_with("dead.6", line(7, 1))
    refuse = function()
      tries = tries + 1
      fails "closed"
    end
    for _ = 1, 120 do look_later() end
    assert.is_true(tries >= 10 and tries <= 12, tries .. " tries in two minutes")
    assert.is_true(is_there "dead.6")
    assert.same({ "remains.waiting" }, told)
    refuse = nil
    look_later(15000)
    assert.equal("1", numbers())
    assert.is_false(is_there "dead.6")
  end)

  it("stays where nobody here knows its kind, for a worker that does", function()
    die_with("dead.7", line(7, 1, "later") .. line(7, 2))
    look_later()
    assert.equal("2", numbers())
    assert.equal(line(7, 1, "later"), noted())
    remains.define("later", function(_, value) got[#got + 1] = value end)
    look_later()
    assert.equal("2 1", numbers())
  end)

  it("is told of once when it is good for nothing, and keeps no other", function()
    die_with("dead.3", "no json\n" .. line(8, 1) .. line(7, 2) .. line(7, 3) .. line(7, 4))
    refuse = function(value)
      if value.n == 2 then error("broken", 0) end
      if value.n == 4 then fails "busy" end
    end
    for _ = 1, 3 do look_later() end
    assert.equal("3", numbers())
    assert.same({ "remains.not_written", "remains.waiting" }, told)
    refuse = nil
    look_later(15000)
    assert.equal("3 4", numbers())
  end)

  it("is written by one of several who look", function()
    die_with("dead.4", json.encode{ "spec", 7, { n = 1 } } .. "\n")
    refuse = function() task.sleep(50) end
    local taken
    task.spawn(function() remains.look(tenant_of) end)
    taken = core.take(FOLDER, "dead.4")
    assert.is_nil(taken)
    task.sleep(100)
    assert.same({ { n = 1 } }, got)
  end)
end)
