-- SPDX-License-Identifier: Apache-2.0
--- How the models are: live windows of latency and errors of each provider, model and region, a breaker in front of each, and what each key
--- was told (no credit, too fast, not valid). Of this worker only: it hears of a failure within a request of its own, and asks nobody.
---
--- Two things fail apart. A backend (provider, model, region, of one owner) is down for all who use it: overload, errors, silence open its
--- breaker. A key is refused for itself alone: it rests, and the same backend goes on with the next key.
--- What a request itself is to blame for (bad_request, too_long, refused, not_found, cancelled, a deadline too short) counts for nobody.
---
--- Arithmetic on the clock and the random numbers that health.new is given.
local health = {}
health.__index = health

local SLICES, SLICE_MS = 10, 3000      -- the window of errors: 30 s
local LEAST, SHARE = 10, 0.5           -- a breaker opens at half of at least ten,
local IN_A_ROW = 5                     -- or at five in a row, where few ask
local OPEN_MS, OPEN_MOST_MS = 5000, 60000
local CLOSING = 2                      -- probes that must go well
local SAMPLES, SAMPLE_MS = 64, 300000  -- latencies: the last so many of five minutes
local REST_MS = { auth = 300000, quota = 600000, rate = 1000 }
local RATE_MOST_MS, ASKED_MOST_MS = 60000, 600000
local RETRY_SHARE, RETRY_MOST = 0.2, 10
local MOST_KEPT, UNUSED_MS = 2000, 900000

local COUNTS = { overload = true, timeout = true, network = true, server = true, protocol = true }

--- @param world table  { mono_ms = function() -> ms, random = function() -> [0, 1), on_state = function(target, state) or nil: a breaker has turned }
function health.new(world)
  return setmetatable({ world = world, backends = {}, keys = {}, count = 0 }, health)
end

local names = setmetatable({}, { __mode = "k" })  -- a target is the same table until something is changed

local function name_of(target)
  local name = names[target]
  if not name then
    name = {
      backend = table.concat({ target.owner or "", target.provider or "", target.url or "", target.model or "", target.region or "" }, "\n"),
      key = table.concat({ target.owner or "", target.provider or "", target.key_id or "" }, "\n"),
    }
    names[target] = name
  end
  return name
end

--- Which backend a target is at: whoever brings a key of their own has a breaker of their own, for a tenant's own url must not close the
--- door for the others.
function health.backend(target) return name_of(target).backend end

local function sweep(self, now)
  for _, list in ipairs{ self.backends, self.keys } do
    for name, entry in pairs(list) do
      if now - entry.used_ms > UNUSED_MS and (entry.running or 0) == 0 then
        list[name] = nil
        self.count = self.count - 1
      end
    end
  end
end

local function entry(self, list, name, make)
  local now = self.world.mono_ms()
  local found = list[name]
  if not found then
    if self.count >= MOST_KEPT and now >= (self.sweep_ms or 0) then
      sweep(self, now)
      self.sweep_ms = now + 10000
    end
    found = make()
    list[name] = found
    self.count = self.count + 1
  end
  found.used_ms = now
  return found, now
end

local function new_backend()
  return { state = "closed", row = 0, running = 0, opened = 0, slices = {}, samples = {}, next_sample = 1, retries = RETRY_MOST }
end
local function new_key() return { rates = 0 } end

local function backend_of(self, target) return entry(self, self.backends, name_of(target).backend, new_backend) end
local function rest_of(self, target) return entry(self, self.keys, name_of(target).key, new_key) end

-- -- windows -------------------------------------------------------------------------------------------------------------

local function slice_of(backend, now)
  local number = math.floor(now / SLICE_MS)
  local at = number % SLICES + 1
  local slice = backend.slices[at]
  if not slice or slice.number ~= number then
    slice = { number = number, ok = 0, failed = 0 }
    backend.slices[at] = slice
  end
  return slice
end

