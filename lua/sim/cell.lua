-- SPDX-License-Identifier: Apache-2.0
--- A cell of its own for simulated calls and specs, never the tenant's live one: one bundle, several runs at a time, ended by
--- whoever opened it. It has the walls and budgets of every cell; one that died is made anew for the runs that were in it.
--- run, answer, drop and hook are those of scripts.cells, so the flow engine does not know the difference.
local cell = require "core.cell"
local clock = require "core.clock"
local gate = require "scripts.gate"
local heard = require "scripts.heard"
local promise = require "lib.promise"
local task = require "core.task"
local timer = require "core.timer"

local sim_cell = {}

local PING_MS, SILENT_MS = 1000, 20000  -- a cell that runs and does not answer is ended; one of little weight waits its turn
local LOAD_MS = 20000                    -- in which it loads a bundle, or checks it
local DEATHS_MOST = 20                  -- of one bundle's cells; then nothing is made any more

local VERSION = "sim"

--- Opens one. Waits for nothing: the process is made with the first run.
--- @param bytes string   a packed bundle
--- @param eager boolean  it need not stand back behind calls: the machine is whose bundle it is
function sim_cell.open(bytes, eager)
  local self = { deaths = 0 }
  local runs, hooks, last_hook = {}, {}, 0  -- hooks: id -> { process, answer }, of those that are asked
  local process, opening, closed, why_ended, page_ended = nil, nil, false, nil, nil
  local marked, covering

  -- By type; false: it was not asked for that.
  local deal = {
    pong = function() return true end,
    loaded = function(made, _, ...) made.loaded:give(...) return true end,
    checked = function(made, _, ...)
      local waiting = made.checking
      if waiting then waiting:give(...) end
      return waiting ~= nil
    end,
    covered = function(made, ...)
      local waiting = made.covered
      if waiting then waiting:give(...) end
      return waiting ~= nil
    end,
  }
  function deal.hooked(made, id, ok, result)
    local asked = hooks[id]
    if not asked or asked.process ~= made then return false end
    hooks[id] = nil
    asked.answer:give(ok, result)
    return true
  end
  for _, kind in ipairs{ "verb", "next", "failed" } do
    deal[kind] = function(made, call, visit, ...)
      local run = runs[call]
      if not run or run.process ~= made or not heard.is_open(run, visit) then return true end  -- it has left meanwhile
      return heard.give(run, kind, visit, ...)
    end
  end

  local function dealt(made, kind, sound, ...)
    if not sound or not deal[kind] or not deal[kind](made, ...) then made.cell:kill(heard.NONSENSE) end
  end

  local function on_message(made, kind, ...)
    made.heard_ms = clock.mono_ms()
    dealt(made, kind, heard.read(kind, ...))
  end

  local function on_ended(made, why, page)
    if made.ended then return end
    made.ended, why_ended, page_ended = true, why, page
    made.ping:cancel()
    if process == made then process = nil end
    made.loaded:give(false, "the cell " .. why)
    if made.checking then made.checking:give(nil) end
    if made.covered then made.covered:give(nil) end
    if not closed then self.deaths = self.deaths + 1 end
    for id, asked in pairs(hooks) do
      if asked.process == made then
        hooks[id] = nil
        local ok
        if page.running and page.call == "hook " .. id then ok = false end
        asked.answer:give(ok, { kind = "died", text = "the script's process " .. why, file = page.file, line = page.line })
      end
    end
    for id, run in pairs(runs) do
      if run.process == made then
        runs[id] = nil
        if not closed then task.spawn(run.lost, page.running and page.call == id, page, why) end
      end
    end
  end

  local function make()
    if self.deaths >= DEATHS_MOST then return nil, { code = "failed", text = ("the script's process died %d times"):format(self.deaths) } end
    local made = { loaded = promise.new(), heard_ms = clock.mono_ms() }
    local spawned, err = cell.spawn{
      unpaced = eager, budget = eager and { share_percent = 100 } or nil,
      on_message = function(...) on_message(made, ...) end,
      on_ended = function(why, page) on_ended(made, why, page) end,
    }
    if not spawned then return nil, err end
    made.cell = spawned
    if not eager then spawned:hold("idle") end
    made.ping = timer.every(PING_MS, function()
      if next(runs) == nil and next(hooks) == nil and not made.checking then
        made.heard_ms = clock.mono_ms()
      elseif clock.mono_ms() - made.heard_ms > SILENT_MS then
        return spawned:kill("did not answer")
      end
      spawned:send("ping", 1)
    end)
    spawned:send("verbs", gate.stubs())
    local sent
    sent, err = spawned:load(VERSION, bytes)
    if not sent then
      spawned:kill("could not be loaded")
      return nil, err
    end
    local limit = timer.after(LOAD_MS, function() spawned:kill("did not load the bundle in time") end)
    local ok, text = made.loaded:wait()
    limit:cancel()
    if not ok then
      spawned:kill("could not be loaded")
      return nil, { code = "invalid", text = text }
    end
    if covering then spawned:send("cover", VERSION, "") end
    return made
  end

  -- The process, made when there is none. Single flight.
  local function open()
    if closed then return nil, { code = "closed", text = "the simulator's cell was closed" } end
    if process then return process end
    if opening then return opening:wait() end
    local flight = promise.new()
    opening = flight
    local ok, made, err = pcall(make)
    if not ok then made, err = nil, { code = "io", text = tostring(made) } end
    process, opening = made, nil
    flight:give(made, err)
    return made, err
  end

  --- As cells.run: starts a state; run.budgets may have { slice_ms, invocation_ms, call_ms } of its own. Returns true, or nil, err; then the handler hears nothing.
  function self.run(_, _, call, run, file, state, visit, data, info)
    local made, err = open()
    if not made then return nil, err end
    if run.dropped then return nil, { code = "cancelled", text = "the call has left" } end
    runs[call], run.process = run, made
    heard.begin(run, visit)
    local limits = run.budgets
    if limits then made.cell:send("limit", call, limits.slice_ms, limits.invocation_ms, limits.call_ms) end
    local sent
    sent, err = made.cell:send("run", call, VERSION, file, state, visit, data, info)
    if sent then return true end
    runs[call] = nil
    return nil, err
  end

  --- As cells.answer.
  function self.answer(call, run, visit, n, ok, value)
    if not run.process or run.process.ended then return nil, { code = "closed", text = "the cell has ended" } end
    local sent, err = run.process.cell:send("answer", call, visit, n, ok, value)
    if not sent and err.code ~= "closed" then
      return run.process.cell:send("answer", call, visit, n, false, { code = err.code, text = err.text, raise = true })
    end
    return sent, err
  end

  --- As cells.drop.
  function self.drop(call, run)
    if not run then return end
    run.dropped = true
    if runs[call] ~= run then return end
    runs[call] = nil
    if run.process and not run.process.ended then run.process.cell:send("drop", call) end
  end

  --- Remembers what the cell has used until now; used_us() is what it used since.
  function self.mark()
    marked = process and process.cell:usage() or nil
  end

  function self.used_us()
    local now = process and process.cell:usage()
    return now and marked and math.floor((now - marked) * 1e6 + 0.5) or 0
  end

  --- As cells.hook, of this bundle.
  function self.hook(file, name, input)
    local made, err = open()
    if not made then return nil, err end
    last_hook = last_hook + 1
    local id, answer = last_hook, promise.new()
    hooks[id] = { process = made, answer = answer }
    local sent
    sent, err = made.cell:send("hook", id, VERSION, file, name, input)
    if sent then return answer:wait() end
    hooks[id] = nil
    return nil, err
  end

  --- What CHECKED says of the bundle; nil, err when it could not be checked.
  --- @param files table  names of files that are loaded besides flows and bundle.lua
  function self.check(files)
    local made, err = open()
    if not made then return nil, err end
    made.checking = promise.new()
    made.cell:send("check", VERSION, files)
    local limit = timer.after(LOAD_MS, function() made.cell:kill(("took longer than %d s"):format(LOAD_MS / 1000)) end)
    local ok, result = made.checking:wait()
    limit:cancel()
    made.checking = nil
    if ok ~= nil then return heard.report(result) end
    local known = page_ended and (page_ended.file or "") ~= ""
    return { problems = { { file = known and page_ended.file or nil, line = known and page_ended.line or nil, text = "the check " .. (why_ended or "ended") } } }
  end

  --- From now on, which lines of the bundle's files run is noted.
  function self.cover()
    covering = true
    local made, err = open()
    if not made then return nil, err end
    return made.cell:send("cover", VERSION, "")
  end

  --- Of a file: a text with a character a line, "-" no code, "0" code that has not run, "1" code that has. Nil when it is not known.
  function self.covered(path)
    local made = process
    if not made or not covering then return nil end
    made.covered = promise.new()
    made.cell:send("cover", VERSION, path)
    local which, text = made.covered:wait()
    made.covered = nil
    return which == path and type(text) == "string" and text or nil
  end

  --- Ends what runs: every call hears of it, and nothing more is begun.
  function self.stop(why)
    self.deaths = DEATHS_MOST
    if process then process.cell:kill(why) end
  end

  function self.close()
    closed = true
    if process then process.cell:kill("done") end
  end

  return self
end

return sim_cell
