-- SPDX-License-Identifier: Apache-2.0
--- Gives committed outbox rows the next gapless `seq`, links the audit rows into their chain, and appends the events to
--- the tenant's Redis stream. One at a time per tenant: the row of `sequencer` is locked, so that two at once are slow,
--- never wrong. The Redis lease only spares them the waiting.
---
---   commit -> kick: mark in a sorted set, take the lease -> drain -> unmark unless marked again -> lease back
---
--- Nothing depends on the mark: who dies between commit and mark, or loses all of Redis, is caught up with by the job
--- "sequence", one per tenant, and by every worker's look at marks that have grown old.
local clock = require "core.clock"
local fault = require "core.fault"
local json = require "core.json"
local db = require "lib.db"
local log = require "core.log"
local metrics = require "core.metrics"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local rules = require "audit.rules"
local store = require "audit.store"
local task = require "core.task"
local time = require "lib.time"
local timer = require "core.timer"
local worker = require "core.worker"

local sequencer = {}

-- Together they are what the stream of a tenant can hold: 40 MB, where a usual event has some hundred bytes.
sequencer.STREAM_LENGTH, sequencer.STREAM_EVENT_BYTES = 10000, 4096
local LEASE_MS = 2000
local OLD_MARK_US = 3e6
local LOOK_MS = 2000

-- Keys share a tag, so that a script never touches two slots of a cluster.
local function dirty_key() return rediskey("{seq}:dirty") end
local function lease_key(tenant) return rediskey("{seq}:lease:", tenant.slug) end

-- KEYS dirty, lease; slug, owner, lease ms, mark (1: also mark). Returns { taken, score of the mark, ms the lease has left }.
local begin = redis.script [[
local t = redis.call('TIME')
if ARGV[4] == '1' then redis.call('ZADD', KEYS[1], t[1] * 1000000 + t[2], ARGV[1]) end
local taken = redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3])
return { taken and 1 or 0, redis.call('ZSCORE', KEYS[1], ARGV[1]) or '', redis.call('PTTL', KEYS[2]) }
]]

-- KEYS dirty, lease; slug, owner, the score seen at the beginning, lease ms. Returns "" when done, else the newer score.
local finish = redis.script [[
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score and score ~= ARGV[3] then
  if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('PEXPIRE', KEYS[2], ARGV[4]) end
  return score
end
if score then redis.call('ZREM', KEYS[1], ARGV[1]) end
if redis.call('GET', KEYS[2]) == ARGV[2] then redis.call('DEL', KEYS[2]) end
return ''
]]

local old_marks = redis.script [[
local t = redis.call('TIME')
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', t[1] * 1000000 + t[2] - ARGV[1], 'LIMIT', 0, 20)
]]

-- KEYS stream; its length, how large an event may be in it, then number and event of each row in turn. One script, so that nothing comes
-- between them even while a cluster moves the stream to another node. A number that the stream has already is refused by it: then we died
-- after it was written and before we noted that. Subscribers get the batch as lines: its first number, then the events, however large. In
-- the place of one that is too large the stream has { "seq":, "bytes": }: who wants it asks GET /events.
local append = redis.script [[
local lines = {}
for i = 3, #ARGV, 2 do
  local seq, event = ARGV[i], ARGV[i + 1]
  local kept = #event <= tonumber(ARGV[2]) and event or '{"seq":' .. seq .. ',"bytes":' .. #event .. '}'
  local reply = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], seq .. '-0', 'event', kept)
  if type(reply) == 'table' and reply.err and not reply.err:find('equal or smaller', 1, true) then return reply end
  lines[#lines + 1] = event
end
redis.call('PUBLISH', KEYS[1], ARGV[3] .. '\n' .. table.concat(lines, '\n'))
return #lines
]]

--- A row of `event` as JSON text; the data column is JSON already.
function sequencer.event_json(tenant, row)
  return ('{"seq":%d,"type":%s,"at":"%s","tenant":"%s","subject":%s,"data":%s%s}'):format(
    row.seq, json.encode(row.type), time.rfc3339(row.at), tenant.slug, json.encode(row.subject), row.data,
    row.trace and (',"trace":"%s"'):format(row.trace) or "")
end

