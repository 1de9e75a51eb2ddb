-- SPDX-License-Identifier: Apache-2.0
--- Versions from upload to roll-back, by the API, with the database, Redis and real cells. What they need stands in data_world.
local world = require "data_world"
if not world then
  describe("versions of a bundle", function() pending("runs in the host, with sql.schema = \"..._test\"") end)
  return
end

local cells = require "scripts.cells"
local json = require "core.json"
local pointers = require "scripts.pointers"
local promise = require "lib.promise"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local script_log = require "scripts.log"
local scripts = require "scripts"
local store = require "scripts.store"
local stream = require "audit.stream"
local task = require "core.task"
local tenants = require "tenants"
local use = require "scripts.use"

local ask = world.ask
local tenant, count = nil, 0

local FLOW = 'local flow = require "flow"\nreturn flow.define {\n  start = "greeting",\n  greeting = function(call) call:say "%s" end,\n}\n'

local function files(text, more)
  local given = { ["bundle.lua"] = 'return { numbers = { ["*"] = "flows/main.lua" } }\n', ["flows/main.lua"] = FLOW:format(text) }
  for path, data in pairs(more or {}) do given[path] = data end
  local list = json.array()
  for path, data in pairs(given) do list[#list + 1] = { path = path, text = data } end
  return list
end

-- Not by the API, which lets one client upload a few a second.
local function upload(text, more)
  local list = {}
  for i, file in ipairs(files(text, more)) do list[i] = { path = file.path, data = file.text } end
  return assert(scripts.upload(tenant, list, { actor = "us_1" })).hash
end

local function post(path, body)
  local status, answer = ask("POST", path, body or {})
  return status, answer
end

local function live()
  local status, body = ask("GET", "/scripts/live")
  assert.equal(200, status)
  return body
end

-- Those of this test, the newest first.
local function moves()
  local list = {}
  for i, move in ipairs(live().moves) do list[i] = move.name .. " " .. move.action end
  return list
end

describe("versions of a bundle", function()
  local real_sim, v1, v2

  setup(function()
    world.token = nil
    world.begin{ "auth", "scripts" }
    tenant = tenants.create{ slug = "versions", name = "Versions", admin_email = "admin@versions.test", admin_password = "a-long-password" }
    redis.call("DEL", rediskey("bundle:" .. tenant.id))  -- of an earlier run
    world.token = world.login("admin@versions.test", "a-long-password")
    real_sim = package.loaded.sim
  end)
  teardown(function()
    package.loaded.sim = real_sim
    world.token = nil
  end)

  -- Each has a version that is live and one that is stored, which no other has.
  before_each(function()
    count = count + 1
    package.loaded.sim = { specs = function() return { passed = 1, failed = 0, failures = {} } end }
    v1, v2 = upload("one of " .. count), upload("two of " .. count)
    ask("DELETE", "/scripts/canary")
    for _, text in ipairs{ "DELETE FROM bundle_move", "DELETE FROM script_log" } do require("core.sql").query(tenant.db, text) end
    assert.equal(200, (post("/scripts/bundles/" .. v1 .. "/publish")))
  end)

  local function canary(more)
    local body = { version = v2, share = 10, error_limit = 10, min_calls = 10 }
    for name, value in pairs(more or {}) do body[name] = value end
    return post("/scripts/canary", body)
  end

  local function end_calls(hash, how_many, kind)
    for _ = 1, how_many do use.count(tenant, hash, kind, hash == v2) end
    assert.is_true(use.write())
  end

  -- A move that is refused tells of nothing but what went before it.
  it("is loaded into the cell that runs before its rows are written, so that its first call need not wait", function()
    local warm, has = cells.warm, {}
    cells.warm = function(whose, hash) if warm(whose, hash) then has[hash] = true end end
    scripts.start()
    local nothing = function() end
    local function run(hash, call)
      return cells.run(tenant, hash, call, { verb = nothing, next = nothing, failed = nothing, lost = nothing }, "flows/main.lua", "greeting", 1, {}, {})
    end
    assert.is_true(run(v1, "early-1"))
    for _ = 1, 20 do  -- until the subscription stands
      assert.equal(409, (post("/scripts/bundles/" .. v2 .. "/publish", { expected = 999 })))
      task.sleep(100)
      if has[v2] then break end
    end
    cells.warm = warm
    assert.is_true(has[v2])
    assert.equal(v1, scripts.live(tenant))
    local read, reads = store.bundle_bytes, 0
    store.bundle_bytes = function(...)
      reads = reads + 1
      return read(...)
    end
    local ran = run(v2, "early-2")
    store.bundle_bytes = read
    assert.is_true(ran)
    assert.equal(0, reads)
    cells.renew(tenant.id)
  end)

  it("as canary gets its share of new calls, and each call the same one again", function()
    assert.equal(200, (canary{ share = 30 }))
    local taken = 0
    for i = 1, 300 do
      local hash, is_canary = pointers.pick(tenant, "c" .. i)
      assert.equal(is_canary and v2 or v1, hash)
      assert.equal(hash, (pointers.pick(tenant, "c" .. i)))
      if is_canary then taken = taken + 1 end
    end
    assert.is_true(taken > 50 and taken < 130, taken)
    assert.equal(v1, scripts.live(tenant))
    redis.call("DEL", rediskey("bundle:" .. tenant.id))  -- Redis has lost its copy
    local again = 0
    for i = 1, 300 do
      if select(2, pointers.pick(tenant, "c" .. i)) then again = again + 1 end
    end
    assert.equal(taken, again)
  end)

  it("as canary is rolled back by the call that is one too many, once, and its author reads why", function()
    assert.equal(200, (canary()))
    end_calls(v2, 9, nil)
    end_calls(v2, 1, "error")  -- one of ten: the limit is met, not passed
    assert.equal(v2, live().canary.version)
    assert.same({ 10, 1 }, { live().canary.calls, live().canary.failed })
    end_calls(v2, 1, "cpu")
    local now = live()
    assert.is_nil(now.canary)
    assert.equal(v1, now.version)
    assert.same({ "canary auto", "canary canary", "live publish" }, moves())
    end_calls(v2, 5, "error")  -- calls that were up
    assert.same({ "canary auto", "canary canary", "live publish" }, moves())
    for i = 1, 100 do assert.equal(v1, (pointers.pick(tenant, "c" .. i))) end
    local _, one = ask("GET", "/scripts/bundles/" .. v2)
    assert.same({ 16, 7, 1 }, { one.use.calls, one.use.failed, one.use.over_budget })
  end)

  it("as canary is not rolled back for errors of the live one, nor for what came before it", function()
    end_calls(v2, 50, "error")  -- it was live once, say
    assert.equal(200, (canary()))
    end_calls(v1, 50, "error")
    end_calls(v2, 10, nil)
    assert.equal(v2, live().canary.version)
    assert.equal(0, live().canary.failed)
  end)

  it("as canary is judged by what is left when a failed call comes before the least number", function()
    assert.equal(200, (canary()))
    end_calls(v2, 3, "error")
    assert.equal(v2, live().canary.version)
    end_calls(v2, 7, nil)  -- the tenth call is a good one, and the one that decides
    assert.is_nil(live().canary)
  end)

  it("is promoted: the canary is live, and a roll-back goes to what was live before", function()
    canary()
    local status, body = post("/scripts/canary/promote")
    assert.equal(200, status)
    assert.is_true(body.live)
    assert.equal(v2, live().version)
    assert.is_nil(live().canary)
    assert.equal(v2, (pointers.pick(tenant, "c1")))
    status, body = post("/scripts/rollback")
    assert.same({ 200, v1 }, { status, body.version })
    assert.equal(409, (post("/scripts/canary/promote")))
  end)

  it("stays where it is when the canary is cancelled, and only then another may begin", function()
    canary()
    local v3 = upload("three")
    local status, body = canary{ version = v3 }
    assert.same({ 409, "canary_runs" }, { status, body.code })
    assert.equal(200, (ask("DELETE", "/scripts/canary")))
    status, body = ask("DELETE", "/scripts/canary")
    assert.same({ 409, "no_canary" }, { status, body.code })
    assert.equal(200, (canary{ version = v3 }))
    assert.equal(v1, live().version)
  end)

  it("that is published or rolled back beside a canary ends it", function()
    canary()
    local v3 = upload("three")
    local status, body = post("/scripts/bundles/" .. v3 .. "/publish")
    assert.same({ 200, v2 }, { status, body.canary_ended })
    assert.is_nil(live().canary)
    canary()
    assert.equal(200, (post("/scripts/rollback")))
    assert.is_nil(live().canary)
    for i = 1, 50 do assert.equal(v1, (pointers.pick(tenant, "c" .. i))) end
  end)

  it("has a canary whose share grows and whose count goes on", function()
    canary()
    end_calls(v2, 5, nil)
    local status, body = canary{ share = 50 }
    assert.same({ 200, 50 }, { status, body.canary.share })
    assert.equal(5, live().canary.calls)
  end)

  it("refuses a canary that makes no sense, and says what to do", function()
    local status, body = canary{ version = v1 }
    assert.same({ 409, "already_live" }, { status, body.code })
    status, body = canary{ version = ("0"):rep(64) }
    assert.same({ 404, "bundle_not_found" }, { status, body.code })
    for _, more in ipairs{ { share = 0 }, { share = 51 }, { error_limit = 101 }, { min_calls = 0 }, { version = "abc" } } do
      assert.equal(422, (canary(more)))
    end
  end)

  it("tells the second of two who move the same pointer at once, whichever pointer it is", function()
    local function at_once(...)
      local results = {}
      for i, request in ipairs{ ... } do
        results[i] = promise.new()
        task.spawn(function() results[i]:give((post(request[1], request[2]))) end)
      end
      local statuses = {}
      for i, result in ipairs(results) do statuses[i] = result:wait() end
      table.sort(statuses)
      return statuses
    end
    local seen = live()
    local v3 = upload("three")
    assert.same({ 200, 409 }, at_once({ "/scripts/bundles/" .. v2 .. "/publish", { expected = seen.pointer } },
      { "/scripts/bundles/" .. v3 .. "/publish", { expected = seen.pointer } }))
    seen = live()
    local other = seen.version == v2 and v3 or v2
    assert.same({ 200, 409 }, at_once({ "/scripts/canary", { version = v1, expected = seen.canary_pointer } },
      { "/scripts/canary", { version = other, expected = seen.canary_pointer } }))
    seen = live()
    assert.same({ 200, 409 }, at_once({ "/scripts/canary/promote", { expected = seen.canary_pointer } },
      { "/scripts/canary/promote", { expected = seen.canary_pointer } }))
  end)

  it("with specs that fail is stored and does not go before callers, unless an admin says why", function()
    package.loaded.sim = { specs = function()
      return { passed = 1, failed = 1, failures = { { file = "spec/a_spec.lua", line = 7, name = "rings", text = "expected 1" } } }
    end }
    local v3 = upload("broken")
    for _, request in ipairs{ { "/scripts/bundles/" .. v3 .. "/publish", {} }, { "/scripts/canary", { version = v3 } } } do
      local status, body = post(request[1], request[2])
      assert.same({ 422, "specs_failed", "spec/a_spec.lua", 7 }, { status, body.code, body.errors[1].file, body.errors[1].line })
    end
    local status, body = ask("POST", "/scripts/bundles", { files = files("broken too"), publish = true })
    assert.same({ 422, "specs_failed" }, { status, body.code })
    assert.equal(200, (ask("GET", "/scripts/bundles/" .. body.version)))
    assert.equal(v1, live().version)
    status, body = post("/scripts/bundles/" .. v3 .. "/publish", { skip_specs = true })
    assert.same({ 422, "reason_missing" }, { status, body.code })
    assert.equal(200, (post("/scripts/bundles/" .. v3 .. "/publish", { skip_specs = true, reason = "the old one is on fire" })))
    assert.equal(v3, live().version)
    local fields = require("core.sql").query(tenant.db, [[SELECT fields FROM audit_pending WHERE action = 'bundle.published' AND fields LIKE '%on fire%'
      UNION SELECT fields FROM audit_log WHERE action = 'bundle.published' AND fields LIKE '%on fire%']])
    assert.equal(1, #fields)
    assert.is_true(json.decode(fields[1].fields).specs_skipped)
    -- The next upload of the same files is checked anew, and what it finds stands.
    package.loaded.sim = { specs = function() return { passed = 2, failed = 0, failures = {} } end }
    assert.equal(v3, upload("broken"))
    assert.equal(0, select(2, ask("GET", "/scripts/bundles/" .. v3)).specs.failed)
  end)

  it("are read with their files and parents, found by the beginning of their hash, and compared", function()
    local v3 = upload("three", { ["lib/a.lua"] = "return 1\n" })
    local status, one = ask("GET", "/scripts/bundles/" .. v3)
    assert.equal(200, status)
    assert.equal(v1, one.parent)
    local paths = {}
    for i, f in ipairs(one.files) do paths[i] = f.path end
    assert.same({ "bundle.lua", "flows/main.lua", "lib/a.lua" }, paths)
    local _, found = ask("GET", "/scripts/bundles?prefix=" .. v3:sub(1, 10))
    assert.same({ v3 }, { found.bundles[1].version, found.bundles[2] and found.bundles[2].version })
    local _, all = ask("GET", "/scripts/bundles/" .. v3 .. "/files")
    local _, again = ask("POST", "/scripts/bundles", { files = all.files })
    assert.equal(v3, again.version)
    local _, change = ask("GET", "/scripts/bundles/" .. v3 .. "/diff")
    assert.same({ v1, v3 }, { change.from, change.to })
    assert.same({ "flows/main.lua", "changed" }, { change.files[1].path, change.files[1].change })
    assert.matches('%-  greeting = function%(call%) call:say "one of %d+" end,\n%+  greeting = function%(call%) call:say "three" end,', change.files[1].diff)
    assert.same({ "lib/a.lua", "added" }, { change.files[2].path, change.files[2].change })
    assert.matches("^%-%-%- /dev/null\n%+%+%+ b/lib/a%.lua\n", change.files[2].diff)
    _, change = ask("GET", "/scripts/bundles/" .. v2 .. "/diff?with=" .. v3)
    assert.equal("removed", change.files[2].change)
    for _, path in ipairs{ "", "/files", "/diff" } do
      assert.equal(404, (ask("GET", "/scripts/bundles/" .. ("0"):rep(64) .. path)))
      assert.equal(400, (ask("GET", "/scripts/bundles/" .. v3:sub(1, 12) .. path)))
    end
  end)

  it("can be checked without being stored", function()
    local before = #select(2, ask("GET", "/scripts/bundles")).bundles
    local status, body = post("/scripts/check", { files = files("good") })
    assert.same({ 200, true, 0 }, { status, body.valid, #body.problems })
    status, body = post("/scripts/check", { files = files("bad", { ["flows/main.lua"] = "local x = 1\nreturn ((\n" }) })
    assert.same({ 200, false, "flows/main.lua" }, { status, body.valid, body.problems[1].file })
    assert.equal(before, #select(2, ask("GET", "/scripts/bundles")).bundles)
  end)

  it("write a log that no call waits for, with how a script came there, and it can be followed", function()
    local _, empty = ask("GET", "/scripts/log")
    assert.same({}, empty.entries)
    for i = 1, 40 do scripts.log(tenant, { level = "info", text = "line " .. i, bundle_hash = v1, state = "greeting" }) end
    scripts.log(tenant, { level = "error", text = "boom \255", file = "lib/a.lua", line = 3, trace = script_log.trace{ "lib/a.lua:3: in function 'x'\n", "flows/main.lua:1: y" } })
    assert.is_true(script_log.settle(5000))
    local _, log = ask("GET", "/scripts/log?limit=200")
    assert.equal(41, #log.entries)
    assert.equal("boom ?", log.entries[1].text)
    assert.same({ "lib/a.lua:3: in function 'x'?", "flows/main.lua:1: y" }, log.entries[1].trace)
    for i = 1, 40 do assert.equal("line " .. i, log.entries[42 - i].text) end
    local sealed = require("core.sql").query(tenant.db, "SELECT text, trace FROM script_log WHERE level = 'error'")[1]
    assert.is_nil(sealed.text:find("boom", 1, true))
    assert.is_nil(sealed.trace:find("lib/a.lua", 1, true))
    local _, followed = ask("GET", "/scripts/log?after=" .. empty.after .. "&limit=200")
    assert.equal(41, #followed.entries)
    assert.equal("line 1", followed.entries[1].text)
    scripts.log(tenant, { level = "info", text = "later" })
    assert.is_true(script_log.settle(5000))
    local _, more = ask("GET", "/scripts/log?after=" .. log.after)
    assert.same({ "later" }, { more.entries[1].text, more.entries[2] and more.entries[2].text })
    local known = {}
    for _, entry in ipairs(log.entries) do known[entry.id] = true end
    assert.is_nil(known[more.entries[1].id])
    assert.is_true(known[followed.entries[1].id])
    assert.equal(400, (ask("GET", "/scripts/log?after=" .. empty.after .. "&cursor=x")))
    assert.equal(404, (ask("GET", "/scripts/log?call=nobody")))
  end)

  it("have a log that forgets, a few lines at a time", function()
    for i = 1, 3 do scripts.log(tenant, { level = "info", text = "old " .. i }) end
    assert.is_true(script_log.settle(5000))
    require("core.sql").query(tenant.db, "UPDATE script_log SET `at` = '2020-01-01' WHERE id <> (SELECT newest FROM (SELECT MAX(id) AS newest FROM script_log) AS m)")
    assert.equal(2, script_log.forget(tenant))
    assert.is_false(store.log_is_empty(tenant.db))
    local job = require("lib.jobs").get(tenant.id, "script_log.forget")
    assert.equal("waiting", job.state)
  end)

  it("tell of their log over /ws only who asked, and may", function()
    local function join(role, query)
      local client = { got = {} }
      local ws = { send = function(_, text) table.insert(client.got, json.decode(text)) return true end, queued = function() return 0 end, close = function() end }
      client.handler = stream.open{ query = query, slug = tenant.slug, user = { id = "us_1", role = role, tenant = tenant.slug } }
      client.handler.on_open(ws)
      function client.heard(name)
        local n = 0
        for _, message in ipairs(client.got) do if message.name == name then n = n + 1 end end
        return n
      end
      return client
    end
    local follower, other = join("supervisor", { channels = "scripts" }), join("admin", {})
    local refused = { pcall(join, "agent", { channels = "scripts" }) }
    assert.same({ false, 403 }, { refused[1], refused[2].status })
    assert.equal(400, select(2, pcall(join, "admin", { channels = "nothing" })).status)
    task.sleep(100)  -- the subscription stands
    scripts.log(tenant, { level = "warn", text = "hear me", call = "c-1" })
    assert.is_true(script_log.settle(5000))
    for _ = 1, 200 do
      if follower.heard("script.log") == 1 then break end
      task.sleep(10)
    end
    assert.same({ 1, 0 }, { follower.heard("script.log"), other.heard("script.log") })
    local line = follower.got[#follower.got]
    assert.same({ "hear me", "c-1", "scripts" }, { line.text, line.call, line.channel })
    follower.handler.on_close(1000)
    other.handler.on_close(1000)
  end)
end)
