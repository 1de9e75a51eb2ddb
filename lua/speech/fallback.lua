-- SPDX-License-Identifier: Apache-2.0
--- Who of a tenant's speech providers is asked next. The breaker, the resting keys and the times are those of the language models
--- (ai.health): a provider is a target there, and what befell it is told in the same classes.
---
---   local try = fallback.next(self)      claims the next that may be asked; nil: none is left
---   fallback.enter(try, most)            before it is asked: may it be paid for? -> true | nil, failure; may wait
---   fallback.first(try)                  its first sound or word came
---   fallback.took(try, stage, ms)        how long a stage took: "first_audio", "first_partial" or "final"
---   fallback.leave(try, units, failure)  what was used since enter; ended does so for who has not
---   fallback.ended(try, failure | nil)   once for each
---
--- Who has kept somebody waiting, or has broken off, comes behind the others for a while: each sentence and each utterance of a call asks anew, and a
--- breaker opens only after several of them. Who refuses at once costs nobody any time, and keeps its place until then.
---
--- The programs of this machine (target.program) are asked whatever befell them before: there is nobody after them.
local measure = require "ai.measure"
local metrics = require "core.metrics"

local fallback = {}

local BEHIND_MS = 30000  -- some turns of a conversation

local behind = setmetatable({}, { __mode = "k" })  -- health -> target -> until when it comes behind the others, in ms

local function is_behind(world, target)
  local until_ms = behind[world.health] and behind[world.health][target]
  return until_ms ~= nil and world.mono_ms() < until_ms
end

local function put_behind(world, target)
  behind[world.health] = behind[world.health] or setmetatable({}, { __mode = "k" })
  behind[world.health][target] = world.mono_ms() + BEHIND_MS
end

--- @param world table    { mono_ms, health, ... } of ai.world
--- @param find function  kind -> adapter | nil
--- @param serves function|nil  adapter, target -> boolean: can it do what is asked?
--- @param account table|nil  whose money and limits it is (speech.account); nil: nobody's
function fallback.new(world, targets, find, serves, account)
  return { world = world, targets = targets, find = find, serves = serves, account = account, tried = {}, failures = {} }
end

--- May this target be asked now?
function fallback.allows(world, target) return target.program == true or world.health:allows(target) end

--- The targets in the order in which they are asked now.
function fallback.order(world, targets)
  local first, later = {}, {}
  for _, target in ipairs(targets) do
    local list = is_behind(world, target) and later or first
    list[#list + 1] = target
  end
  for _, target in ipairs(later) do first[#first + 1] = target end
  return first
end

function fallback.next(self)
  for _, target in ipairs(fallback.order(self.world, self.targets)) do
    if not self.tried[target] then
      local adapter = self.find(target.kind)
      if adapter and (not self.serves or self.serves(adapter, target)) and fallback.allows(self.world, target) then
        self.tried[target] = true
        local probe = self.world.health:claim(target)
        return { owner = self, target = target, adapter = adapter, probe = self.world.health:began(target, probe), began_ms = self.world.mono_ms() }
      end
    end
  end
end

--- All may be asked again, as for the next utterance of a session that goes on.
function fallback.again(self) self.tried = {} end

function fallback.enter(try, most)
  local account = try.owner.account
  if not account then return true end
  local use, failure = account:begin(try.target, most)
  if not use then return nil, failure end
  if try.over then  -- cancelled while we waited
    use:drop()
    return nil, { class = "cancelled", text = "cancelled", cut = true }
  end
  try.use = use
  return true
end

function fallback.leave(try, units, failure)
  local use = try.use
  try.use = nil
  if use then use:done(units, failure) end
end

function fallback.took(try, stage, ms)
  metrics.observe("speech_stage_seconds", { provider = try.target.program and "local" or measure.provider(try.target), stage = stage }, ms / 1000,
    "from asking a speech provider to its first sound (first_audio), from a sound to the first partial text that has it (first_partial), and from the end of an "
      .. "utterance to its final text (final)")
end

function fallback.first(try)
  if try.first_ms then return end
  try.first_ms = try.owner.world.mono_ms() - try.began_ms
  try.owner.world.health:first_token(try.target, try.first_ms)
end

function fallback.ended(try, failure)
  if try.over then return end
  try.over = true
  local self = try.owner
  fallback.leave(try, nil, failure)
  -- What we did not let it have is no fault of the provider's.
  self.world.health:ended(try.target, failure and (failure.ours and { cut = true } or failure) or {}, try.probe or false)
  if failure and not failure.cut then
    if not failure.ours and not try.target.program and (failure.class == "timeout" or try.first_ms) then put_behind(self.world, try.target) end
    self.failures[#self.failures + 1] = { provider = try.target.provider, class = failure.class, text = failure.text }
    metrics.count("speech_failures_total", { kind = try.target.kind, class = failure.class }, 1, "attempts of speech providers that failed")
  end
end

local CLASS_OF_CODE = { timeout = "timeout", cancelled = "cancelled", protocol = "protocol", limit = "protocol", invalid = "bad_request", denied = "network" }

--- The failure that an error of the host's is.
function fallback.of_error(err)
  local class = CLASS_OF_CODE[err and err.code] or "network"
  return { class = class, text = err and err.text or "the connection failed", cut = class == "cancelled" or nil }
end

--- The last failure, or that there is nobody.
function fallback.last(self, what)
  local last = self.failures[#self.failures]
  if last then return { type = "error", class = last.class, text = last.text, failures = self.failures } end
  return { type = "error", class = "no_provider", text = ("there is no %s that can be asked just now"):format(what), failures = self.failures }
end

return fallback