local function counted(backend, now)
  local oldest, ok, failed = math.floor(now / SLICE_MS) - SLICES, 0, 0
  for _, slice in pairs(backend.slices) do
    if slice.number > oldest then ok, failed = ok + slice.ok, failed + slice.failed end
  end
  return ok, failed
end

local function add_sample(backend, now, ms)
  backend.samples[backend.next_sample] = { at = now, ms = ms }
  backend.next_sample = backend.next_sample % SAMPLES + 1
  backend.sorted = nil
end

-- The samples in order, made at most once a second: sorting them for each request would cost more than it tells.
local function sorted(backend, now)
  if backend.sorted and now < backend.sorted_until then return backend.sorted end
  local list = {}
  for _, sample in ipairs(backend.samples) do
    if now - sample.at <= SAMPLE_MS then list[#list + 1] = sample.ms end
  end
  table.sort(list)
  backend.sorted, backend.sorted_until = list, now + 1000
  return list
end

--- The latency to the first token that a share of the last answers kept to, in ms; nil while there are fewer than `least` of them.
--- @param share number  0.5 is the median
function health:latency_ms(target, share, least)
  local backend, now = backend_of(self, target)
  local list = sorted(backend, now)
  if #list < (least or 1) then return nil end
  return list[math.max(1, math.ceil(#list * share))]
end

--- The share of failures in the last 30 s, 0 where nothing was asked.
function health:error_share(target)
  local ok, failed = counted(backend_of(self, target))
  return ok + failed > 0 and failed / (ok + failed) or 0
end

local function turn_to(self, target, backend, state)
  if backend.state == state then return end
  backend.state = state
  if self.world.on_state then self.world.on_state(target, state) end
end

-- -- who may be asked ----------------------------------------------------------------------------------------------------

--- May this target be asked now: true; false, "breaker"|"auth"|"quota"|"rate", the ms until it may.
function health:allows(target)
  local rest, now = rest_of(self, target)
  -- A key that was changed is another one, whatever it was told before.
  if rest.until_ms and rest.key == target.key and now < rest.until_ms then return false, rest.why, rest.until_ms - now end
  local backend = backend_of(self, target)
  if backend.state == "open" then
    if now < backend.until_ms then return false, "breaker", backend.until_ms - now end
    backend.good = 0
    turn_to(self, target, backend, "half_open")
  end
  if backend.state == "half_open" and backend.probing then
    -- A probe whose end nobody told us of must not keep it shut.
    if now - backend.probing.at_ms < OPEN_MOST_MS then return false, "breaker", 100 end
    backend.probing = nil
  end
  return true
end

--- Takes what health:allows has just allowed: of a breaker that is half open the one probe, which nobody else may be until it has ended or is
--- given back. An attempt may have to wait before it begins, and many would be let through meanwhile.
--- @return table|nil  the probe, for health:ended or health:give_back
function health:claim(target)
  local backend, now = backend_of(self, target)
  if backend.state ~= "half_open" then return nil end
  backend.probing = { at_ms = now }
  return backend.probing
end

--- The attempt did not come to begin.
function health:give_back(target, probe)
  local backend = backend_of(self, target)
  if probe and backend.probing == probe then backend.probing = nil end
end

--- An attempt begins. Its end must be told with health:ended.
--- @param probe table|nil  of health:claim
--- @return table|nil  the probe that it is
function health:began(target, probe)
  local backend, now = backend_of(self, target)
  backend.running = backend.running + 1
  backend.retries = math.min(RETRY_MOST, backend.retries + RETRY_SHARE)
  if backend.state == "half_open" and not probe and not backend.probing then
    probe = {}
    backend.probing = probe
  end
  if probe then probe.at_ms = now end
  return probe
end

--- Its first token came.
function health:first_token(target, ms)
  local backend, now = backend_of(self, target)
  add_sample(backend, now, ms)
end

--- May a target be asked again for what it has just failed at? Retries are at most a fifth of what is asked, and a few:
--- otherwise they would keep down what is down.
function health:may_retry(target)
  local backend = backend_of(self, target)
  if backend.retries < 1 then return false end
  backend.retries = backend.retries - 1
  return true
end

local function open(self, target, backend, now)
  backend.opened = backend.opened + 1
  local ms = math.min(OPEN_MOST_MS, OPEN_MS * 2 ^ math.min(backend.opened - 1, 8))
  -- Not all workers are to probe at the same moment.
  backend.until_ms = now + ms * (0.8 + 0.4 * self.world.random())
  backend.row, backend.slices = 0, {}
  turn_to(self, target, backend, "open")
end

local function judge(self, target, backend, now, failed)
  local slice = slice_of(backend, now)
  if failed then
    slice.failed, backend.row = slice.failed + 1, backend.row + 1
    if backend.state == "half_open" then return open(self, target, backend, now) end
    local ok, bad = counted(backend, now)
    if backend.state == "closed" and (backend.row >= IN_A_ROW or (ok + bad >= LEAST and bad / (ok + bad) >= SHARE)) then open(self, target, backend, now) end
    return
  end
  slice.ok, backend.row = slice.ok + 1, 0
  if backend.state == "half_open" then
    backend.good = backend.good + 1
    if backend.good < CLOSING then return end
    backend.opened, backend.slices = 0, {}
    turn_to(self, target, backend, "closed")
  end
end

local function rest_key(self, target, outcome)
  local rest, now = rest_of(self, target)
  local ms = REST_MS[outcome.class]
  if outcome.class == "rate" then
    rest.rates = rest.rates + 1
    ms = math.min(RATE_MOST_MS, ms * 2 ^ math.min(rest.rates - 1, 8))
    if outcome.retry_after_s then ms = math.min(ASKED_MOST_MS, outcome.retry_after_s * 1000) end
  end
  rest.until_ms, rest.why, rest.key = now + ms, outcome.class, target.key
end

--- An attempt has ended.
--- @param outcome table  { class = nil when it went well, retry_after_s =, cut = true: it was ended by us (deadline, cancel, another was
---   faster), which says nothing of the backend }
--- @param probe table|false|nil  of health:claim; false: it was none, so a probe that runs beside it goes on; nil: not known
function health:ended(target, outcome, probe)
  local backend, now = backend_of(self, target)
  backend.running = math.max(0, backend.running - 1)
  if probe == nil or probe == backend.probing then backend.probing = nil end
  if outcome.cut then return end
  if REST_MS[outcome.class] then return rest_key(self, target, outcome) end
  if outcome.class == nil then
    local rest = rest_of(self, target)
    rest.rates, rest.until_ms = 0, nil
    judge(self, target, backend, now, false)
  elseif COUNTS[outcome.class] then
    judge(self, target, backend, now, true)
    -- Who says for how long is not asked before that, whatever its breaker says.
    if outcome.retry_after_s and backend.state == "closed" and outcome.retry_after_s > 0 then
      backend.until_ms = now + math.min(ASKED_MOST_MS, outcome.retry_after_s * 1000)
      turn_to(self, target, backend, "open")
    end
  end
end

--- How a target is: { state = "closed"|"open"|"half_open", key = nil|"auth"|"quota"|"rate", open_ms = until it is asked again, ok, failed =
--- in the last 30 s, running, p50_ms, p95_ms }.
function health:figures(target)
  local backend, now = backend_of(self, target)
  local rest = rest_of(self, target)
  local ok, failed = counted(backend, now)
  local rests = rest.until_ms and rest.key == target.key and now < rest.until_ms
  local open_ms = rests and rest.until_ms - now or (backend.state == "open" and math.max(0, backend.until_ms - now)) or nil
  return { state = backend.state, key = rests and rest.why or nil, open_ms = open_ms, ok = ok, failed = failed, running = backend.running,
    p50_ms = self:latency_ms(target, 0.5), p95_ms = self:latency_ms(target, 0.95) }
end

return health
