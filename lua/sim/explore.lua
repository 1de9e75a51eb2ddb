-- SPDX-License-Identifier: Apache-2.0
--- Walks a flow: every key of a menu, every end of an input, silence, hanging up in every verb that takes time, failing verbs, hooks
--- and transfers. Breadth first, so what it finds comes with the shortest caller that leads there.
---
--- A place is a state with the data it is entered with; from each place the flow is run up to the next one. Where it has been it
--- does not go again. Within one visit at most two verbs end otherwise than they commonly do.
--- Findings: { kind, text, state, file, line, caller = to be pasted into a spec, confirmed = it happened again from the beginning }
---   crash          an error, of a hook too; a wrong state's name, a budget overrun
---   endless        it comes back to the same place without the caller doing anything, or never leaves a state
---   dead end       only the caller's hanging up gets out of it
---   unreachable    no way leads to the state
local caller = require "sim.caller"
local clock = require "core.clock"
local engine = require "sim.engine"
local json = require "core.json"
local hooks = require "sim.hooks"
local outcomes = require "sim.outcomes"
local promise = require "lib.promise"
local rules = require "scripts.rules"
local task = require "core.task"

local explore = {}

local ODD_MOST = 2                 -- verbs of a visit that end otherwise than commonly
local CHOICES_MOST = 30            -- verbs of a visit whose other ends are tried
local VERBS_MOST = 200             -- of a visit; then it never leaves
local HANGS_UP_MS = 100            -- from a verb's beginning
local AT_ONCE = 8                  -- runs of a place that are under way together

-- The caller's script so far -------------------------------------------------------------------------------------------------

local function copy_of(script)
  local new = { flow = script.flow, steps = { unpack(script.steps) }, transfer = { unpack(script.transfer) }, ai = { unpack(script.ai or {}) }, fail = {} }
  for verb, errors in pairs(script.fail) do new.fail[verb] = { unpack(errors) } end
  return new
end

