-- SPDX-License-Identifier: Apache-2.0
--- Vectors of texts. All of one answer are of one model: those of two cannot be compared. So a model that fails is left with all its
--- batches, and the next one begins anew.
local adapters = require "ai.adapters"
local log = require "core.log"

local embed = {}

--- Numbers in all vectors of one call: what a worker holds and has to write for one who asks. 2,048 texts have 2,048 numbers each.
embed.MOST_NUMBERS = 4 * 1024 * 1024
local BATCH = 96       -- texts in a request, where the provider does not say less
local ANSWER_BYTES = 64 * 1024 * 1024
local ROUNDS, BACKOFF_MS = 2, 500
local CONNECT_MS, CLOCK_MS = 3000, 20
local STOPS = { bad_request = true, refused = true, too_long = true, cancelled = true }

local CLASS_OF_CODE = { timeout = "timeout", cancelled = "cancelled", protocol = "protocol", limit = "protocol", invalid = "bad_request" }

local function failed(err)
  local class = CLASS_OF_CODE[err and err.code] or "network"
  return { class = class, text = err and err.text or "the connection failed", late = class == "timeout" and (err.stage or "body") or nil, cut = class == "cancelled" or nil }
end

-- Was it given less time than is fair? A tenant's own impatience, or what a deadline leaves, must not close the door of a model that is there
-- for all. left: the ms that it was given, of which so many have passed.
local function hurried(options, late, left, passed)
  if late == "connect" then return left < CONNECT_MS end
  local fair = options.fair
  if not fair then return false end
  if passed < left - CLOCK_MS then return options.idle_ms < fair.idle_ms end
  return left < fair.first_token_ms
end

