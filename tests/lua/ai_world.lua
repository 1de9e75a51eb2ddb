-- SPDX-License-Identifier: Apache-2.0
--- For specs of turns: a clock that jumps to the next thing that happens, and servers that answer as they are told, in the wire of
--- Chat Completions. The code under test is the real one, adapter included.
local health = require "ai.health"
local json = require "core.json"
local promise = require "lib.promise"
local task = require "core.task"
local timers = require "core.timer"

local ai_world = {}

local World = {}
World.__index = World

-- -- time ----------------------------------------------------------------------------------------------------------------

local function settle() for _ = 1, 3 do task.sleep(0) end end

function World:after(ms, fn)
  if self.live then return timers.after(ms < math.huge and ms or 1e9, fn) end
  self.made = self.made + 1
  local timer = { at = self.now + ms, number = self.made, fn = fn }
  self.timers[timer] = true
  function timer.cancel(me) self.timers[me] = nil end
  return timer
end

-- Goes on to the next timer. False when nothing is to come.
function World:step()
  local first
  for timer in pairs(self.timers) do
    if not first or timer.at < first.at or (timer.at == first.at and timer.number < first.number) then first = timer end
  end
  if not first then return false end
  self.timers[first] = nil
  self.now = math.max(self.now, first.at)
  task.spawn(first.fn)
  settle()
  return true
end

--- Runs fn in a task and the clock until it has returned; what it returned.
function World:run(fn)
  local done = promise.new()
  task.spawn(function() done:give(pcall(fn)) end)
  settle()
  while not done:given() do assert(self:step(), "nothing is to come, and it waits") end
  local ok, result, more = done:wait()
  assert(ok, result)
  return result, more
end

--- Lets so much time pass.
function World:pass(ms)
  local over = false
  self:after(ms, function() over = true end)
  while not over do self:step() end
end

-- -- servers -------------------------------------------------------------------------------------------------------------

local function chunk(delta, finish)
  return json.encode{ id = "c1", object = "chat.completion.chunk", model = "m-1", choices = { { index = 0, delta = delta, finish_reason = finish or json.null } } }
end

