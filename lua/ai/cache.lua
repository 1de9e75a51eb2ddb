-- SPDX-License-Identifier: Apache-2.0
--- Answers that are known already.
---   exact     the same request, of the same tenant, with the same knowledge base: in Redis, sealed under the tenant's key
---   semantic  a question that means nearly the same in the same context: in memory (ai.nearest), off unless the policy says so
---   flights   the same request under way at the same time is asked once (ai.flights), never across tenants
---
--- The version of the knowledge base is part of every key, so publishing another one leaves the old answers behind; they end by
--- themselves. Never kept: tool calls, errors, cut answers, what the guard found to be made up, what follows a tool's result, and requests that carry personal values.
---
--- Who answers a request writes
---   local answer, err = cache.through(tenant, request, options, function() return turn... end)
--- and, when every provider is down, cache.stale(tenant, request, options). options is the same table each time:
---   { policy = { cache = { exact = boolean, ttl_s =, semantic = { threshold = 0 to 1 } } }, purpose = "call" | "campaign" | "api",
---     model = text (only when the request is pinned to one), kb_version = text of kb.version() | nil,
---     question = what the caller said last, without the mark that the guard put around it (notes.question): what is compared by its meaning,
---     personal = true: it carries personal values (notes.personal of ai.guard), embed = function(text) -> vector | nil,
---     wait_ms = how long to wait for the same request of another, cancel = a promise (see ai.flights) }
--- exact is on for calls and campaigns and off for the API, unless the policy says otherwise.
--- An answer is what ai.chat returns; one from here has cache = "hit", cost zero, and no attempts.
local canonical = require "ai.canonical"
local clock = require "core.clock"
local crypto = require "core.crypto"
local flights = require "ai.flights"
local json = require "core.json"
local metrics = require "core.metrics"
local nearest = require "ai.nearest"
local pii = require "lib.pii"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"

local cache = {}

local TTL_S = 3600          -- fresh for so long
local STALE_S = 24 * 3600   -- and good for so long when nothing else is to be had
local MOST_BYTES = 64 * 1024
local SEMANTIC_MESSAGES = 3 -- longer conversations are each their own
local THRESHOLD = 0.95

--- What a policy and a purpose mean: { exact, ttl_s, threshold = number | nil }.
function cache.settings(options)
  local own = type(options.policy) == "table" and options.policy.cache
  if type(own) ~= "table" then own = {} end
  local exact = own.exact
  if type(exact) ~= "boolean" then exact = options.purpose ~= "api" end
  local threshold
  if type(own.semantic) == "table" then threshold = math.min(1, math.max(0.5, tonumber(own.semantic.threshold) or THRESHOLD)) end
  return { exact = exact, ttl_s = math.min(STALE_S, math.max(1, tonumber(own.ttl_s) or TTL_S)), threshold = threshold }
end

