-- SPDX-License-Identifier: Apache-2.0
--- Tenants' cells as a worker has them, its own Lua (lua/scripts/cells.lua) and loop included: parley run tests/bench/worker_cells.lua PART ...
---   handler FOLDER RUNS   the handler as a hook and as a flow that looks one thing up by a verb
---   flow COUNT            a tenant's first use to its running flow; a verb there and back
---   idle SECONDS COUNT... what the worker spends a second on cells at rest, and on cells with a call that waits
--- Prints rows: name | figures. Bundles come from memory, as for every start after a worker's first of that version.
local bundle = require "core.bundle"
local cell = require "core.cell"
local cells = require "scripts.cells"
local clock = require "core.clock"
local file = require "core.file"
local promise = require "lib.promise"
local task = require "core.task"
local watch = require "scripts.watch"

local BUDGET = { share_percent = 100, call_ms = 2 ^ 30 }  -- what is measured would be throttled else, and the bench is one call
local AT_ONCE = 8

-- Every process that scripts.cells starts, for its processor time.
local processes, spawn = {}, cell.spawn
function cell.spawn(options)
  local made, err = spawn(options)
  processes[#processes + 1] = made
  return made, err
end

local function cells_cpu_us()
  local sum = 0
  for _, one in ipairs(processes) do sum = sum + (one:usage() or 0) * 1e6 end
  return sum
end

-- Processor time of the zygote, in steps of 10 ms: cells are its children.
local zygote
local function zygote_cpu_us()
  if not zygote then
    local _, pid = processes[1]:usage()
    zygote = assert(file.read("/proc/" .. pid .. "/status")):match("PPid:%s*(%d+)")
  end
  local rest = assert(file.read("/proc/" .. zygote .. "/stat")):match("%) (.*)$")
  local user, system = rest:match(("%S+ "):rep(11) .. "(%d+) (%d+)")
  return (user + system) * 10000
end

local last_tenant = 1000000  -- far from those of a server on this machine
local function tenant(files)
  last_tenant = last_tenant + 1
  local list = {}
  for path, data in pairs(files) do list[#list + 1] = { path = path, data = data } end
  table.sort(list, function(a, b) return a.path < b.path end)
  return { id = last_tenant, slug = "t" .. last_tenant, bundles = { v = assert(bundle.pack(list)) }, limits = { cells = BUDGET } }
end

local function at(values, part)
  table.sort(values)
  return values[math.floor(part * (#values - 1)) + 1]
end

-- run(i) RUNS times, so many at a time; microseconds of each, and the rate and both sides' processor time.
local function measure(name, runs, width, run)
  local us, left, busy, over = {}, runs, width, promise.new()
  local began, own, theirs = clock.wall_us(), os.clock(), cells_cpu_us()
  for _ = 1, width do
    task.spawn(function()
      while left > 0 do
        left = left - 1
        local from = clock.wall_us()
        run(left)
        us[#us + 1] = clock.wall_us() - from
      end
      busy = busy - 1
      if busy == 0 then over:give() end
    end)
  end
  over:wait()
  local took = clock.wall_us() - began
  own, theirs = (os.clock() - own) * 1e6 / runs, (cells_cpu_us() - theirs) / runs
  print(("%s|%.0f|%.2f|%.2f|%.2f|%.2f"):format(name, runs / took * 1e6, own, theirs, at(us, 0.5), at(us, 0.99)))
end

local parts = {}

function parts.handler(folder, runs)
  local t = tenant{
    ["handler.lua"] = assert(file.read(folder .. "/handler.lua")),
    ["scoring.lua"] = 'local handle = require "handler"\nreturn function(input) return handle(input.lead, function() return input.known end) end\n',
    ["flows/main.lua"] = [[local flow, handle = require "flow", require "handler"
return flow.define { start = "score", score = function(call) call.data = handle(call.data.lead, function(key) return call:log(key) end) end }
]],
  }
  local leads = dofile(folder .. "/leads.lua")
  local function hook(i)
    local ok, result = cells.hook(t, "v", "scoring.lua", "", { lead = leads[i % #leads + 1], known = "3" })
    assert(ok == true and result.line, "the hook failed")
  end
  local visit = 0
  local function flow(i)
    local done, call = promise.new(), "c" .. i
    local run = { next = function(_, _, data) done:give(data) end, failed = function(_, _, text) error(text) end, lost = function(_, _, why) error(why) end }
    function run.verb(this_visit, n, _, args) cells.answer(call, run, this_visit, n, true, args[1]:find("^calls of ") and "3") end
    visit = visit + 1
    assert(cells.run(t, "v", call, run, "flows/main.lua", "score", visit, { lead = leads[i % #leads + 1] }, { id = call }))
    assert(done:wait().line, "the flow made nothing")
    cells.drop(call, run)
  end
  for i = 1, 500 do
    hook(i)
    flow(i)
  end
  local _, answer = cells.hook(t, "v", "scoring.lua", "", { lead = leads[1], known = "3" })
  print("answer|" .. answer.line)
  measure("hook", runs, 1, hook)
  measure("hooks", runs, AT_ONCE, hook)
  measure("flow", runs, 1, flow)
end

local FLOW = [[local flow = require "flow"
return flow.define { start = "ask", ask = function(call) while true do call:now() end end }
]]

-- Starts a call in a tenant's cell; asked() hears of each verb.
local function begin(t, call, asked)
  local run = { verb = asked, next = function() error("the flow ended") end, failed = function(_, _, text) error(text) end,
                lost = function(_, _, why) error(why) end }
  assert(cells.run(t, "v", call, run, "flows/main.lua", "ask", 1, {}, { id = call }))
  return run
end

-- Milliseconds of count first uses, so long after each other; the first one's call.
local function first_uses(count, pause_ms)
  local us, first = {}, nil
  for i = 1, count + 1 do
    if pause_ms > 0 then task.sleep(pause_ms) end
    local t, there = tenant{ ["flows/main.lua"] = FLOW }, promise.new()
    local from = clock.wall_us()
    local run
    local one = { tenant = t }
    run = begin(t, "c", function(visit, n)
      if one.asked then return one.asked(run, visit, n) end
      there:give(visit, n)
    end)
    one.visit, one.n = there:wait()
    one.run = run
    if i > 1 then us[#us + 1] = clock.wall_us() - from end  -- the first starts the zygote too
    first = first or one
  end
  print(("first%d|%.2f|%.2f"):format(pause_ms, at(us, 0.5) / 1000, at(us, 0.99) / 1000))
  return first
end

function parts.flow(count)
  first_uses(count, 0)
  local first = first_uses(count, 20)
  for _, pause_ms in ipairs{ 0, 1 } do
    local trips, over, sent = {}, promise.new(), 0
    local most = pause_ms == 0 and 20000 or 2000
    function first.asked(_, _, n)
      trips[#trips + 1] = clock.wall_us() - sent
      first.n = n
      if #trips == most then return over:give() end
      if pause_ms > 0 then task.sleep(pause_ms) end
      sent = clock.wall_us()
      cells.answer("c", first.run, first.visit, n, true, 1700000000)
    end
    local own, theirs = os.clock(), cells_cpu_us()
    sent = clock.wall_us()
    cells.answer("c", first.run, first.visit, first.n, true, 1700000000)
    over:wait()
    print(("trip%d|%.1f|%.1f|%.1f|%.1f"):format(pause_ms, at(trips, 0.5), at(trips, 0.99), (os.clock() - own) * 1e6 / most, (cells_cpu_us() - theirs) / most))
  end
end

-- Milliseconds of processor time a second, of this worker, the zygote and the cells.
local function spent(seconds)
  task.sleep(2000)
  local own, theirs, its = os.clock(), cells_cpu_us(), #processes > 0 and zygote_cpu_us() or 0
  task.sleep(seconds * 1000)
  for _, one in ipairs(processes) do assert(one:usage(), "a cell has ended") end
  return (os.clock() - own) * 1e3 / seconds, (#processes > 0 and zygote_cpu_us() - its or 0) / 1e3 / seconds, (cells_cpu_us() - theirs) / 1e3 / seconds
end

-- Of that the watch alone: its looks one after the other.
local function watch_ms()
  local looks, from = 40, os.clock()
  for _ = 1, looks do watch.look() end
  return (os.clock() - from) * 1e3 / looks * 4
end

function parts.idle(seconds, ...)
  print(("rest|0|%.2f|%.2f|%.2f|0"):format(spent(seconds)))
  local tenants = {}
  for _, count in ipairs{ ... } do
    while #tenants < count do
      local t = tenant{ ["flows/main.lua"] = FLOW, ["hook.lua"] = "return function() return {} end\n" }
      assert(cells.hook(t, "v", "hook.lua", "", {}))
      tenants[#tenants + 1] = t
    end
    local own, its, theirs = spent(seconds)
    print(("rest|%d|%.2f|%.2f|%.2f|%.2f"):format(count, own, its, theirs, watch_ms()))
  end
  local most = math.min(#tenants, 1000)
  for i = 1, most do
    local asked = promise.new()
    begin(tenants[i], "c", function() asked:give() end)
    asked:wait()
  end
  local own, its, theirs = spent(seconds)
  print(("calls|%d|%.2f|%.2f|%.2f|%.2f"):format(most, own, its, theirs, watch_ms()))
end

local part, words = ..., { select(2, ...) }
for i, word in ipairs(words) do words[i] = tonumber(word) or word end
parts[part](unpack(words))
return 0
