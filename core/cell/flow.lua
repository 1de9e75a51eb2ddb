-- SPDX-License-Identifier: Apache-2.0
--- The part of a bundle's VM that knows flows: require, the library "flow", call objects, and what the cell runs.
--- Called once per bundle; its own globals are the tenant's, so everything is taken as a local before the tenant's code runs.
---
--- core    compile(path [, globals]) -> function | nil, text     the bundle's file
---         loading(step)                             +1 and -1 around a file's own code
---         state(fn)                                 which function runs: for positions in errors
---         verb(name, ...) -> ok, value              waits for the host's answer
---         return_line(path)                         of the file's own last return statement
---         raise(text [, verb])   lint(fn) -> list of { line=, name= }   thread() -> this run
---         here() -> file, line                      of the innermost frame of the tenant
---         spec() -> function                        spec.lua, compiled
local core = ...
local type, pairs, ipairs, error, pcall, setmetatable = type, pairs, ipairs, error, pcall, setmetatable
local select, tostring, match, gsub, sub, floor = select, tostring, string.match, string.gsub, string.sub, math.floor
local raise = core.raise
local states_max = 200

local function frozen(fields, name)
  return setmetatable({}, {
    __index = fields,
    __newindex = function(_, key) raise(name .. " cannot be changed (" .. tostring(key) .. ")") end,
    __tostring = function() return name end,
    __metatable = false,
  })
end

-- The library "flow".

local defined = setmetatable({}, { __mode = "k" }) -- what flow.define() returned -> { start, states, ended, failed }
local done = frozen({}, "flow.done")

local function define(spec)
  if type(spec) ~= "table" then raise("flow.define takes a table") end
  local start, states, count, copy = spec.start, {}, 0, {}
  local flow = { states = states }
  for name, state in pairs(spec) do
    if type(name) ~= "string" or not match(name, "^[%a_][%w_]*$") or #name > 64 then
      raise("flow.define: '" .. tostring(name) .. "' is no name for a state")
    end
    copy[name] = state
    if name ~= "start" then
      if type(state) ~= "function" then
        raise("flow.define: state '" .. name .. "' must be a function, not a " .. type(state))
      end
      if name == "ended" or name == "failed" then
        flow[name] = state
      else
        count = count + 1
        states[name] = state
      end
    end
  end
  if count > states_max then raise("flow.define: more than " .. states_max .. " states") end
  if type(start) ~= "string" then raise("flow.define: start must name a state") end
  if not states[start] then raise("flow.define: start names '" .. start .. "', which is no state") end
  flow.start = start
  local object = frozen(copy, "flow")
  defined[object] = flow
  return object
end

local library = frozen({ define = define, done = done }, "flow")

-- Files.

local spec_globals, run_spec
local load

local function is_spec(path) return sub(path, 1, 5) == "spec/" end

local loaded = {}                                   -- path -> what the file returned
local loading = setmetatable({}, { __mode = "k" })  -- run -> { path = true } while the file's code runs in it

function load(path)
  local value = loaded[path]
  if value ~= nil then return value end
  local run = core.thread()
  local mine = loading[run] or {}
  loading[run] = mine
  if mine[path] then raise(path .. " requires itself") end
  local chunk, text = core.compile(path, is_spec(path) and spec_globals or nil)
  if not chunk then
    if match(text, "^[%w_%./%-]+:%d+: ") then error(text, 0) end
    raise(text)  -- it has no place of its own: whose require it was has
  end
  mine[path] = true
  core.loading(1)
  local ok, result = pcall(chunk)
  core.loading(-1)
  mine[path] = nil
  if not ok then
    -- `return flow.define{...}` is a tail call: what it raises does not know its line.
    if type(result) == "string" and not match(result, "^[%w_%./%-]+:%d+: ") then
      result = path .. ":" .. core.return_line(path) .. ": " .. result
    end
    error(result, 0)
  end
  if loaded[path] == nil then -- another run may have been faster
    if result == nil then result = true end
    loaded[path] = result
  end
  return loaded[path]
end

function require(name) -- luacheck: globals require
  if name == "flow" then return library end
  if type(name) ~= "string" or not match(name, "^[%w_%-]+[%w_%-%.]*$") then
    raise("require takes a name such as 'lib.util'")
  end
  return load((gsub(name, "%.", "/")) .. ".lua")
