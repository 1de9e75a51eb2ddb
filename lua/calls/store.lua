-- SPDX-License-Identifier: Apache-2.0
--- SQL of calls, recordings and transcripts. Every write for a call carries its fence: an older owner changes nothing.
local db = require "lib.db"
local json = require "core.json"

local store = {}

local columns = [[id, public_id, direction, phone_number, our_number, start_time, answer_time, end_time, duration_seconds, status, state,
  outcome, hangup_cause, hangup_by, failure, agent_id, campaign_id, lead_id, cost, currency, recording_url, flow, bundle_hash, node, slot, fence, timeline]]

--- Inserts a call; when the channel (or the effect) has a row already, gives that row's id and public id back.
function store.insert(tx, call)
  local result, err = db.attempt(tx, [[INSERT INTO `call` (public_id, direction, phone_number, phone_hash, our_number, start_time, status,
      campaign_id, node, slot, channel_id, node_boot, fence, trace, effect_key, created_by)
    VALUES (?, ?, ?, ?, ?, ?, 'ringing', ?, ?, ?, ?, ?, ?, ?, ?, ?)]],
    call.public_id, call.direction, call.phone_number, call.phone_hash, call.our_number, call.start_time, call.campaign_id,
    call.node, call.slot, call.channel_id, call.node_boot, call.fence, call.trace, call.effect_key, call.created_by)
  if result then return { id = result.insert_id, new = true } end
  if err.code ~= "exists" then db.fail(err) end
  return nil
end

function store.by_channel(db_name, node, boot, channel)
  return db.query(db_name, "SELECT id, public_id, start_time, answer_time, end_time FROM `call` WHERE node = ? AND node_boot = ? AND channel_id = ?", node, boot, channel)[1]
end

function store.by_public_id(db_name, public_id)
  return db.query(db_name, "SELECT " .. columns .. ", summary, sentiment FROM `call` WHERE public_id = ?", public_id)[1]
end

-- A journal is kept where the tenant keeps them at that moment.
local if_kept = "(SELECT CASE WHEN journal_days > 0 THEN ? END FROM tenant WHERE id = 1)"
local values_of = { journal = if_kept, journal_at = if_kept }

