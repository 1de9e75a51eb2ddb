-- SPDX-License-Identifier: Apache-2.0
--- Writes down what was asked of providers and what it cost: each attempt is a row of ai_call and an event "ai.attempt", each answer an
--- event "ai.answer". In the same transaction the sums of the day and the month move (ai_spend), the cost is added to its call, what a
--- worker had reserved for it goes, and a budget that comes near its end is told ("ai.budget_warning", "ai.budget_spent", once for
--- each period).
---
---   ledger.attempt(tenant, entry) -> promise    entry = { provider, model, answer_key = bytes of ledger.key(), attempt = number from 1,
---     purpose, cost = of reservation:settle, usage = usage event | nil, estimated = boolean, ms, first_token_ms | nil,
---     class = error class | nil: it was answered, text = one line, key_id | nil, call_id = row id | nil, call = public id | nil,
---     external_ref | nil, campaign_id = row id | nil, trace = id text | nil }
---   ledger.answer(tenant, answer) -> promise    answer = { answer_key, purpose, provider | nil, model | nil, reason, attempts = number,
---     cache = "hit" | "miss" | "off", degraded | nil, cost = { micros, currency } | nil, ms, call, external_ref, trace }
--- Neither waits. promise:wait() -> true is for who must know that it is written; until then it is in memory only. false: it, or one that
--- came with it, was set aside. A callId that is no call of the tenant is kept as external_ref.
---
--- A batch that the database does not take for what is in it is written in halves, down to the one entry at fault. That one waits until
--- others have been written, which shows that all else is in order, and if it still fails then it is set aside (ai.ledger.aside).
---
--- Nothing is lost with a worker: one that ends by itself writes first what it has (ledger.settle); what one that is killed had not written,
--- which is what came in the last fifth of a second, or since the database was last there, is noted (lib.remains) and another writes it. A host
--- that loses its power loses it: there is no row, event or sum of it, and the share that held it is free when its lease ends. Nothing is
--- written twice: a batch is one transaction, and one whose end was not heard of is looked for by its first entry's key before it is written
--- again. The database itself takes an attempt's key (ai_call) and an answer's (effect) once.
---
--- A batch is a handful of statements, however many entries it has: rows travel as one parameter (lib.db's rows). What comes while one is
--- written is the next one's, so that the more there is to do, the less each costs.
local aside = require "ai.ledger.aside"
local audit = require "audit"
local clock = require "core.clock"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local log = require "core.log"
local promise = require "lib.promise"
local providers = require "ai.providers"
local remains = require "lib.remains"
local shares = require "ai.ledger.shares"
local store = require "ai.ledger.store"
local task = require "core.task"
local text = require "lib.text"
local time = require "lib.time"
local timer = require "core.timer"

local ledger = {}

local WRITE_MS = 200
local BATCH = 512       -- entries of one transaction, at most
local RETRY_MS = 2000   -- while the database is away
local TOKENS_MOST = 2 ^ 31 - 1
local KIND = "ai.ledger"

-- tenant id -> { tenant, count = entries in all, writing, next_ms, batches = list of lists of entries, the oldest first, doubtful = batches of one
-- entry that failed alone, again_ms = when these are tried again, written = { attempt = batches with attempts that were written, answer = batches } }
-- A batch has told = { promise, parts = batches that it has become, aside = true: one of its entries was set aside }, tried, closed.
local books = {}
local armed = false

--- 16 bytes that no other entry or answer has.
function ledger.key() return crypto.random(16) end

--- "2026-11-27" and "2026-11" of a time, in UTC.
function ledger.day(us) return time.sql(us):sub(1, 10) end
function ledger.month(us) return time.sql(us):sub(1, 7) end

--- How many entries of a tenant wait to be written.
function ledger.waiting(tenant)
  local book = books[tenant.id]
  return book and book.count or 0
end

local function whole(value, most)
  if type(value) ~= "number" or value ~= value or value < 0 then return 0 end
  return math.min(math.floor(value), most or TOKENS_MOST)
end

local function line(value, bytes)
  if not value then return nil end
  value = tostring(value)
  if #value <= bytes and not value:find("[%c\127-\255]") then return value end
  return (text.clean(value:sub(1, bytes + 4), bytes):gsub("%c", " "))
end

local function row_of(entry)
  local usage, cost = entry.usage or {}, entry.cost or {}
  local input, output = whole(usage.input), whole(usage.output)
  return {
    entry_key = crypto.hex(ledger.key()), answer_key = entry.answer_key and crypto.hex(entry.answer_key), attempt = whole(entry.attempt or 1, 32767), call_id = entry.call_id,
    external_ref = line(entry.external_ref, 128), campaign_id = entry.campaign_id, purpose = entry.purpose, provider = line(entry.provider, 50),
    model = line(entry.model, 100), key_id = entry.key_id, tokens_used = whole(input + output), input_tokens = input, cached_tokens = whole(usage.cached),
    written_tokens = whole((usage.written or 0) + (usage.written_1h or 0)), output_tokens = output, estimated = entry.estimated and 1 or 0,
    cost = cost.micros or 0, currency = cost.currency or "USD", response_time_ms = whole(entry.ms),
    first_token_ms = entry.first_token_ms and whole(entry.first_token_ms), success = entry.class and 0 or 1, error_class = line(entry.class, 16),
    error_message = entry.class and line(entry.text, 500), cache = entry.cache, price_version = line(cost.version, 64), trace = entry.trace,
    created_at = time.now(),
  }
end

-- What entries have of calls, in the form the rows take it: a call's row id, or a reference to what we do not know.
local function find_calls(tx, entries)
  local publics, ids, seen = {}, {}, {}
  for _, entry in ipairs(entries) do
    local row = entry.row
    if entry.call and not row.call_id and not seen[entry.call] then
      seen[entry.call] = true
      publics[#publics + 1] = entry.call
    end
    if row.call_id and not seen[row.call_id] then
      seen[row.call_id] = true
      ids[#ids + 1] = row.call_id
    end
  end
  local by_public, known = store.calls_by_public_id(tx, publics), store.calls_by_id(tx, ids)
  for _, entry in ipairs(entries) do
    local row = entry.row
    local id = row.call_id and known[row.call_id] and row.call_id or entry.call and by_public[entry.call] or nil
    if not id then row.external_ref = row.external_ref or line(entry.call, 128) or (row.call_id and tostring(row.call_id)) end
    row.call_id = id
  end
end

local function add(to, n)
  to.micros, to.requests, to.failed = to.micros + n.micros, to.requests + n.requests, to.failed + n.failed
  to.input_tokens, to.output_tokens = to.input_tokens + n.input_tokens, to.output_tokens + n.output_tokens
end

local function sum_at(sums, key)
  local n = sums[key]
  if n then return n end
  n = { key = key, micros = 0, requests = 0, failed = 0, input_tokens = 0, output_tokens = 0 }
  sums[key], sums[#sums + 1] = n, n
  return n
end

-- Rows by day, currency, provider and campaign: few, however many rows there are.
local function groups_of(rows)
  local groups = {}
  for _, row in ipairs(rows) do
    local day = row.created_at:sub(1, 10)
    local group = sum_at(groups, day .. row.currency .. row.provider .. "\0" .. (row.campaign_id or ""))
    group.day, group.currency, group.provider, group.campaign_id = day, row.currency, row.provider, row.campaign_id
    group.micros, group.requests, group.failed = group.micros + row.cost, group.requests + 1, group.failed + 1 - row.success
    group.input_tokens, group.output_tokens = group.input_tokens + row.input_tokens, group.output_tokens + row.output_tokens
  end
  return groups
end

-- What is added to the rows of ai_spend, by provider and campaign; a name of a provider fits the column (50 of 64).
local function sums_of(rows)
  local sums = {}
  for _, group in ipairs(groups_of(rows)) do
    for _, period in ipairs{ group.day, group.day:sub(1, 7) } do
      for _, scope in ipairs{ "all", "provider:" .. group.provider, group.campaign_id and "campaign:" .. group.campaign_id or nil } do
        local n = sum_at(sums, period .. "\0" .. scope .. "\0" .. group.currency)
        n.period, n.scope, n.currency = period, scope, group.currency
        add(n, group)
      end
    end
  end
  -- One order for all who write, so that none waits for one that waits for him.
  table.sort(sums, function(a, b) return a.key < b.key end)
  return sums
end

-- What the rows cost calls: a call's costs are one sum, beside the provider that answered last, else the first that was asked.
local function add_call_costs(tx, rows)
  local calls = {}
  for _, row in ipairs(rows) do
    if row.call_id then
      local key = row.call_id .. row.currency
      local of = calls[key]
      if not of then
        of = { id = row.call_id, currency = row.currency, micros = 0 }
        calls[key], calls[#calls + 1] = of, of
      end
      of.micros = of.micros + row.cost
      if row.success == 1 or not of.provider then of.provider = row.provider end
    end
  end
  table.sort(calls, function(a, b) return a.id < b.id end)
  local by_currency = {}
  for _, of in ipairs(calls) do
    local list = by_currency[of.currency]
    if not list then
      list = { currency = of.currency }
      by_currency[of.currency], by_currency[#by_currency + 1] = list, list
    end
    list[#list + 1] = of
  end
  -- One order for all who write: currency by currency it would begin again at the lowest id.
  if #by_currency > 1 then store.hold_calls(tx, calls) end
  for _, list in ipairs(by_currency) do store.add_call_costs(tx, list.currency, list) end
end

-- Tells of a budget that has come to its warning or to its end, once for each period.
local function tell(tx, limits, at)
  for name, period in pairs{ day = at:sub(1, 10), month = at:sub(1, 7) } do
    local limit = limits[name .. "_micros"]
    local sum = limit and store.hold_period(tx, period, limits.currency)
    if sum then
      local percent = limit > 0 and math.min(100, math.floor(sum.micros / limit * 100)) or 100
      local reached = percent >= 100 and 100 or percent >= limits.warn_percent and limits.warn_percent or 0
      if reached > sum.told then
        store.set_told(tx, period, limits.currency, reached)
        audit.event(tx, { type = reached == 100 and "ai.budget_spent" or "ai.budget_warning", subject = period,
          data = { period = name, percent = percent, spent_micros = sum.micros, limit_micros = limit, currency = limits.currency } })
      end
    end
  end
end

local function event_of(entry)
  if entry.answer then return entry.answer end
  local row = entry.row
  return { type = "ai.attempt", subject = row.answer_key or row.entry_key, trace = row.trace, data = {
    entry = row.entry_key, attempt = row.attempt, provider = row.provider, model = row.model, key = row.key_id, purpose = row.purpose,
    call = line(entry.call, 64), call_row = row.call_id, campaign_row = row.campaign_id, input_tokens = row.input_tokens, output_tokens = row.output_tokens,
    micros = row.cost, currency = row.currency, price = row.price_version, class = row.error_class, ms = row.response_time_ms } }
end

local function add_events(tx, batch)
  local events, answers = {}, {}
  for i, entry in ipairs(batch) do
    events[i] = event_of(entry)
    if entry.answer then answers[#answers + 1] = entry.answer.subject end
  end
  if answers[1] then store.add_answers(tx, answers) end
  audit.events(tx, events)
end

local function is_there(tx, batch, rows)
  if rows[1] then return store.has(tx, rows[1].entry_key) end
  return store.has_answer(tx, batch[1].answer.subject)
end

-- The calls' rows first: the rows of ai_call name them, and who holds a row with others cannot then have it alone without a deadlock.
-- What all workers wait for, the shares and the sums, comes last and is held for the shortest time.
local function book(tenant, batch)
  local rows, with_rows, from_shares = {}, {}, 0
  for _, entry in ipairs(batch) do
    if entry.row then
      rows[#rows + 1], with_rows[#with_rows + 1] = entry.row, entry
      if entry.share then from_shares = from_shares + entry.row.cost end
    end
  end
  local known, limits = pcall(providers.budget, tenant)  -- asks the database itself, so before the transaction
  if not known then limits = {} end
  local share = from_shares > 0 and shares.known(tenant.id)
  local turn = share and share:turn()
  local function write(tx)
    local is_new = not (batch.tried and is_there(tx, batch, rows))
    if is_new and #rows == 0 then return add_events(tx, batch) end
    if is_new then
      find_calls(tx, with_rows)
      add_call_costs(tx, rows)
      fault.point("ledger.costs_added")
      store.add_calls(tx, rows)
      fault.point("ledger.rows_added")
      add_events(tx, batch)
      fault.point("ledger.events_added")
    end
    if turn then turn:enter(tx) end
    if is_new then
      store.add_spend(tx, sums_of(rows))
      fault.point("ledger.sums_moved")
    end
    if turn then turn:put(tx, share:claim() - from_shares) end
    fault.point("ledger.share_moved")
    if is_new then tell(tx, limits, rows[#rows].created_at) end
  end
  local ok, err = pcall(audit.transaction, tenant, turn and turn:guarded(write) or write)
  if ok then fault.point("ledger.written") end
  if turn then
    if ok then share.booked = share.booked - from_shares end
    turn:over(ok)
  end
  if not ok then error(err, 0) end
end

-- A batch, or what is left of one, needs nobody any more.
local function end_batch(of, batch)
  of.count = of.count - #batch
  for _, entry in ipairs(batch) do remains.settled(entry.note) end
  local told = batch.told
  told.parts = told.parts - 1
  if told.parts == 0 then told.promise:give(not told.aside) end
end

local function kind_of(entry) return entry.row and "attempt" or "answer" end

local function note_written(of, batch)
  of.written.answer = of.written.answer + 1
  for _, entry in ipairs(batch) do
    if entry.row then
      of.written.attempt = of.written.attempt + 1
      break
    end
  end
  end_batch(of, batch)
end

local function not_written(of, err)
  log[db.is_failure(err) and "warn" or "error"]("ai.calls_not_written", { tenant = of.tenant.slug, waiting = of.count, text = tostring(err) })
end

local function set_aside(of, batch, err, at_end)
  local entry = batch[1]
  local stands, why = aside.put(of.tenant, entry, err, at_end)
  if not stands then  -- it would be in no sum and in no job
    of.doubtful[#of.doubtful + 1] = batch
    return not_written(of, why)
  end
  local share = entry.share
  if share and entry.row.cost > 0 then share.booked, share.unsure = share.booked - entry.row.cost, true end
  batch.told.aside = true
  end_batch(of, batch)
end

-- The first batch becomes two; the last of these.
local function halve(of, batch)
  batch.told.parts = batch.told.parts + 1
  local halves = {}
  for half = 1, 2 do halves[half] = { told = batch.told, tried = true, closed = true } end
  for i, entry in ipairs(batch) do table.insert(halves[i <= #batch / 2 and 1 or 2], entry) end
  of.batches[1] = halves[1]
  table.insert(of.batches, 2, halves[2])
  return halves[2]
end

-- Writes what waits, batch after batch, and what comes meanwhile if it fills one: few at a time would cost as much each as many.
local function write_batches(of)
  local last, doubted_at = of.batches[#of.batches], nil
  while last do
    local batch = of.batches[1]
    batch.closed = true
    local ok, err = pcall(book, of.tenant, batch)
    local at_last = batch == last
    if ok then
      table.remove(of.batches, 1)
      note_written(of, batch)
    elseif aside.is_own(err) and #batch > 1 then
      local second = halve(of, batch)
      if at_last then last, at_last = second, false end
    elseif aside.is_own(err) and doubted_at ~= of.written.answer then
      table.remove(of.batches, 1)
      batch.tried, batch.doubted_at = true, of.written[kind_of(batch[1])]
      of.doubtful[#of.doubtful + 1], of.again_ms = batch, clock.mono_ms() + RETRY_MS
      doubted_at = of.written.answer
    else
      -- The database is away, or one entry after another fails: then it is for none of them.
      batch.tried = true
      of.next_ms = clock.mono_ms() + RETRY_MS
      return not_written(of, err)
    end
    if at_last then
      local next_one = of.batches[1]
      last = next_one and #next_one >= BATCH and next_one or nil
    end
  end
end

-- Tries again what failed alone.
local function write_doubtful(of)
  local list = of.doubtful
  of.doubtful, of.again_ms = {}, clock.mono_ms() + RETRY_MS
  for _, batch in ipairs(list) do
    local ok, err = pcall(book, of.tenant, batch)
    if ok then
      note_written(of, batch)
    elseif aside.is_own(err) and of.written[kind_of(batch[1])] > batch.doubted_at then
      set_aside(of, batch, err)
    else
      of.doubtful[#of.doubtful + 1] = batch
      not_written(of, err)
    end
  end
end

-- True when nothing is left.
local function write(of)
  if of.writing then return false end
  of.writing = true
  write_batches(of)
  if #of.doubtful > 0 and clock.mono_ms() >= of.again_ms then write_doubtful(of) end
  of.writing = false
  return of.count == 0
end

local function write_soon()
  if armed then return end
  armed = true
  timer.after(WRITE_MS, function()
    armed = false
    local now, left = clock.mono_ms(), false
    for id, of in pairs(books) do
      if of.count == 0 then
        books[id] = nil
      else
        left = true
        if not of.writing and now >= of.next_ms then task.spawn(write, of) end
      end
    end
    if left then write_soon() end
  end)
end

local function put(tenant, entry)
  entry.note = remains.note(KIND, tenant, { row = entry.row, call = entry.call, answer = entry.answer })
  fault.point("ledger.noted")
  local of = books[tenant.id]
  if not of then
    of = { tenant = tenant, batches = {}, doubtful = {}, count = 0, next_ms = 0, again_ms = 0, written = { attempt = 0, answer = 0 } }
    books[tenant.id] = of
  end
  of.tenant = tenant
  local last = of.batches[#of.batches]
  if not last or last.closed or #last >= BATCH then
    last = { told = { promise = promise.new(), parts = 1 } }
    of.batches[#of.batches + 1] = last
  end
  last[#last + 1] = entry
  of.count = of.count + 1
  write_soon()
  return last.told.promise
end

--- See above.
function ledger.attempt(tenant, entry)
  return put(tenant, { row = row_of(entry), call = entry.call, share = entry.cost and entry.cost.share })
end

--- See above.
function ledger.answer(tenant, answer)
  local cost = answer.cost or {}
  return put(tenant, { answer = { type = "ai.answer", subject = crypto.hex(answer.answer_key), trace = answer.trace, data = {
    purpose = answer.purpose, provider = line(answer.provider, 50), model = line(answer.model, 100), reason = answer.reason, attempts = answer.attempts,
    cache = answer.cache, degraded = answer.degraded, micros = cost.micros or 0, currency = cost.currency, ms = whole(answer.ms), call = line(answer.call, 64),
    external_ref = line(answer.external_ref, 128) } } })
end

--- Writes an entry that was set aside, unless it is there. May wait; raises when it fails.
function ledger.write_again(tenant, entry) book(tenant, { entry, tried = true }) end

remains.define(KIND, function(tenant, entry)
  local ok, err = pcall(ledger.write_again, tenant, entry)
  if not ok and not (aside.is_own(err) and aside.put(tenant, entry, err)) then error(err, 0) end
end)

-- What would be lost with this worker, and may be the reason that it is not written.
local function end_doubtful()
  for _, of in pairs(books) do
    local list = of.doubtful
    of.doubtful = {}
    for _, batch in ipairs(list) do set_aside(of, batch, "it failed alone, and its worker has ended", true) end
  end
end

--- Writes until nothing is left, at most so long: for a worker that ends. Returns whether nothing is left.
function ledger.settle(ms)
  local ends = clock.mono_ms() + ms
  while true do
    local left = false
    for _, of in pairs(books) do
      if of.count > 0 and not write(of) then left = true end
    end
    if not left then return true end
    if clock.mono_ms() >= ends then
      end_doubtful()
      return false
    end
    task.sleep(20)
  end
end

return ledger
