-- SPDX-License-Identifier: Apache-2.0
--- ai_call, ai_spend and ai_share of a tenant's schema.
local db = require "lib.db"

local store = {}

local columns = { "entry_key", "answer_key", "attempt", "call_id", "external_ref", "campaign_id", "purpose", "provider", "model", "key_id", "tokens_used",
  "input_tokens", "cached_tokens", "written_tokens", "output_tokens", "estimated", "cost", "currency", "response_time_ms", "first_token_ms", "success",
  "error_class", "error_message", "cache", "price_version", "trace", "created_at" }
local insert = "INSERT INTO ai_call (" .. table.concat(columns, ", ") .. ") VALUES "
local one = "(" .. db.marks(#columns) .. ")"

-- A connection keeps few prepared statements, of at most 256 parameters: lists are cut into pieces of these lengths.
local SIZES = { 8, 1 }

local function in_pieces(list, fn)
  local at = 1
  while at <= #list do
    local count = 1
    for _, size in ipairs(SIZES) do
      if #list - at + 1 >= size then
        count = size
        break
      end
    end
    fn(at, count)
    at = at + count
  end
end

--- Adds rows (tables by the names of the columns).
function store.add_calls(tx, rows)
  in_pieces(rows, function(at, count)
    local values, n = {}, 0
    for i = at, at + count - 1 do
      for _, column in ipairs(columns) do
        n = n + 1
        values[n] = rows[i][column]
      end
    end
    db.run(tx, insert .. (one .. ", "):rep(count - 1) .. one, unpack(values, 1, n))
  end)
end

--- Is the row with this key there?
function store.has(tx, entry_key)
  return #db.run(tx, "SELECT 1 AS found FROM ai_call WHERE entry_key = ?", entry_key) > 0
end

--- Is this event there, numbered or not yet?
function store.has_event(tx, event)
  return #db.run(tx, [[
    SELECT 1 AS found FROM event WHERE subject = ? AND type = ? UNION ALL SELECT 1 FROM outbox WHERE subject = ? AND type = ?]],
    event.subject, event.type, event.subject, event.type) > 0
end

--- Row ids of calls by their public ids; those that are none are left out.
function store.calls_by_public_id(tx, publics)
  local found = {}
  in_pieces(publics, function(at, count)
    for _, row in ipairs(db.run(tx, ("SELECT id, public_id FROM `call` WHERE public_id IN (%s)"):format(db.marks(count)), unpack(publics, at, at + count - 1))) do
      found[row.public_id] = row.id
    end
  end)
  return found
end

--- Which of these row ids are calls: set.
function store.calls_by_id(tx, ids)
  local found = {}
  in_pieces(ids, function(at, count)
    for _, row in ipairs(db.run(tx, ("SELECT id FROM `call` WHERE id IN (%s)"):format(db.marks(count)), unpack(ids, at, at + count - 1))) do found[row.id] = true end
  end)
  return found
end

--- What AI has cost a call, added to the call's cost. No fence: a cost is true whoever has the call now, and sums have no order.
--- A call has one currency: what was spent in another stands in ai_call alone.
function store.add_call_cost(tx, id, micros, currency, provider)
  db.run(tx, [[
    UPDATE `call` SET cost = IF(cost = 0 OR currency = ?, cost + ?, cost), currency = IF(cost = ?, ?, currency), ai_provider = ? WHERE id = ?]],
    currency, micros, micros, currency, provider, id)
end

--- Adds to the sums of a day or month.
function store.add_spend(tx, period, scope, currency, n)
  db.run(tx, [[
    INSERT INTO ai_spend (period, scope, currency, micros, requests, failed, input_tokens, output_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON DUPLICATE KEY UPDATE micros = micros + VALUES(micros), requests = requests + VALUES(requests), failed = failed + VALUES(failed),
      input_tokens = input_tokens + VALUES(input_tokens), output_tokens = output_tokens + VALUES(output_tokens)]],
    period, scope, currency, n.micros, n.requests, n.failed, n.input_tokens, n.output_tokens)
end

--- The sum of all in a period, with what was told of it; held until the transaction ends. nil when there is none.
function store.hold_period(tx, period, currency)
  return db.run(tx, "SELECT micros, told FROM ai_spend WHERE period = ? AND scope = 'all' AND currency = ? FOR UPDATE", period, currency)[1]
end

function store.set_told(tx, period, currency, percent)
  db.run(tx, "UPDATE ai_spend SET told = ? WHERE period = ? AND scope = 'all' AND currency = ?", percent, period, currency)
end

--- Lets one at a time take and book: to be held before ai_spend or ai_share are read or moved together.
function store.hold_shares(tx)
  db.run(tx, "SELECT micros FROM ai_share WHERE owner = '' FOR UPDATE")
end

local spent_text = "SELECT period, micros FROM ai_spend WHERE period IN (?, ?) AND scope = 'all' AND currency = ?"
local held_text = "SELECT COALESCE(SUM(micros), 0) AS n FROM ai_share WHERE ends_at > ?"

local function figures(rows, held, day, month)
  local spent = { day = 0, month = 0 }
  for _, row in ipairs(rows) do
    if row.period == day then spent.day = row.micros end
    if row.period == month then spent.month = row.micros end
  end
  return spent, tonumber(held[1].n)
end

--- What was spent ({ day, month } in micros) and what all workers hold; nobody moves either until the transaction ends.
function store.hold_spend(tx, day, month, currency, now)
  store.hold_shares(tx)
  -- Locking reads: they see what was committed while we waited.
  local rows = db.run(tx, spent_text .. " FOR UPDATE", day, month, currency)
  return figures(rows, db.run(tx, held_text .. " FOR UPDATE", now), day, month)
end

--- The same to look at.
function store.spend_now(name, day, month, currency, now)
  return figures(db.query(name, spent_text, day, month, currency), db.query(name, held_text, now), day, month)
end

local share_text = [[
  INSERT INTO ai_share (owner, micros, ends_at) VALUES (?, GREATEST(0, ?), ?)
  ON DUPLICATE KEY UPDATE micros = GREATEST(0, micros + ?), ends_at = VALUES(ends_at)]]

--- Adds to what a worker holds (less than nothing takes away), and renews it.
function store.add_share_in(tx, owner, micros, ends_at) db.run(tx, share_text, owner, micros, ends_at, micros) end

--- The same in a transaction of its own, in which what has long ended goes too.
function store.add_share(name, owner, micros, ends_at)
  db.transaction(name, function(tx)
    store.hold_shares(tx)
    store.add_share_in(tx, owner, micros, ends_at)
    db.run(tx, "DELETE FROM ai_share WHERE owner <> '' AND owner <> ? AND ends_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR", owner)
  end)
end

--- Sums of periods from first to last, of one scope or of all whose name begins so.
function store.spend(name, first, last, scope_like)
  return db.query(name, [[
    SELECT period, scope, currency, micros, requests, failed, input_tokens, output_tokens FROM ai_spend
    WHERE period BETWEEN ? AND ? AND scope LIKE ? ORDER BY period, scope, currency LIMIT 2000]], first, last, scope_like)
end

return store