end

-- Calls.

local methods = {}
local owner = setmetatable({}, { __mode = "kv" }) -- call object -> the run it belongs to

local function answer(name, ok, value)
  if ok then return value end
  if type(value) ~= "table" then value = { code = "failed", text = tostring(value) } end
  if value.raise then
    local text = tostring(value.text)
    raise(sub(text, 1, #name + 2) == name .. ": " and text or name .. ": " .. text, name)
  end
  return nil, value
end

-- Conversations. What a script gives as a function stays here: the conversation asks for it by what it is called, the verb returns with the
-- question, and is asked for again with what the function gave. So whatever a function does to the call is in the journal, in its order.

local conversing = setmetatable({}, { __mode = "k" })  -- run -> true while a function of a conversation runs in it

local function copy_of(fields)
  local copy = {}
  for name, value in pairs(fields) do copy[name] = value end
  return copy
end

-- The options as the host is told them, and their functions: by a tool's name, and the rule.
local function without_functions(options)
  local copy, tools, rule = copy_of(options), {}, nil
  if copy.escalate ~= nil then
    if type(copy.escalate) ~= "function" then raise("converse: options.escalate must be a function", "converse") end
    rule, copy.escalate = copy.escalate, true
  end
  if type(copy.tools) == "table" then
    copy.tools = copy_of(copy.tools)
    for key, tool in pairs(copy.tools) do
      if type(tool) == "table" then
        if type(tool.run) ~= "function" then raise("converse: run of a tool in options.tools must be a function", "converse") end
        if type(tool.name) == "string" then tools[tool.name] = tool.run end
        tool = copy_of(tool)
        tool.run = true
        copy.tools[key] = tool
      end
    end
  end
  return copy, tools, rule
end

-- An error as text: of one that a verb gave back, its own.
local function text_of_error(err)
  if type(err) == "table" and type(err.text) == "string" then err = err.text end
  return sub(type(err) == "string" and err or "the error is a " .. type(err), 1, 1000)
end

-- Runs what is asked for: { id, value | refused | broke }.
local function run_asked(ask, tools, rule)
  local fn = rule
  if ask.tool then fn = tools[ask.tool] end
  if not fn then return { id = ask.id, broke = "there is no such function" } end
  local run = core.thread()
  conversing[run] = true
  local ok, value, why = pcall(fn, ask.given)
  conversing[run] = nil
  if not ok then return { id = ask.id, broke = text_of_error(value) } end
  if value == nil and why ~= nil then return { id = ask.id, refused = text_of_error(why) } end
  return { id = ask.id, value = value }
end

local function converse(options)
  local tools, rule = {}, nil
  if type(options) == "table" then options, tools, rule = without_functions(options) end
  local ok, value = core.verb("converse", options)
  while ok and type(value) == "table" and type(value.ask) == "table" do
    local told = run_asked(value.ask, tools, rule)
    local sent
    sent, ok, value = pcall(core.verb, "converse", options, told)
    -- What the function gave back is nothing that can be told: that it was so can.
    if not sent or not ok and type(value) == "table" and value.raise then
      local text = sent and value.text or ok
      ok, value = core.verb("converse", options, { id = told.id, broke = gsub(text_of_error(text), "[\128-\255]", "?") })
    end
  end
  return answer("converse", ok, value)
end

--- What a call object can do. Called once, before the tenant's code runs.
--- @param verbs table  list of names; and by each whether it needs the caller's line
local function offer(verbs)
  for _, name in ipairs(verbs) do
    methods[name] = function(self, ...)
      local run = core.thread()
      if self == nil or owner[self] ~= run then
        raise("write call:" .. name .. "(...), on the call the state was given", name)
      end
      if verbs[name] and conversing[run] then
        raise(name .. ": the conversation has the caller's line; a function of it can write things down and look them up", name)
      end
      if name == "converse" then
        if select("#", ...) > 1 then raise("converse takes 1 argument", name) end
        return converse((...))
      end
      return answer(name, core.verb(name, ...))
    end
  end
end

os = { -- luacheck: globals os
  time = function()
    local now = answer("now", core.verb("now"))
    return type(now) == "number" and floor(now) or raise("os.time: the host gave no time")
  end,
}

local function call_object(info, data)
  local fields = setmetatable({
    id = info.id, from = info.from, to = info.to, direction = info.direction,
    started = type(info.started_us) == "number" and info.started_us / 1e6 or nil, data = data,
    route = type(info.route) == "table" and info.route or {},
  }, { __index = methods })
  local object = setmetatable({}, {
    __index = fields,
    __newindex = function(_, key, value)
      if key ~= "data" then raise("call." .. tostring(key) .. " is read only; keep things in call.data") end
      if type(value) ~= "table" then raise("call.data must be a table") end
      fields.data = value
    end,
    __tostring = function() return "call" end,
    __metatable = false,
  })
  owner[object] = core.thread()
  return object, fields
end

local function shown(value)
  if type(value) == "string" then return "'" .. sub(gsub(value, "%c", "?"), 1, 64) .. "'" end
  if type(value) == "number" or type(value) == "boolean" then return tostring(value) end
  return "a " .. type(value)
end

-- What the cell runs.

local function flow_of(path)
  local flow = defined[load(path)]
  if not flow then error(path .. ":1: the file must return flow.define{ ... }", 0) end
  return flow
end

--- A visit to a state -> "next", name | nil, data; or "form", text. Of a file in spec/: its tests; data says from which on.
local function run(path, state, data, info)
  if is_spec(path) then
    if not run_spec then spec_globals, run_spec = core.spec()(core, answer, load) end
    run_spec(path, data.first, data.filter)
    return "next", nil, {}
  end
  local flow = flow_of(path)
  local call, fields = call_object(info, data or {})
  local special = state == "ended" or state == "failed"
  local fn, extra
  if special then
    fn = flow[state]
    if state == "ended" then extra = info.why else extra = info.error end
    if not fn then return "next", nil, fields.data end
  else
    fn = flow.states[state]
    if not fn then return "form", path .. " has no state " .. shown(state) end
  end
  core.state(fn)
  local target = fn(call, extra)
  if special or target == nil or target == done then return "next", nil, fields.data end
  if type(target) ~= "string" then
    return "form", "state '" .. state .. "' returned " .. shown(target) .. "; it must be a state's name, nil or flow.done"
  end
  if not flow.states[target] then return "form", "state '" .. state .. "' returned " .. shown(target) .. ", which is no state" end
  return "next", target, fields.data
end

--- A flow's file -> { start=, states=, ended=, failed= }, problems. ended and failed: whether there are such states.
local function check_flow(path)
  local flow, names, problems = flow_of(path), {}, {}
  for name, fn in pairs(flow.states) do
    names[#names + 1] = name
    for _, found in ipairs(core.lint(fn)) do
      if not flow.states[found.name] then
        problems[#problems + 1] = { file = found.file, line = found.line,
          text = "state '" .. name .. "' returns " .. shown(found.name) .. ", which is no state of this flow" }
      end
    end
  end
  return { start = flow.start, states = names, ended = flow.ended and true, failed = flow.failed and true }, problems
end

--- bundle.lua -> its table.
local function check_bundle(path)
  local value = load(path)
  if type(value) ~= "table" then error(path .. ":1: the file must return a table", 0) end
  return value
end

--- Another file -> { type = of what it returns, line = of its return, names = of its functions }.
local function check_file(path)
  local value, names = load(path), {}
  if type(value) == "table" then
    for name, member in pairs(value) do
      if type(name) == "string" and type(member) == "function" and #names < 20 then names[#names + 1] = sub(name, 1, 64) end
    end
  end
  return { type = type(value), line = core.return_line(path), names = names }
end

--- A hook: what the file's function of that name gives for its input. Without a name: the file's own value, called when it is one.
local function hook(path, name, input)
  local value = load(path)
  if name ~= "" and type(value) == "table" then value = value[name] end
  if type(value) == "function" then
    core.state(value)
    return (value(input))
  end
  if name ~= "" then error(path .. ":" .. core.return_line(path) .. ": the file returns no function '" .. name .. "'", 0) end
  return value
end

return run, check_flow, check_bundle, check_file, hook, offer