-- Numbers one batch; true when there may be more.
local function number_batch(tenant)
  return db.transaction(tenant.db, function(tx)
    local head = store.hold(tx)
    local rows, more_events = store.outbox(tx)
    local pending, more_audits = store.audit_pending(tx)
    if #rows == 0 and #pending == 0 then return false end
    if #rows > 0 then store.move_events(tx, rows, head.seq) end
    fault.point("sequencer.events_moved")
    local hashes = {}
    for i, row in ipairs(pending) do
      row.seq = head.audit_seq + i
      hashes[i] = rules.hash(hashes[i - 1] or head.audit_hash or rules.GENESIS, row)
    end
    if #pending > 0 then store.move_audit(tx, pending, head.audit_seq, hashes) end
    fault.point("sequencer.audit_moved")
    store.set_numbers(tx, head.seq + #rows, head.audit_seq + #pending, hashes[#pending] or head.audit_hash)
    fault.point("sequencer.numbered")
    return more_events or more_audits
  end)
end

-- Appends one batch to the stream, in order; the row stays locked meanwhile. "more", "done" or "away".
local function publish_batch(tenant)
  return db.transaction(tenant.db, function(tx)
    local head = store.hold(tx)
    if head.published >= head.seq then return "done" end
    local rows, more = store.events_after(tx, head.published)
    local stream = rediskey("events:", tenant.slug)
    local args = {}
    for _, row in ipairs(rows) do
      args[#args + 1] = ("%d"):format(row.seq)
      args[#args + 1] = sequencer.event_json(tenant, row)
    end
    local appended, err = append:call({ stream }, sequencer.STREAM_LENGTH, sequencer.STREAM_EVENT_BYTES, unpack(args))
    if not appended then
      log.warn("sequencer.not_published", { tenant = tenant.slug, error = err.text })
      return "away"
    end
    fault.point("sequencer.streamed")
    store.set_published(tx, rows[#rows].seq)
    fault.point("sequencer.published")
    metrics.count("parley_events_total", nil, #rows, "durable events")  -- not by tenant: the page of metrics has an end
    return more and "more" or "done"
  end)
end

--- Does all there is to do for a tenant. Raises when the database is away.
function sequencer.drain(tenant)
  repeat
    local more = number_batch(tenant)
    fault.point("sequencer.committed")
    -- In turns: where events come as fast as they are numbered, those who listen must not wait for the end of it.
    if redis.connected() then
      while publish_batch(tenant) == "more" do end
    end
  until not more
end

local states = {}   -- tenant id -> { running, again }
local looking = {}  -- tenant id -> true: look_again() has it

-- A holder may be dead: when its lease has run out the mark is looked at again.
local function look_again(tenant, left_ms)
  if looking[tenant.id] then return end
  looking[tenant.id] = true
  task.spawn(function()
    task.sleep(math.max(left_ms, 0) + 5)
    looking[tenant.id] = nil
    sequencer.kick(tenant, true)
  end)
end

local function run_leased(tenant, mark)
  local keys = { dirty_key(), lease_key(tenant) }
  local reply = redis.connected() and begin:call(keys, tenant.slug, worker.owner, LEASE_MS, mark and "1" or "0")
  if not reply then return sequencer.drain(tenant) end  -- Redis away: the row's lock is enough
  if reply[1] ~= 1 then return look_again(tenant, reply[3]) end  -- the holder sees our mark before it stops
  local score = reply[2]
  fault.point("sequencer.leased")
  repeat
    if score ~= "" then sequencer.drain(tenant) end  -- no mark: another has dealt with it
    fault.point("sequencer.drained")
    local newer = finish:call(keys, tenant.slug, worker.owner, score, LEASE_MS)
    score = newer
  until not newer or newer == ""
end

--- Numbers and publishes what a tenant has committed. At most once at a time in this worker; calls meanwhile are one more round.
function sequencer.kick(tenant, unmarked)
  local state = states[tenant.id] or {}
  states[tenant.id] = state
  state.again = true
  if state.running then return end
  state.running = true
  local ok, err = true, nil
  while ok and state.again do
    state.again = false
    ok, err = pcall(run_leased, tenant, not unmarked)
  end
  states[tenant.id] = nil
  if not ok then
    -- The mark stands, or the job comes: both try again.
    log.warn("sequencer.failed", { tenant = tenant.slug, error = tostring(err) })
  end
end

--- Waits until nothing runs here, 2 s at most. A program that ends sooner leaves its lease behind, and all wait for its end.
function sequencer.settle()
  local until_ms = clock.mono_ms() + LEASE_MS
  repeat task.sleep(5) until not next(states) or clock.mono_ms() > until_ms
end

--- The job's turn: looks whether anything was left behind.
function sequencer.sweep(tenant)
  if store.has_work(tenant.db) then sequencer.drain(tenant) end
end

--- Looks for marks nobody has dealt with. tenant_of(slug) -> record | nil
function sequencer.look(tenant_of)
  if not redis.connected() then return end
  local slugs = old_marks:call({ dirty_key() }, OLD_MARK_US)
  for _, slug in ipairs(slugs or {}) do
    local tenant = tenant_of(slug)
    if tenant then
      sequencer.kick(tenant, true)
    else
      redis.call("ZREM", dirty_key(), slug)
    end
  end
end

--- Starts this worker's looking at old marks.
function sequencer.start(tenant_of)
  return timer.every(LOOK_MS, function() task.spawn(sequencer.look, tenant_of) end)
end

return sequencer
