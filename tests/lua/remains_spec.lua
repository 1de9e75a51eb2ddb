-- SPDX-License-Identifier: Apache-2.0
--- What a worker had noted and not written when it died, written by another: once, in its order, and when that can be.
local config = require "core.config"
local file = require "core.file"
local json = require "core.json"
local task = require "core.task"
local loaded, core = pcall(require, "core.remains")
if not (loaded and config.run_dir) then
  describe("what a worker leaves", function() pending("needs the host and a run_dir") end)
  return
end
local remains = require "lib.remains"

local FOLDER = config.run_dir .. "/remains"
local TENANT = { id = 7, slug = "acme" }

local function tenant_of(id) return id == TENANT.id and TENANT or nil end

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

describe("what a worker leaves", function()
  local got, refuse

  setup(function()
    remains.define("spec", function(_, value)
      if refuse then refuse(value) end
      got[#got + 1] = value
    end)
  end)

  before_each(function()
    got, refuse = {}, nil
    assert.equal("", noted())
  end)

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
    local notes = {}
    for i = 1, 25 do notes[i] = remains.note("spec", TENANT, { text = ("x"):rep(100000) }) end
    assert.equal(3, #mine())
    for _, note in ipairs(notes) do remains.settled(note) end
    assert.equal(1, #mine())
  end)

  it("is written by another in its order, and is gone then", function()
    die_with("dead.1", json.encode{ "spec", 7, { n = 1 } } .. "\n" .. json.encode{ "spec", 7, { n = 2 } } .. "\n" .. '["spec",7,{"n":')
    remains.look(tenant_of)
    assert.same({ { n = 1 }, { n = 2 } }, got)
    assert.is_false(is_there "dead.1")
  end)

  it("waits while the database is away, and is written when it is back", function()
    local failure = select(2, pcall(require("lib.db").query, "no_such_schema", "SELECT nothing FROM nowhere"))
    die_with("dead.2", json.encode{ "spec", 7, { n = 1 } } .. "\n" .. json.encode{ "spec", 7, { n = 2 } } .. "\n")
    refuse = function(value) if value.n == 2 then error(failure, 0) end end
    remains.look(tenant_of)
    assert.is_true(is_there "dead.2")
    refuse = nil
    remains.look(tenant_of)
    assert.same({ { n = 1 }, { n = 1 }, { n = 2 } }, got)
    assert.is_false(is_there "dead.2")
  end)

  it("does not keep the others for one that is good for nothing", function()
    die_with("dead.3", "no json\n" .. json.encode{ "unheard-of", 7, 1 } .. "\n" .. json.encode{ "spec", 8, { n = 1 } } .. "\n" .. json.encode{ "spec", 7, { n = 2 } } .. "\n"
      .. json.encode{ "spec", 7, { n = 3 } } .. "\n")
    refuse = function(value) if value.n == 2 then error("broken", 0) end end
    remains.look(tenant_of)
    assert.same({ { n = 3 } }, got)
    assert.is_false(is_there "dead.3")
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