--- May the answer to a request be kept and given again?
function cache.cacheable(request, options)
  if options.personal then return false end
  for _, message in ipairs(request.messages) do
    if message.role == "tool" or (message.tool_calls and #message.tool_calls > 0) then return false end
  end
  local last = request.messages[#request.messages]
  return last ~= nil and last.role == "user" and type(last.text) == "string"
end

local function sum(tenant, request, options, without_last)
  return crypto.hex(crypto.sha256(canonical.text{ tenant.id, options.kb_version or "", options.model or "" } .. canonical.request(request, without_last)))
end

-- What is compared by its meaning. A mark has digits of its own for each text, so no two marked questions were ever alike.
local function question_of(request, options) return options.question or request.messages[#request.messages].text end

local function key_of(tenant, hash) return rediskey("ai:answer:", tenant.id, ":", hash) end

local function kept_answer(answer)
  for _, finding in ipairs(answer.findings or {}) do
    if finding.kind == "unsupported" then return false end  -- made up once is enough
  end
  return answer and type(answer.text) == "string" and answer.text:find("%S") and (answer.reason == "end" or answer.reason == "stop")
    and not answer.degraded and not (answer.tool_calls and #answer.tool_calls > 0)
end

local function count(kind, result)
  metrics.count("ai_cache_total", { kind = kind, result = result }, 1, "requests that were looked for among known answers")
end

-- A new table for each who gets it: nobody can change what another will see.
local function hit(kept, currency)
  return { text = kept.text, tool_calls = json.array{}, reason = kept.reason, provider = kept.provider, model = kept.model, cache = "hit", attempts = {},
    usage = { input = 0, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 }, cost = { micros = 0, currency = kept.currency or currency } }
end

local function read(tenant, hash, most_s)
  local bytes = redis.call("GET", key_of(tenant, hash))
  if type(bytes) ~= "string" then return nil end
  local ok, text = pcall(pii.open, tenant, "ai.answer." .. hash, bytes)
  local kept = ok and json.decode(text)
  if type(kept) ~= "table" or type(kept.text) ~= "string" or type(kept.at) ~= "number" then return nil end
  if clock.wall_us() / 1e6 - kept.at > most_s then return nil end
  return hit(kept)
end

--- Looks for a fresh answer. Waits for Redis; Redis away is a miss.
--- @return table|nil answer
--- @return table|nil vector  the question's embedding, where it was asked for: for cache.put
function cache.get(tenant, request, options)
  local settings = cache.settings(options)
  if not cache.cacheable(request, options) then return nil end
  if settings.exact then
    local answer = read(tenant, sum(tenant, request, options), settings.ttl_s)
    count("exact", answer and "hit" or "miss")
    if answer then return answer end
  end
  if not settings.threshold or not options.embed or #request.messages > SEMANTIC_MESSAGES then return nil end
  local question = question_of(request, options)
  local vector = options.embed(question)
  if not vector then return nil end
  local kept = nearest.find(tenant, sum(tenant, request, options, true), question, vector, settings.threshold, clock.mono_ms())
  count("semantic", kept and "hit" or "miss")
  return kept and hit(kept), vector
end

--- Keeps an answer, where it may be kept. Waits for Redis; Redis away is no failure.
--- @param vector table|nil  as cache.get gave it
function cache.put(tenant, request, answer, options, vector)
  local settings = cache.settings(options)
  if not cache.cacheable(request, options) or not kept_answer(answer) or #answer.text > MOST_BYTES then return false end
  local kept = { text = answer.text, reason = answer.reason, provider = answer.provider, model = answer.model, at = math.floor(clock.wall_us() / 1e6),
    currency = answer.cost and answer.cost.currency }
  if settings.exact then
    local hash = sum(tenant, request, options)
    redis.call("SET", key_of(tenant, hash), pii.seal(tenant, "ai.answer." .. hash, json.encode(kept)), "EX", STALE_S)
  end
  if settings.threshold and vector then
    local question = question_of(request, options)
    nearest.keep(tenant, sum(tenant, request, options, true), question, vector, kept, clock.mono_ms() + settings.ttl_s * 1000)
  end
  return true
end

--- An answer of up to a day ago, for when nobody else can answer: answer with degraded = "cache", or nil.
function cache.stale(tenant, request, options)
  if not cache.settings(options).exact or not cache.cacheable(request, options) then return nil end
  local answer = read(tenant, sum(tenant, request, options), STALE_S)
  if answer then answer.degraded = "cache" end
  return answer
end

-- A failure that was the asker's own, and says nothing of what another would hear.
local function alone(err)
  return type(err) ~= "table" or err.class == "cancelled" or err.class == "timeout" or err.class == "budget"
end

--- The answer from the cache, from the same request that is under way, or from ask(), which is then kept.
--- @param ask function  -> answer | nil, err = { class, text }
--- @return table|nil answer, table|nil err  answer.cache is "hit" (also when it is another's), "miss" or "off"
function cache.through(tenant, request, options, ask)
  local settings = cache.settings(options)
  if not (settings.exact or settings.threshold) or not cache.cacheable(request, options) then
    local answer, err = ask()
    if answer then answer.cache = "off" end
    return answer, err
  end
  local answer, vector = cache.get(tenant, request, options)
  if answer then return answer end
  local function asked()
    local made, err = ask()
    if not made then return nil, err end
    cache.put(tenant, request, made, options, vector)
    return made
  end
  if not settings.exact then
    local made, err = asked()
    if made then made.cache = "miss" end
    return made, err
  end
  local err, shared
  answer, err, shared = flights.join(sum(tenant, request, options), asked, { wait_ms = options.wait_ms, cancel = options.cancel, alone = alone })
  if not answer then return nil, err end
  if not shared then
    answer.cache = "miss"
    return answer
  end
  count("flight", "hit")
  local mine = hit(answer, answer.cost and answer.cost.currency)
  mine.tool_calls = answer.tool_calls or mine.tool_calls
  return mine
end

--- Tells an answer as a stream would have: start, text, usage, end.
--- @param on_event function  as ai.chat takes it
function cache.replay(answer, on_event)
  on_event{ type = "start", model = answer.model }
  on_event{ type = "text", text = answer.text }
  local usage = { type = "usage" }
  for name, value in pairs(answer.usage) do usage[name] = value end
  on_event(usage)
  on_event{ type = "end", reason = answer.reason }
end

return cache