local function read(stream)
  local parts, bytes = {}, 0
  while true do
    local name, data = stream:next()
    if name == nil then
      if data then return nil, failed(data) end
      return table.concat(parts)
    end
    bytes = bytes + #data
    if bytes > ANSWER_BYTES then
      stream:cancel()
      return nil, { class = "protocol", text = ("the answer has more than %d bytes"):format(ANSWER_BYTES) }
    end
    parts[#parts + 1] = data
  end
end

local function gone(options) return options.cancel ~= nil and options.cancel:given() end

local function exchange(world, adapter, target, texts, options, left, on_begin)
  local asked = adapter.embed_request(texts, target, options)
  if left <= 0 then return nil, { class = "timeout", text = "no time is left", cut = true } end
  if gone(options) then return nil, { class = "cancelled", text = "cancelled", cut = true, unsent = true } end
  local stream, err = world.stream{ url = asked.url, method = asked.method, headers = asked.headers, body = asked.body, framing = "bytes",
    connect_ms = math.min(CONNECT_MS, left), first_byte_ms = left, idle_ms = options.idle_ms, timeout_ms = left, ca_file = target.ca_file,
    on_begin = on_begin }
  if not stream then return nil, failed(err) end
  local body
  body, err = read(stream)
  if not body then return nil, err end
  local found
  found, err = adapter.embed_result(stream.status, stream.headers, body)
  if not found then return nil, err end
  if #found.vectors ~= #texts then return nil, { class = "protocol", text = ("%d vectors for %d texts"):format(#found.vectors, #texts) } end
  return found
end

-- Where limits and budgets cannot be asked, nothing is spent.
local function admit(target, texts, options)
  local ok, leave, refused = pcall(options.enter, target, true, texts)
  if ok then return leave, refused end
  log.error("ai.not_admitted", { provider = target.provider, model = target.model, text = tostring(leave) })
  return nil, { class = "server", text = "limits and budgets cannot be read just now" }
end

-- probe: of a breaker that is half open the one request that may be made
local function attempt(world, adapter, target, texts, options, probe)
  local leave, refused = admit(target, texts, options)
  if not leave then
    world.health:give_back(target, probe)
    refused.limited = true
    return nil, refused
  end
  probe = world.health:began(target, probe)
  local began = world.mono_ms()
  local left = options.deadline - began
  local open
  local unwatch = options.cancel and options.cancel:watch(function()
    if open then open:cancel() end
  end)
  local ok, found, err = pcall(exchange, world, adapter, target, texts, options, left, function(opened) open = opened end)
  if unwatch then unwatch() end
  if not ok then
    log.error("ai.attempt_broke", { provider = target.provider, model = target.model, text = tostring(found) })
    found, err = nil, { class = "protocol", text = "the answer could not be read", cut = true }
  end
  local outcome = err or {}
  outcome.ms, outcome.said, outcome.tool_calls, outcome.usage = world.mono_ms() - began, "", {}, found and found.usage
  if outcome.late and hurried(options, outcome.late, left, outcome.ms) then outcome.cut = true end
  world.health:ended(target, outcome, probe or false)
  local cost = leave(outcome)
  options.attempts[#options.attempts + 1] = { provider = target.provider, model = target.model, key_id = target.key_id, class = outcome.class, ms = outcome.ms, cost = cost }
  if not found then return nil, outcome end
  return found, cost
end

local function all_of(world, target, texts, options, probe)
  local adapter = adapters.of(target.kind)
  if not adapter or not adapter.embed_request then
    world.health:give_back(target, probe)
    return nil, { class = "not_found", text = ("'%s' has no embeddings"):format(target.provider) }
  end
  local size = math.min(BATCH, adapter.capabilities.embed_batch or BATCH)
  local vectors, input = {}, 0
  for from = 1, #texts, size do
    local batch = {}
    for i = from, math.min(#texts, from + size - 1) do batch[#batch + 1] = texts[i] end
    -- What has begun goes on beside another's probe: what it has is paid for.
    if from > 1 then probe = world.health:allows(target) and world.health:claim(target) or nil end
    local found, err = attempt(world, adapter, target, batch, options, probe)
    if not found then return nil, err end
    if vectors[1] and #found.vectors[1] ~= #vectors[1] then return nil, { class = "protocol", text = "the vectors are of different lengths" } end
    local size_of_all = #texts * #found.vectors[1]
    if size_of_all > embed.MOST_NUMBERS then
      return nil, { class = "bad_request", text = ("%d texts of %d numbers each are more than the %d numbers of one request: send fewer texts at a time"):format(#texts,
        #found.vectors[1], embed.MOST_NUMBERS) }
    end
    for _, vector in ipairs(found.vectors) do vectors[#vectors + 1] = vector end
    input = input + (found.usage and found.usage.input or 0)
  end
  return { vectors = vectors, usage = { input = input, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 }, provider = target.provider, model = target.model }
end

--- Asks the targets in their order until one has given all vectors. Waits.
--- @param world table    as ai.turn has it, with sleep(ms)
--- @param options table  { deadline = mono ms, idle_ms, fair = of ai.policy or nil, dimensions, enter = as ai.turn's, with the texts, attempts = list that is filled,
---   cancel = a promise or nil: when it is given the stream is reset, and nobody else is asked }
--- @return table|nil { vectors, usage, provider, model }, table|nil err
function embed.run(world, targets, texts, options)
  local err = { class = "no_provider", text = "no model for embeddings is set up" }
  for round = 1, ROUNDS do
    local again = false
    for _, target in ipairs(targets) do
      if gone(options) then return nil, { class = "cancelled", text = "cancelled" } end
      if world.health:allows(target) then
        local found
        found, err = all_of(world, target, texts, options, world.health:claim(target))
        if found then return found end
        if STOPS[err.class] then return nil, err end
        again = again or not (err.class == "auth" or err.class == "quota" or err.class == "budget" or err.class == "not_found")
      end
    end
    local wait_ms = world.random() * BACKOFF_MS * round
    if err.retry_after_s then wait_ms = wait_ms + err.retry_after_s * 1000 end
    if not again or round == ROUNDS or world.mono_ms() + wait_ms >= options.deadline then break end
    world.sleep(wait_ms)
  end
  return nil, err
end

return embed
