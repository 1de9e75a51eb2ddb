-- SPDX-License-Identifier: Apache-2.0
--- Prompts that were rendered before: kept by text and voice, in this worker's memory and as sealed blobs (speech.renderings), whole ones only.
---
---   prompts.say(world, tenant, asked, targets, options)   a stream as synthesiser.say gives it, at once when it is kept
---
--- A rendering belongs to the target that made it: what the third in the order spoke while the first was away is not played once that is
--- back. Who asks for what is being rendered already waits for it, for a while.
local clock = require "core.clock"
local fallback = require "speech.fallback"
local metrics = require "core.metrics"
local promise = require "lib.promise"
local renderings = require "speech.renderings"
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local timer = require "core.timer"
local urlencoded = require "lib.urlencoded"

local prompts = {}

local MEMORY_BYTES = 20 * 1024 * 1024
local KEPT_MS, LOOK_MS = 3600000, 600000  -- in memory, where what has been removed is not noticed; how often is looked
local FLIGHT_MS = 3000
local PIECE_MS = 200

local kept, first, last, bytes = {}, nil, nil, 0  -- a list from the one used longest ago to the newest
local flights = {}
local looking = false

local function unlink(entry)
  if entry.before then entry.before.after = entry.after else first = entry.after end
  if entry.after then entry.after.before = entry.before else last = entry.before end
  entry.before, entry.after = nil, nil
end

local function link(entry)
  entry.before = last
  if last then last.after = entry else first = entry end
  last = entry
end

local function drop(entry)
  unlink(entry)
  kept[entry.name], bytes = nil, bytes - entry.bytes
end

-- Nothing is in memory for longer, said again or not.
local function look()
  looking = false
  local entry, now = first, clock.mono_ms()
  while entry do
    local after = entry.after
    if entry.until_ms <= now then drop(entry) end
    entry = after
  end
  if first then
    looking = true
    timer.after(LOOK_MS, look)
  end
end

local function keep(name, rendering)
  if kept[name] then return end
  local entry = { name = name, rendering = rendering, bytes = renderings.size(rendering), until_ms = clock.mono_ms() + KEPT_MS }
  kept[name], bytes = entry, bytes + entry.bytes
  link(entry)
  while bytes > MEMORY_BYTES do drop(first) end
  if not looking then
    looking = true
    timer.after(LOOK_MS, look)
  end
end

local function name_of(tenant, asked, target)
  local flags = target.flags or {}
  return renderings.name(tenant, { target.kind, target.url or "", target.model or "", asked.voice or flags.voice or "", asked.language or "",
    tostring(asked.rate or ""), tostring(asked.speed or target.speed or ""), asked.text })
end

local function find(tenant, name)
  local entry = kept[name]
  if entry and entry.until_ms <= clock.mono_ms() then
    drop(entry)
  elseif entry then
    unlink(entry)
    link(entry)
    return entry.rendering
  end
  local rendering = renderings.read(tenant, name)
  if rendering then keep(name, rendering) end
  return rendering
end

-- -- what is kept, as a stream -------------------------------------------------------------------------------------------------

local Kept = {}
Kept.__index = Kept

function Kept:next()
  if self.over then return nil end
  local rendering = self.rendering
  local mark = rendering.marks[self.mark]
  if mark and mark.from_ms <= self.at_ms then
    self.mark = self.mark + 1
    return { type = "mark", kind = mark.kind, text = mark.text, from_ms = mark.from_ms, to_ms = mark.to_ms }
  end
  if self.at <= #rendering.pcm then
    local size = math.floor(rendering.rate * PIECE_MS / 1000) * 2
    local pcm = rendering.pcm:sub(self.at, self.at + size - 1)
    self.at, self.at_ms = self.at + size, self.at_ms + PIECE_MS
    return { type = "audio", pcm = pcm, rate = rendering.rate }
  end
  if mark then  -- of the last moment
    self.at_ms = math.huge
    return self:next()
  end
  self.over = true
  return { type = "end", ms = #rendering.pcm / 2 / rendering.rate * 1000 }
end

function Kept:cancel() self.over = true end

-- -- what is rendered now, and kept when it is whole ------------------------------------------------------------------------------

local Fresh = {}
Fresh.__index = Fresh

local function leave(self)
  local flight = self.flight
  self.flight = nil
  if not flight then return end
  flights[flight.name] = nil
  flight.done:give()
end

local function is_time(ms) return type(ms) == "number" and ms >= 0 and ms < math.huge end

-- What is no text, or stands at no time, cannot be written, and would never be due.
local function keepable(mark) return urlencoded.is_text(mark.text) and is_time(mark.from_ms) and is_time(mark.to_ms) end

local function take(self, event)
  local new = self.new
  if not new then return end
  if event.type == "mark" then
    if not keepable(event) then return end
    local mark = { kind = event.kind, text = event.text, from_ms = event.from_ms, to_ms = event.to_ms }
    new.marks[#new.marks + 1], new.size = mark, new.size + renderings.mark_size(mark)
    if new.size > renderings.MOST then self.new = nil end
  elseif event.type == "audio" then
    new.rate, new.size = new.rate or event.rate, new.size + #event.pcm
    new.pieces[#new.pieces + 1] = event.pcm
    if new.rate ~= event.rate or new.size > renderings.MOST then self.new = nil end
  elseif event.type == "end" then
    local rendering = { rate = new.rate, marks = new.marks, pcm = table.concat(new.pieces) }
    local name = name_of(self.tenant, self.asked, self.stream.target)
    self.new, self.rendering = nil, rendering
    keep(name, rendering)
    task.spawn(renderings.write, self.tenant, name, rendering)
  end
end

function Fresh:next()
  local event = self.stream:next()
  if event then take(self, event) end
  self.target = self.stream.target
  if not event or event.type == "end" or event.type == "error" then leave(self) end
  return event
end

function Fresh:cancel()
  self.stream:cancel()
  leave(self)
end

-- The first that would be asked now.
local function preferred(world, targets)
  for _, target in ipairs(fallback.order(world, targets)) do
    if fallback.allows(world, target) then return target end
  end
end

local function wait_for(world, flight)
  local enough = promise.new()
  local limit = world.after(FLIGHT_MS, function() enough:give() end)
  local unwatch = flight.done:watch(function() enough:give() end)
  enough:wait()
  limit:cancel()
  unwatch()
end

--- Says a prompt. Waits only for what is read from a blob or being rendered.
--- @param tenant table  { id, slug, key }
--- @param asked table   of synthesiser.say
function prompts.say(world, tenant, asked, targets, options)
  local target = preferred(world, targets)
  local name = target and name_of(tenant, asked, target)
  local rendering = name and find(tenant, name)
  if name and not rendering and flights[name] then
    wait_for(world, flights[name])
    rendering = find(tenant, name)
  end
  metrics.count("speech_prompts_total", { kept = rendering and "yes" or "no" }, 1, "prompts that were said, by whether they had been rendered before")
  if rendering then return setmetatable({ rendering = rendering, mark = 1, at = 1, at_ms = 0, target = target }, Kept) end
  local self = setmetatable({ stream = synthesiser.say(world, asked, targets, options), tenant = tenant, asked = asked, new = { pieces = {}, marks = {}, size = 0 } }, Fresh)
  if name and not flights[name] then
    self.flight = { name = name, done = promise.new() }
    flights[name] = self.flight
  end
  return self
end

--- Forgets what is in memory.
function prompts.forget() kept, first, last, bytes = {}, nil, nil, 0 end

return prompts
