-- SPDX-License-Identifier: Apache-2.0
--- ai_call, ai_spend and ai_share of a tenant's schema.
local db = require "lib.db"
local json = require "core.json"

local store = {}

-- Columns and their types as they travel, which are wider than the table's: what is too long is the table's to refuse.
local travelling = { "entry_key VARCHAR(64)", "answer_key VARCHAR(64)", "attempt BIGINT", "call_id BIGINT", "external_ref VARCHAR(600)", "campaign_id BIGINT",
  "purpose VARCHAR(64)", "provider VARCHAR(200)", "model VARCHAR(400)", "key_id VARCHAR(200)", "tokens_used BIGINT", "input_tokens BIGINT",
  "cached_tokens BIGINT", "written_tokens BIGINT", "output_tokens BIGINT", "estimated BIGINT", "cost BIGINT", "currency VARCHAR(16)",
  "response_time_ms BIGINT", "first_token_ms BIGINT", "success BIGINT", "error_class VARCHAR(64)", "error_message VARCHAR(4000)", "cache VARCHAR(64)",
  "price_version VARCHAR(300)", "trace VARCHAR(64)", "created_at VARCHAR(32)" }
local columns, read = {}, {}
for i, column in ipairs(travelling) do
  columns[i] = column:match("^%S+")
  read[i] = (columns[i]:find("_key$") and "UNHEX(n.%s)" or "n.%s"):format(columns[i])
end
local add_calls = ("INSERT INTO ai_call (%s) SELECT %s FROM %s"):format(table.concat(columns, ", "), table.concat(read, ", "), db.rows("n", travelling))

--- Adds rows (tables by the names of the columns; keys as hex).
function store.add_calls(tx, rows)
  local list = {}
  for i, row in ipairs(rows) do
    local values = {}
    for k, column in ipairs(columns) do
      local value = row[column]
      values[k] = value == nil and json.null or value
    end
    list[i] = values
  end
  db.run(tx, add_calls, json.encode(list))
end

--- Is the row with this key there?
function store.has(tx, entry_key)
  return #db.run(tx, "SELECT 1 AS found FROM ai_call WHERE entry_key = UNHEX(?)", entry_key) > 0
end

-- A connection keeps few prepared statements, of at most 256 parameters: lists are cut into pieces of these lengths.
local SIZES = { 64, 8, 1 }

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

local add_answers = "INSERT INTO effect (effect_key, verb) SELECT CONCAT('ai.answer:', n.answer_key), 'ai.answer' FROM " .. db.rows("n", { "answer_key VARCHAR(64)" })

--- Notes that answers (keys as hex) are events: each has one, whoever writes it.
function store.add_answers(tx, answer_keys)
  local list = {}
  for i, key in ipairs(answer_keys) do list[i] = { key } end
  db.run(tx, add_answers, json.encode(list))
end

--- Is this answer an event?
function store.has_answer(tx, answer_key)
  return #db.run(tx, "SELECT 1 AS found FROM effect WHERE effect_key = ?", "ai.answer:" .. answer_key) > 0
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

-- For the row of an id: what is added to its cost, and who answered; of one JSON object of { micros, provider } by id.
local its_micros, its_provider = [[CAST(JSON_EXTRACT(?, CONCAT('$."', id, '"[0]')) AS SIGNED)]], [[JSON_UNQUOTE(JSON_EXTRACT(?, CONCAT('$."', id, '"[1]')))]]
-- What stands to the right has what was assigned to its left: the currency first, by the cost that was, then the cost by that currency.
local add_call_costs = "UPDATE `call` SET currency = IF(cost = 0, ?, currency), cost = IF(currency = ?, LEAST(cost + " .. its_micros
  .. ", 9000000000000000), cost), ai_provider = " .. its_provider .. " WHERE id IN (%s)"