-- What one outcome adds to it; at_ms: since the call began.
local function add(script, verb, outcome, at_ms)
  for _, step in ipairs(outcome.steps or {}) do script.steps[#script.steps + 1] = step end
  if outcome.hangup then script.steps[#script.steps + 1] = { hangup = true, at = (at_ms + HANGS_UP_MS) / 1000 } end
  if outcome.transfer then script.transfer[#script.transfer + 1] = outcome.transfer end
  for _, step in ipairs(outcome.ai or {}) do script.ai[#script.ai + 1] = step end
  local errors = script.fail[verb] or {}
  errors[#errors + 1] = outcome.fail or false
  script.fail[verb] = errors
end

-- As it is given to simulate{ ... }.
local function given(script)
  local result = { flow = script.flow, steps = script.steps, transfer = #script.transfer > 0 and script.transfer or nil,
    ai = script.ai and #script.ai > 0 and script.ai or nil }
  for verb, errors in pairs(script.fail) do
    while errors[#errors] == false do errors[#errors] = nil end
    if #errors > 0 then
      result.fail = result.fail or {}
      result.fail[verb] = errors
    end
  end
  return result
end

-- Running from a place -------------------------------------------------------------------------------------------------------

-- A place by all that its state can see.
local function key_of(state, data, digits, up, route)
  return ("%s|%s|%s|%s|%s"):format(state, json.encode(data), table.concat(digits), tostring(up), route and json.encode(route) or "")
end

-- Lets a caller of its own do what was decided.
local function apply(call, outcome)
  local him = call.caller
  for _, step in ipairs(outcome.steps or {}) do
    him.steps[#him.steps + 1] = { keys = step.keys or step.key, say = step.say, silence = step.silence, interrupt = step.interrupt }
  end
  for _, step in ipairs(outcome.ai or {}) do him.ai[#him.ai + 1] = step end
  if outcome.hangup then table.insert(him.timed, 1, { hangup = true, at_ms = call.now_ms + HANGS_UP_MS }) end
end

--- Runs one visit: as prefix says, then as is common (or idle: without the caller's doing).
--- @return table  { call, script, odd, acts, to = place | nil, ended = key of its state ended, choices = { { verb, list, taken } } }
local function run(walk, place, prefix, idle)
  local checked = assert(caller.check{ flow = walk.flow, state = place.state, limit_s = 86400 })
  checked.data = json.decode(place.data)
  local call = assert(engine.new(walk.world, checked))
  local way = { call = call, script = copy_of(place.script), choices = {}, acts = false }
  call.visit, call.digits, call.up, call.verbs_most = place.visit, { unpack(place.digits) }, place.up, VERBS_MOST
  call.route = place.route
  call.now_ms, call.started_us = 0, call.started_us + place.at_ms * 1000
  call:set_wall(call.started_us)

  function call:asked(verb, args)
    if way.over or self.fallen then return end  -- ended and the fallback are not varied
    local list = outcomes.of(verb, args, self.digits)
    local n = #way.choices + 1
    local taken = prefix[n] or 1
    if idle then
      for i, outcome in ipairs(list) do if outcome.idle then taken = i end end
    end
    way.choices[n] = { verb = verb.name, list = list, taken = taken }
    local outcome = list[taken]
    way.acts = way.acts or outcome.acts or false
    add(way.script, verb.name, outcome, place.at_ms + self.now_ms)
    apply(self, outcome)
    self.caller.checked.transfer = { outcome.transfer or "answered" }
    self.caller.checked.fail = outcome.fail and { [verb.name] = { every = outcome.fail } } or {}
  end

  function call:entered()
    walk.visits[self.state] = (walk.visits[self.state] or 0) + 1
    if self.visit == place.visit + 1 then return end
    if self.state == "failed" then return end
    local key = key_of(self.state, self.data, self.digits, self.up, self.route)
    if self.state == "ended" then
      way.over = true
      key = key .. tostring(self.why)
      if walk.ended[key] then return self:close() end
      way.ended = key
      return
    end
    way.to = { key = key, state = self.state, data = json.encode(self.data), digits = { unpack(self.digits) }, up = self.up, visit = self.visit - 1,
               route = self.route, at_ms = place.at_ms + self.now_ms, depth = place.depth + 1, from = place }
    self:close()
  end

  engine.play(call)
  walk.calls = walk.calls + 1
  if walk.on_progress then walk.on_progress(walk, place) end
  return way
end

-- Findings ---------------------------------------------------------------------------------------------------------------------

local function found(walk, kind, key, fields)
  key = kind .. ":" .. key
  if walk.known[key] then return end
  walk.known[key] = true
  fields.kind = kind
  walk.findings[#walk.findings + 1] = fields
end

-- Plays the script from the beginning: does the same thing happen?
local function happens_again(walk, script, err)
  local checked = caller.check(script)
  if not checked then return false end
  walk.calls = walk.calls + 1
  for _, other in ipairs(engine.call(walk.world, checked).errors) do
    if other.kind == err.kind and other.file == err.file and other.line == err.line then return true end
  end
  return false
end

local function crash(walk, way, err)
  local key = ("%s:%s:%s:%s"):format(err.kind, tostring(err.file), tostring(err.line), (err.text:gsub("%d+", "#")))
  if walk.known["crash:" .. key] then return end
  local script = given(way.script)
  found(walk, "crash", key, { text = err.text, state = err.state, file = err.file, line = err.line, caller = script,
    confirmed = happens_again(walk, script, err) })
end

-- Takes what one run showed.
local function take(walk, place, way)
  if way.ended then walk.ended[way.ended] = true end
  for _, err in ipairs(way.call.errors) do
    if err.kind ~= "endless" then crash(walk, way, err) end
  end
  if way.call.outcome == "endless" then
    if not way.acts then
      found(walk, "endless", place.state, { text = ("the state '%s' never ends while the caller does nothing"):format(place.state), state = place.state,
        caller = given(copy_of(place.script)) })
    end
    place.ends = place.ends or way.acts  -- with a caller who acts for ever it is his doing
    return
  end
  local to = way.to
  if not to then
    if way.call.hangup_by ~= "caller" then place.ends = true end
    return
  end
  local known = walk.places[to.key]
  if not known then
    to.script, to.next = way.script, {}
    walk.places[to.key], known = to, to
    walk.reached[to.state] = true
    walk.queue[#walk.queue + 1] = to
  end
  local edge = place.next[known.key]
  if not edge then
    edge = { to = known, idle = false }
    place.next[known.key] = edge
  end
  if not way.acts then edge.idle = true end
end

-- Runs the next few items together, and gives their ways in the items' order: what is found does not depend on which is done first.
local function run_together(walk, place, work, from, to)
  local ways, left, over = {}, to - from + 1, promise.new()
  for i = from, to do
    task.spawn(function()
      local ok, way = pcall(run, walk, place, work[i].prefix)
      ways[i], left = { ok = ok, way = way }, left - 1
      if left == 0 then over:give() end
    end)
  end
  over:wait()
  local list = {}
  for i = from, to do
    if not ways[i].ok then error(ways[i].way, 0) end
    list[#list + 1] = ways[i].way
  end
  return list
end

-- What else may become of the verbs of a way, as further work.
local function add_variants(work, item, way)
  if item.odd >= ODD_MOST then return end
  for n = #item.prefix + 1, math.min(#way.choices, CHOICES_MOST) do
    for taken = 2, #way.choices[n].list do
      local prefix = {}
      for k = 1, n - 1 do prefix[k] = way.choices[k].taken end
      prefix[n] = taken
      work[#work + 1] = { prefix = prefix, odd = item.odd + 1 }
    end
  end
end

-- All ways out of a place, fewest oddities first.
local function expand(walk, place)
  take(walk, place, run(walk, place, {}, true))
  local work, at = { { prefix = {}, odd = 0 } }, 1
  while work[at] do
    local last = math.min(#work, at + AT_ONCE - 1, at + walk.calls_most - walk.calls - 1)
    if last < at or clock.mono_ms() > walk.ends_ms then
      walk.complete = false
      return
    end
    for i, way in ipairs(run_together(walk, place, work, at, last)) do
      take(walk, place, way)
      add_variants(work, work[at + i - 1], way)
    end
    at = last + 1
    task.sleep(0)
  end
end

-- The way round: places from `place` back to itself by edges without the caller's doing, or nil.
local function idle_loop(place)
  local queue, before, at = { place }, {}, 1
  while queue[at] do
    local here = queue[at]
    at = at + 1
    local keys = {}
    for key in pairs(here.next) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
      local edge = here.next[key]
      if edge.idle and edge.to == place then
        local names, back = {}, here
        while back do
          table.insert(names, 1, back.state)
          back = before[back]
        end
        return names
      elseif edge.idle and not before[edge.to] and edge.to ~= place then
        before[edge.to] = here
        queue[#queue + 1] = edge.to
      end
    end
  end
end

local function find_loops(walk, order)
  for _, place in ipairs(order) do
    local names = idle_loop(place)
    if names then
      local sorted = { unpack(names) }
      table.sort(sorted)
      names[#names + 1] = place.state
      found(walk, "endless", table.concat(sorted, " "), { state = place.state, caller = given(copy_of(place.script)),
        text = ("%s goes round for ever while the caller does nothing"):format(table.concat(names, " -> ")) })
    end
  end
end

-- Places from which no way leads to the call's end.
local function find_dead_ends(walk, order)
  local alive, changed = {}, true
  for _, place in ipairs(order) do alive[place] = place.ends or nil end
  while changed do
    changed = false
    for i = #order, 1, -1 do
      local place = order[i]
      for _, edge in pairs(place.next) do
        if not alive[place] and alive[edge.to] then alive[place], changed = true, true end
      end
    end
  end
  for _, place in ipairs(order) do
    if not alive[place] and not (place.from and not alive[place.from]) then
      found(walk, "dead end", place.state, { state = place.state, caller = given(copy_of(place.script)),
        text = ("from the state '%s' only hanging up gets out"):format(place.state) })
    end
  end
end

-- A place to begin at, for callers who say which flow, or do not.
local function start_of(walk, state, route, flow, fail)
  local start = { state = state, data = "{}", digits = {}, up = false, visit = 0, at_ms = 0, depth = 1, next = {}, route = route,
                  script = { flow = flow, steps = {}, transfer = {}, fail = fail or {} } }
  start.key = key_of(state, {}, {}, false, route)
  if walk.places[start.key] then return end
  walk.places[start.key], walk.reached[state], walk.queue[#walk.queue + 1] = start, true, start
end

-- Where calls begin: with what the hook routing gives, and where they begin without its answer.
local function add_starts(walk, common, state)
  local routed = common and common.file == walk.flow
  start_of(walk, state, routed and common.route or nil, not routed and walk.flow or nil)
  if not common or not hooks.offers(walk.world, "routing") then return end
  for _, err in ipairs(common.errors) do crash(walk, { script = { steps = {}, transfer = {}, fail = {} } }, err) end
  if rules.flow_for(walk.world.bundle, common.to) == walk.flow then
    start_of(walk, state, nil, nil, { routing = { { code = "failed", text = "the hook fails" } } })
  end
end

--- Walks a flow of a world.
--- @param options table  { flow = file (else that of numbers), calls = most (5000), depth = most states in a row (40), seconds = most (60),
---   on_progress = fn(walk, place): after each call; walk has flow, calls, queue (places), findings }
--- @return table  { flow, calls, places, complete, findings, visits = { [state] = times } }; or nil, one line
function explore.run(world, options)
  local common = engine.new(world, assert(caller.check{}))
  local first, problem = engine.new(world, assert(caller.check{ flow = options.flow }))
  if not first then return nil, problem.text end
  local walk = { world = world, flow = first.file, calls = 0, calls_most = options.calls or 5000, complete = true,
                 places = {}, ended = {}, reached = {}, queue = {}, known = {}, findings = {}, visits = {}, on_progress = options.on_progress }
  walk.ends_ms = clock.mono_ms() + (options.seconds or 60) * 1000
  add_starts(walk, common, first.start)
  local at = 1
  while walk.queue[at] and walk.calls < walk.calls_most and clock.mono_ms() < walk.ends_ms do
    local place = walk.queue[at]
    at = at + 1
    if place.depth > (options.depth or 40) then
      walk.complete = false
      place.ends = true  -- not known
    else
      expand(walk, place)
    end
  end
  if walk.queue[at] then
    walk.complete = false
    for i = at, #walk.queue do walk.queue[i].ends = true end  -- not known
  end
  find_loops(walk, walk.queue)
  find_dead_ends(walk, walk.queue)
  local names = { unpack(world.flows[walk.flow].states) }
  table.sort(names)
  for _, name in ipairs(names) do
    if not walk.reached[name] then
      found(walk, "unreachable", name, { state = name, text = ("no way leads to the state '%s'%s"):format(name, walk.complete and "" or " so far") })
    end
  end
  return { flow = walk.flow, calls = walk.calls, places = #walk.queue, complete = walk.complete, findings = walk.findings, visits = walk.visits }
end

return explore