--- Steps of a stream: { ms, data } each that many ms after the one before; "cut" ends the connection, "stall" is silence from there.
--- says("Hello", " world"): each word after `gap` ms, then a regular end.
function ai_world.says(...)
  local steps = { { 0, chunk({ role = "assistant", content = "" }) } }
  for _, word in ipairs{ ... } do steps[#steps + 1] = type(word) == "table" and word or { 10, chunk{ content = word } } end
  local last = select(select("#", ...), ...)
  if last == nil or type(last) == "string" or (last[1] ~= "cut" and last[1] ~= "stall") then
    steps[#steps + 1] = { 0, chunk({}, "stop") }
    steps[#steps + 1] = { 0, json.encode{ id = "c1", choices = json.array{}, usage = { prompt_tokens = 10, completion_tokens = select("#", ...), total_tokens = 10 + select("#", ...) } } }
    steps[#steps + 1] = { 0, "[DONE]" }
  end
  return { status = 200, steps = steps }
end

--- A call of a tool whose arguments come in two pieces; the connection is cut between them, if so.
function ai_world.calls(name, cut)
  local steps = {
    { 10, chunk{ tool_calls = { { index = 0, id = "call_1", type = "function", ["function"] = { name = name, arguments = '{"a":' } } } } },
  }
  if cut then
    steps[2] = { "cut" }
  else
    steps[2] = { 10, chunk{ tool_calls = { { index = 0, ["function"] = { arguments = "1}" } } } } }
    steps[3], steps[4] = { 0, chunk({}, "tool_calls") }, { 0, "[DONE]" }
  end
  return { status = 200, steps = steps }
end

--- A failure with a status.
function ai_world.fails(status, headers, code)
  return { status = status, headers = headers or {}, steps = { { 0, json.encode{ error = { message = "no", code = code or json.null } } } } }
end

--- Nothing listens there.
function ai_world.refuses() return { refused = true } end

--- An answer whose head takes so long; 1/0 for ever.
function ai_world.late(ms, answer)
  answer.head_ms = ms
  return answer
end

local Stream = {}
Stream.__index = Stream

-- Waits so long of the world's time, or until the stream is cancelled or out of time: false then.
local function wait(self, ms)
  if self.why then return false end
  if ms == 0 then return true end
  local wake = promise.new()
  self.wake = wake
  local timer = ms < math.huge and self.world:after(ms, function() wake:give(true) end)
  local ok = wake:wait()
  if timer then timer:cancel() end
  self.wake = nil
  return ok and not self.why
end

local function break_off(self, code, text)
  if self.over or self.why then return end
  self.why = { code = code, text = text }
  if self.wake then self.wake:give(false) end
end

function Stream:cancel()
  if self.over or self.why then return end
  self.world.cancelled[#self.world.cancelled + 1] = self.target
  break_off(self, "cancelled", "cancelled")
end

local function finish(self)
  self.over = true
  self.limit:cancel()
end

function Stream:next()
  if self.over then return nil end
  local step = self.steps[self.at]
  if not step then finish(self) return nil end
  self.at = self.at + 1
  local silent = step[1] == "stall"
  local idle_ms = self.options.idle_ms or math.huge
  local ms = silent and math.huge or step[1] == "cut" and 0 or step[1]
  local timed_out = ms > idle_ms
  if not wait(self, math.min(ms, idle_ms)) or timed_out then
    local why = self.why or { code = "timeout", text = "nothing came" }
    finish(self)
    return nil, why
  end
  if step[1] == "cut" then finish(self) return nil, { code = "closed", text = "the connection was cut" } end
  return false, step[2]
end

-- What core.http.stream does.
local function open(world, options)
  local target = options.url:match("^http://([^/]+)")
  world.asked[#world.asked + 1] = { target = target, at = world.now, body = json.decode(options.body) }
  local plan = world.servers[target]
  local answer = plan and table.remove(plan, 1) or (plan and plan.last) or { refused = true }
  if plan and #plan == 0 then plan.last = answer end
  local self = setmetatable({ world = world, target = target, options = options, at = 1, steps = answer.steps, status = answer.status, headers = answer.headers or {} }, Stream)
  if answer.refused then return nil, { code = "closed", text = "connection refused" } end
  self.limit = world:after(options.timeout_ms, function() break_off(self, "timeout", "took too long") end)
  world.opening[self] = true
  if options.on_begin then options.on_begin(self) end
  local ok = wait(self, answer.head_ms or 1)
  world.opening[self] = nil
  if not ok then
    finish(self)
    return nil, self.why
  end
  return self
end

--- A world: servers are given by name, each a list of answers of which the last is repeated.
function ai_world.new(servers)
  local self = setmetatable({ now = 1000000, timers = {}, made = 0, servers = servers or {}, asked = {}, cancelled = {}, opening = {}, chance = 0.5 }, World)
  self.given = {
    mono_ms = function() return self.now end,
    random = function() return self.chance end,
    after = function(ms, fn) return self:after(ms, fn) end,
    stream = function(options) return open(self, options) end,
  }
  self.health = health.new(self.given)
  self.given.health = self.health
  return self
end

--- The same servers in real time, for specs of what has clocks of its own: a table whose `stream` stands for core.http.stream.
function ai_world.live(servers)
  local self = ai_world.new(servers)
  self.live, self.stream = true, self.given.stream
  return self
end

--- A target at one of the servers.
function ai_world.target(name, more)
  local target = { provider = name, kind = "openai_chat", url = "http://" .. name .. "/v1", model = "m-" .. name, key = "k", key_id = "key-" .. name,
    flags = { compatible = true, include_usage = true } }
  for field, value in pairs(more or {}) do target[field] = value end
  return target
end

--- Waits so long of its time, in a task.
function World:sleep(ms)
  local wake = promise.new()
  self:after(ms, function() wake:give() end)
  wake:wait()
end

--- Who was asked, in order.
function World:order()
  local names = {}
  for i, asked in ipairs(self.asked) do names[i] = asked.target end
  return table.concat(names, " ")
end

return ai_world