--- Holds the rows of calls until the transaction ends, in the order of ids: costs as below.
function store.hold_calls(tx, costs)
  in_pieces(costs, function(at, count)
    local ids = {}
    for i = at, at + count - 1 do ids[#ids + 1] = costs[i].id end
    db.run(tx, ("SELECT 1 AS held FROM `call` FORCE INDEX (PRIMARY) WHERE id IN (%s) ORDER BY id FOR UPDATE"):format(db.marks(count)), unpack(ids))
  end)
end

--- What AI has cost calls in a currency, added to the calls' cost: costs is a list of { id, micros, provider }, in the order of ids. No
--- fence: a cost is true whoever has the call now, and sums have no order. A call has one currency: what was spent in another stands in
--- ai_call alone.
function store.add_call_costs(tx, currency, costs)
  in_pieces(costs, function(at, count)
    local ids, by_id = {}, {}
    for i = at, at + count - 1 do
      local cost = costs[i]
      ids[#ids + 1], by_id[("%d"):format(cost.id)] = cost.id, { cost.micros, cost.provider }
    end
    local text = json.encode(by_id)
    db.run(tx, add_call_costs:format(db.marks(count)), currency, currency, text, text, unpack(ids))
  end)
end

local add_spend = [[
  INSERT INTO ai_spend (period, scope, currency, micros, requests, failed, input_tokens, output_tokens)
  SELECT n.period, n.scope, n.currency, n.micros, n.requests, n.failed, n.input_tokens, n.output_tokens FROM ]]
  .. db.rows("n", { "period VARCHAR(16)", "scope VARCHAR(100)", "currency VARCHAR(16)", "micros BIGINT", "requests BIGINT", "failed BIGINT",
    "input_tokens BIGINT", "output_tokens BIGINT" }) .. [[
  ON DUPLICATE KEY UPDATE micros = LEAST(ai_spend.micros + VALUES(micros), 9000000000000000), requests = ai_spend.requests + VALUES(requests),
    failed = ai_spend.failed + VALUES(failed), input_tokens = ai_spend.input_tokens + VALUES(input_tokens),
    output_tokens = ai_spend.output_tokens + VALUES(output_tokens)]]

--- Adds to the sums of days and months: sums are { period, scope, currency, micros, requests, failed, input_tokens, output_tokens }, in
--- the one order of all who write, so that none waits for one that waits for him.
function store.add_spend(tx, sums)
  local list = {}
  for i, n in ipairs(sums) do
    list[i] = { n.period, n.scope, n.currency, n.micros, n.requests, n.failed, n.input_tokens, n.output_tokens }
  end
  db.run(tx, add_spend, json.encode(list))
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
local held_text = "SELECT COALESCE(SUM(micros), 0) AS n FROM ai_share WHERE owner <> ? AND ends_at > ?"

local function figures(rows, held, day, month)
  local spent = { day = 0, month = 0 }
  for _, row in ipairs(rows) do
    if row.period == day then spent.day = row.micros end
    if row.period == month then spent.month = row.micros end
  end
  return spent, tonumber(held[1].n)
end

--- What was spent ({ day, month } in micros) and what all workers but this one hold. Who has called hold_shares: nobody moves either until
--- the transaction ends.
function store.read_spend(tx, owner, day, month, currency, now)
  -- Locking reads: they see what was committed while we waited.
  local rows = db.run(tx, spent_text .. " FOR UPDATE", day, month, currency)
  return figures(rows, db.run(tx, held_text .. " FOR UPDATE", owner, now), day, month)
end

--- The same to look at, with what all hold.
function store.spend_now(name, day, month, currency, now)
  return figures(db.query(name, spent_text, day, month, currency), db.query(name, held_text, "", now), day, month)
end

--- Writes what a worker holds, all of it, and until when.
function store.put_share(tx, owner, micros, ends_at)
  db.run(tx, [[
    INSERT INTO ai_share (owner, micros, ends_at) VALUES (?, ?, ?)
    ON DUPLICATE KEY UPDATE micros = VALUES(micros), ends_at = VALUES(ends_at)]], owner, micros, ends_at)
end

--- Removes what other workers held whose leases have long ended.
function store.forget_shares(tx, owner)
  db.run(tx, "DELETE FROM ai_share WHERE owner <> '' AND owner <> ? AND ends_at < UTC_TIMESTAMP(6) - INTERVAL 1 HOUR", owner)
end

--- Sums of periods from first to last, of one scope or of all whose name begins so.
function store.spend(name, first, last, scope_like)
  return db.query(name, [[
    SELECT period, scope, currency, micros, requests, failed, input_tokens, output_tokens FROM ai_spend
    WHERE period BETWEEN ? AND ? AND scope LIKE ? ORDER BY period, scope, currency LIMIT 2000]], first, last, scope_like)
end

return store