--- Sets columns of a call. Returns whether the fence let it through (also when they were so already).
function store.update(tx, id, fence, fields)
  local names, values = {}, {}
  for name, value in pairs(fields) do
    names[#names + 1] = "`" .. name .. "` = " .. (values_of[name] or "?")
    values[#values + 1] = value
  end
  local n = #values
  values[n + 1], values[n + 2], values[n + 3] = fence, id, fence
  local result = db.run(tx, "UPDATE `call` SET " .. table.concat(names, ", ") .. ", fence = ? WHERE id = ? AND fence <= ?", unpack(values, 1, n + 3))
  if result.affected > 0 then return true end
  -- Nothing changed, or it is not ours: the fence itself decides.
  local row = db.run(tx, "SELECT fence FROM `call` WHERE id = ?", id)[1]
  return row ~= nil and row.fence <= fence
end

--- Before anything else is written for a call in this transaction: is the call still this owner's? The row is locked until the
--- transaction ends, so a new owner's fence comes before or after all of it.
function store.hold(tx, id, fence)
  local row = db.run(tx, "SELECT fence FROM `call` WHERE id = ? FOR UPDATE", id)[1]
  if not row or row.fence > fence then return false end
  if row.fence < fence then db.run(tx, "UPDATE `call` SET fence = ? WHERE id = ?", fence, id) end
  return true
end

--- Is there such a call, whoever has it? It stays until the transaction ends.
function store.hold_any(tx, id)
  return db.run(tx, "SELECT 1 AS found FROM `call` WHERE id = ? FOR UPDATE", id)[1] ~= nil
end

--- A new owner takes the call in the row before it acts.
function store.take(db_name, id, fence)
  return db.query(db_name, "UPDATE `call` SET fence = ? WHERE id = ? AND fence <= ?", fence, id, fence)
end

--- Calls that are up, newest first. An index finds them whatever number of calls there has been.
function store.active(db_name, limit)
  return db.query(db_name, [[SELECT c.id, c.public_id, c.direction, c.phone_number, c.our_number, c.start_time, c.answer_time, c.status,
      c.state, c.agent_id, u.name AS agent_name FROM `call` c LEFT JOIN `user` u ON u.id = c.agent_id
    WHERE c.tenant_id = 1 AND c.end_time IS NULL ORDER BY c.id DESC LIMIT ]] .. tonumber(limit))
end

function store.active_count(db_name)
  return db.query(db_name, "SELECT COUNT(*) AS n FROM `call` WHERE tenant_id = 1 AND end_time IS NULL")[1].n
end

--- Calls that have not ended, oldest first, a page after a row's id.
function store.open_after(db_name, after, limit)
  return db.query(db_name, [[SELECT id, public_id, start_time, answer_time, updated_at, status, node, slot, channel_id, fence, trace
    FROM `call` WHERE tenant_id = 1 AND end_time IS NULL AND id > ? ORDER BY id LIMIT ]] .. tonumber(limit), after)
end

function store.newest_start(db_name)
  return db.query(db_name, "SELECT MAX(start_time) AS newest FROM `call` WHERE tenant_id = 1")[1].newest
end

--- Ends a row that nobody has. Returns whether it did: not when it has ended, or somebody has taken the call meanwhile.
function store.close_lost(tx, id, fence, ended)
  return db.run(tx, [[UPDATE `call` SET status = ?, end_time = ?, duration_seconds = ?, outcome = 'lost', hangup_by = 'platform', hangup_cause = 41,
    failure = COALESCE(failure, ?) WHERE id = ? AND fence = ? AND end_time IS NULL]], ended.status, ended.end_time, ended.seconds, ended.failure,
    id, fence).affected == 1
end

--- Newest first. phone_hash, status, active (false: those that have ended): filters, each may be nil.
function store.list(db_name, filter, before, limit)
  local where, values = { "tenant_id = 1" }, {}
  local function add(text, value)
    where[#where + 1] = text
    values[#values + 1] = value
  end
  if filter.phone_hash then add("phone_hash = ?", filter.phone_hash) end
  if filter.status then add("status = ?", filter.status) end
  if filter.active ~= nil then where[#where + 1] = filter.active and "end_time IS NULL" or "end_time IS NOT NULL" end
  if before then add("id < ?", before) end
  -- Each of these gives its calls in the order of ids; left to itself, the server may sort all calls there have been for one page.
  local index = filter.phone_hash and "idx_phone" or filter.active and "idx_active" or filter.status and "idx_tenant_status" or "PRIMARY"
  return db.query(db_name, "SELECT " .. columns .. " FROM `call` FORCE INDEX (" .. index .. ") WHERE " .. table.concat(where, " AND ") .. " ORDER BY id DESC LIMIT "
    .. tonumber(limit), unpack(values))
end

-- journals ------------------------------------------------------------------------------------------------------------

--- bundle_hash, journal (sealed) of a call.
function store.journal(db_name, id)
  return db.query(db_name, "SELECT bundle_hash, flow, journal FROM `call` WHERE id = ?", id)[1]
end

--- For how many days journals are kept.
function store.journal_days(db_name)
  return db.query(db_name, "SELECT journal_days FROM tenant WHERE id = 1")[1].journal_days
end

function store.set_journal_days(tx, days)
  db.run(tx, "UPDATE tenant SET journal_days = ? WHERE id = 1", days)
end

--- Removes journals that were written before a time, at most so many. Returns how many.
function store.remove_journals(db_name, before, limit)
  return db.query(db_name, "UPDATE `call` SET journal = NULL, journal_at = NULL WHERE journal_at < ? ORDER BY journal_at LIMIT " .. tonumber(limit),
    before).affected
end

-- recordings -----------------------------------------------------------------------------------------------------------

function store.recording_insert(tx, r)
  return db.attempt(tx, [[INSERT INTO recording (public_id, call_id, kind, channels, codec, effect_key, started_at)
    VALUES (?, ?, ?, 2, 'pcm_s16le', ?, ?)]], r.public_id, r.call_id, r.kind, r.effect_key, r.started_at)
end

function store.recording_by_effect(tx, effect_key)
  return db.run(tx, "SELECT id, public_id, state, duration_ms FROM recording WHERE effect_key = ?", effect_key)[1]
end

function store.recording(db_name, public_id)
  return db.query(db_name, [[SELECT r.id, r.public_id, r.kind, r.channels, r.sample_rate, r.state, r.duration_ms, r.bytes, r.started_at, r.ended_at,
    c.public_id AS call_public_id FROM recording r JOIN `call` c ON c.id = r.call_id WHERE r.public_id = ?]], public_id)[1]
end

function store.recordings(db_name, call_id)
  return db.query(db_name, "SELECT public_id, kind, state, duration_ms, started_at FROM recording WHERE call_id = ? ORDER BY id", call_id)
end

function store.segment_insert(tx, s)
  -- To MySQL a parameter in a list of columns is text of the connection's character set.
  return db.run(tx, [[INSERT INTO recording_segment (recording_id, segment_number, blob_key, wrapped_key, started_at)
    SELECT ?, COALESCE(MAX(segment_number), 0) + 1, ?, CAST(? AS BINARY), ? FROM recording_segment WHERE recording_id = ?]],
    s.recording_id, s.blob_key, s.wrapped_key, s.started_at, s.recording_id)
end

function store.segment_number(db_name, blob_key)
  return db.query(db_name, "SELECT segment_number FROM recording_segment WHERE blob_key = ?", blob_key)[1].segment_number
end

function store.segments(db_name, recording_id)
  return db.query(db_name, [[SELECT segment_number, blob_key, wrapped_key, state, chunks, duration_ms FROM recording_segment
    WHERE recording_id = ? ORDER BY segment_number]], recording_id)
end

function store.segment_close(tx, blob_key, chunks, bytes, duration_ms, at)
  return db.run(tx, [[UPDATE recording_segment SET state = 'stored', chunks = ?, bytes = ?, duration_ms = ?, ended_at = ? WHERE blob_key = ?]],
    chunks, bytes, duration_ms, at, blob_key)
end

function store.segment_cut(db_name, blob_key, chunks, bytes, duration_ms, at)
  return db.query(db_name, [[UPDATE recording_segment SET state = 'stored', chunks = ?, bytes = ?, duration_ms = ?, ended_at = ?
    WHERE blob_key = ? AND state = 'open']], chunks, bytes, duration_ms, at, blob_key)
end

--- Recordings of a call that nobody has ended: their worker died, or it could not open them.
function store.recordings_open(db_name, call_id)
  return db.query(db_name, "SELECT id, public_id FROM recording WHERE call_id = ? AND state = 'open'", call_id)
end

function store.recording_close(tx, id, state, duration_ms, bytes, failure, at)
  return db.run(tx, [[UPDATE recording SET state = ?, duration_ms = ?, bytes = ?, failure = ?, ended_at = ? WHERE id = ?]],
    state, duration_ms, bytes, failure, at, id)
end

--- Recordings that began before a time, oldest first; none that is being written.
function store.recordings_before(db_name, before, limit)
  return db.query(db_name, [[SELECT r.id, r.public_id, c.public_id AS call_public_id FROM recording r JOIN `call` c ON c.id = r.call_id
    WHERE r.state IN ('closed', 'stored', 'failed', 'deleted') AND r.started_at < ? ORDER BY r.started_at LIMIT ]] .. tonumber(limit), before)
end

function store.recording_remove(tx, id)
  db.run(tx, "DELETE FROM recording_segment WHERE recording_id = ?", id)
  return db.run(tx, "DELETE FROM recording WHERE id = ?", id).affected == 1
end

-- transcripts ------------------------------------------------------------------------------------------------------------

local insert_utterances = "INSERT INTO transcript (call_id, sequence_number, speaker, text, confidence, `timestamp`, sentiment, began_ms, ended_ms, "
  .. "interrupted, timeline) SELECT ?, n.number, n.speaker, UNHEX(n.text), n.confidence, n.`at`, n.sentiment, n.began_ms, n.ended_ms, n.interrupted, n.timeline FROM "
  .. db.rows("n", { "number INT", "speaker VARCHAR(8)", "text MEDIUMTEXT", "confidence DECIMAL(3,2)", "`at` VARCHAR(32)", "sentiment VARCHAR(8)",
    "began_ms INT", "ended_ms INT", "interrupted TINYINT", "timeline TEXT" })
  .. " ON DUPLICATE KEY UPDATE transcript.call_id = transcript.call_id"

--- Utterances of a call; one whose number is there already changes nothing. Rows as above, text sealed, as hex.
function store.utterances_insert(tx, call_id, rows)
  db.run(tx, insert_utterances, call_id, json.encode(rows))
end

function store.utterances(db_name, call_id, limit)
  return db.query(db_name, [[SELECT sequence_number, speaker, text, confidence, `timestamp` AS `at`, sentiment, began_ms, ended_ms, interrupted, timeline
    FROM transcript WHERE call_id = ? ORDER BY sequence_number LIMIT ]] .. tonumber(limit), call_id)
end

function store.remove_utterances(db_name, before, limit)
  return db.query(db_name, "DELETE FROM transcript WHERE `timestamp` < ? ORDER BY `timestamp` LIMIT " .. tonumber(limit), before).affected
end

--- Summaries say what was said, so they go with the transcripts.
function store.remove_summaries(db_name, before, limit)
  return db.query(db_name, "UPDATE `call` SET summary = NULL, summary_at = NULL WHERE summary_at < ? ORDER BY summary_at LIMIT " .. tonumber(limit), before).affected
end

-- how calls sounded and how long their callers waited -----------------------------------------------------------------------

--- Once for a call: false when it has its row already.
function store.quality_insert(tx, q)
  local result, err = db.attempt(tx, [[INSERT INTO call_quality (call_id, `day`, turns, slow_turns, longest_gap_ms, received, lost, jitter_ms, mos)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)]], q.call_id, q.day, q.turns, q.slow_turns, q.longest_gap_ms, q.received, q.lost, q.jitter_ms, q.mos)
  if result then return true end
  if err.code ~= "exists" then db.fail(err) end
  return false
end

function store.quality_remove(tx, call_id) db.run(tx, "DELETE FROM call_quality WHERE call_id = ?", call_id) end

--- The figures of a part of a day, nil when it has none; its row is this transaction's until its end.
function store.hold_quality_day(tx, day, part)
  -- Nearly always the row is there; a look at one that is not locks nothing (READ COMMITTED).
  local function hold() return db.run(tx, "SELECT figures FROM quality_day WHERE `day` = ? AND part = ? FOR UPDATE", day, part)[1] end
  local row = hold()
  if not row then
    db.run(tx, "INSERT INTO quality_day (`day`, part) VALUES (?, ?) ON DUPLICATE KEY UPDATE `day` = VALUES(`day`)", day, part)
    row = hold()  -- with what somebody else has written meanwhile
  end
  return row.figures
end

function store.set_quality_day(tx, day, part, figures)
  db.run(tx, "UPDATE quality_day SET figures = ? WHERE `day` = ? AND part = ?", figures, day, part)
end

--- day, part, figures: a row for each part; of a replica where there is one.
function store.quality_days(db_name, first, last)
  return db.query(db.lagging(db_name), "SELECT `day`, part, figures FROM quality_day WHERE `day` BETWEEN ? AND ? AND figures IS NOT NULL ORDER BY `day`", first, last)
end

--- Calls of a day with turns, the longest gap first. An index has them in this order.
--- @param gap_ms number|nil   behind the call of this gap and row id
function store.slowest(db_name, day, gap_ms, call_id, limit)
  local text = "SELECT " .. columns .. [[, turns, slow_turns, longest_gap_ms, received, lost, jitter_ms, mos
    FROM call_quality JOIN `call` ON id = call_id WHERE `day` = ? AND ]] .. (gap_ms and "longest_gap_ms <= ? AND (longest_gap_ms < ? OR call_id < ?)"
    or "longest_gap_ms IS NOT NULL") .. " ORDER BY longest_gap_ms DESC, call_id DESC LIMIT " .. tonumber(limit)
  if gap_ms then return db.query(db.lagging(db_name), text, day, gap_ms, gap_ms, call_id) end
  return db.query(db.lagging(db_name), text, day)
end

function store.remove_call_quality(db_name, before, limit)
  return db.query(db_name, "DELETE FROM call_quality WHERE `day` < ? ORDER BY `day` LIMIT " .. tonumber(limit), before).affected
end

function store.remove_quality_days(db_name, before)
  db.query(db_name, "DELETE FROM quality_day WHERE `day` < ?", before)
end

-- what is kept of calls ----------------------------------------------------------------------------------------------------

--- @param target table|string  tx or schema
function store.keeping(target)
  return db.on(target, "SELECT recording_policy, recording_announcement, recording_days, transcript_days, mask_patterns FROM tenant WHERE id = 1")[1]
end

function store.set_keeping(tx, k)
  db.run(tx, [[UPDATE tenant SET recording_policy = ?, recording_announcement = ?, recording_days = ?, transcript_days = ?, mask_patterns = ?
    WHERE id = 1]], k.recording_policy, k.recording_announcement, k.recording_days, k.transcript_days, k.mask_patterns)
end

-- numbers and trunks (platform schema) -----------------------------------------------------------------------------------

function store.number(e164)
  return db.query(db.platform(), [[SELECT n.e164, n.tenant_id, n.trunk_id FROM `number` n WHERE n.e164 = ? AND n.status = 'active']], e164)[1]
end

function store.trunk(id)
  return db.query(db.platform(), [[SELECT id, tenant_id, name, host, port, transport, `match`, max_calls FROM trunk WHERE id = ? AND status = 'active']], id)[1]
end

function store.trunks_of(tenant_id)
  return db.query(db.platform(), [[SELECT id, tenant_id, name, host, port, transport, `match` FROM trunk
    WHERE tenant_id = ? AND status = 'active' ORDER BY id]], tenant_id)
end

function store.trunks_after(id, limit)
  return db.query(db.platform(), [[SELECT id, tenant_id, name, host, port, transport, `match` FROM trunk
    WHERE id > ? AND status = 'active' ORDER BY id LIMIT ]] .. tonumber(limit), id)
end

function store.trunk_insert(tenant_id, t)
  return db.try(db.platform(), [[INSERT INTO trunk (tenant_id, name, host, port, `match`) VALUES (?, ?, ?, ?, ?)]],
    tenant_id, t.name, t.host, t.port, t.match)
end

function store.trunk_by_name(tenant_id, name)
  return db.query(db.platform(), "SELECT id, name, host, port, `match` FROM trunk WHERE tenant_id = ? AND name = ?", tenant_id, name)[1]
end

function store.trunk_change(id, t)
  return db.query(db.platform(), "UPDATE trunk SET host = ?, port = ?, `match` = ?, status = 'active' WHERE id = ?", t.host, t.port, t.match, id)
end

function store.number_insert(e164, tenant_id, trunk_id)
  return db.try(db.platform(), "INSERT INTO `number` (e164, tenant_id, trunk_id) VALUES (?, ?, ?)", e164, tenant_id, trunk_id)
end

function store.number_change(e164, tenant_id, trunk_id)
  return db.query(db.platform(), "UPDATE `number` SET trunk_id = ?, status = 'active' WHERE e164 = ? AND tenant_id = ?", trunk_id, e164, tenant_id)
end

function store.numbers_of(tenant_id)
  return db.query(db.platform(), [[SELECT n.e164, n.label, n.trunk_id, t.name AS trunk, t.`match` FROM `number` n LEFT JOIN trunk t ON t.id = n.trunk_id
    WHERE n.tenant_id = ? AND n.status = 'active' ORDER BY n.id]], tenant_id)
end

function store.first_number(tenant_id)
  return db.query(db.platform(), "SELECT e164 FROM `number` WHERE tenant_id = ? AND status = 'active' ORDER BY id LIMIT 1", tenant_id)[1]
end

--- The lead that a call made.
function store.lead_of(db_name, call_id)
  return db.query(db_name, "SELECT id FROM `lead` WHERE call_id = ? AND deleted_at IS NULL ORDER BY id LIMIT 1", call_id)[1]
end

return store
