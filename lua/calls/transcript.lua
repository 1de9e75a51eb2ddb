-- SPDX-License-Identifier: Apache-2.0
--- What was said in a call, by whom and when: one row for each utterance, with personal values masked before it is written.
---
--- Who talks adds and goes on; a task for each call masks and writes, in the order of what was said. While the database is away
--- utterances wait in memory, at most MOST of a call and ALL of a worker. What ends in digits waits for what the same party says next
--- (HOLD_MS), because a card's number is told in groups; while the caller speaks on, or the text of what he said is on its way, it waits for that, at
--- most AWAIT_MS. Others are written before it, and read in order all the same.
---
--- A row is written by the call's owner only (fence), once by its number: whoever takes the call up may add again what it knows of.
--- At a planned hand-over nothing waits for more digits any longer, and the slot is given when the rows are written, or after half a second
--- (calls.driver): then the row's fence is the successor's. What waits is noted (lib.remains), masked and sealed as it would be written, with
--- the digits that it ends in masked whatever they are: another worker writes it when this one is killed. What may be lost is what the database
--- does not take in that half second.
local audit = require "audit"
local cards = require "calls.cards"
local clock = require "core.clock"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local fences = require "calls.fence"
local json = require "core.json"
local keeping = require "calls.keeping"
local log = require "core.log"
local metrics = require "core.metrics"
local pii = require "lib.pii"
local redact = require "ai.guard.redact"
local remains = require "lib.remains"
local store = require "calls.store"
local task = require "core.task"
local text_of = require "lib.text"
local time = require "lib.time"

local transcript = {}

local KIND = "transcript"
local MOST, ALL = 500, 20000  -- that wait: of a call, of this worker
local TEXT_MAX = 16000        -- bytes
local TIMELINE_MAX = 4000
local HOLD_MS, LOOK_MS = 15000, 200
local AWAIT_MS, TURN_MS = 120000, 5000  -- a text that has come is added when the caller's turn has ended
local AT_ONCE = 50
local SHOWN = 5000            -- utterances of a call that are read at most

local speakers = { caller = "caller", agent = "ai", human = "agent" }
local sentiments = { positive = true, neutral = true, negative = true }

-- call -> { rows = in order of adding, chains = by speaker, before = last text, over }; and how many rows wait
local books, waiting = setmetatable({}, { __mode = "k" }), 0

-- Numbers only, so that no word of the caller can be in it.
local function numbers_of(report)
  local out = {}
  for name, value in pairs(report) do
    if type(value) == "number" and value == value and math.abs(value) < 1e9 then out[name] = value end
    if name == "counts" and type(value) == "table" then out.counts = numbers_of(value) end
  end
  return out
end

local function timeline_of(report)
  if type(report) ~= "table" then return nil end
  local text = json.encode(numbers_of(report))
  return #text <= TIMELINE_MAX and text ~= "{}" and text ~= "[]" and text or nil
end

local function whole_ms(ms) return type(ms) == "number" and math.floor(math.max(0, math.min(ms, 2 ^ 31 - 1))) or nil end

-- masking -------------------------------------------------------------------------------------------------------------------

-- Puts a row behind those that it goes on with, and looks for numbers in them. What was said before as many as one can be in waits no longer.
local function add_to(chain, row)
  chain[#chain + 1] = row
  local looks = {}
  for i, part in ipairs(chain) do looks[i] = part.look end
  looks = redact.newest(looks)
  for _ = 1, #chain - math.max(1, #looks) do table.remove(chain, 1).held = nil end
  while #looks > #chain do table.remove(looks, 1) end
  if #looks > 1 then redact.across(looks) end
end

-- What the party has said before without an end, with this behind it.
local function follow(book, row)
  local chain = book.chains[row.speaker]
  local look = row.look
  if look.idle then return end
  if chain and look.head and clock.mono_ms() < chain.ends then
    add_to(chain, row)
  else
    chain = nil
  end
  -- One sign alone, behind other words, begins no number: "the second one".
  local open = look.tail and redact.has_digit(look.tail) and (look.whole or #look.tail > 1)
  if not open then
    for _, part in ipairs(book.chains[row.speaker] or {}) do part.held = nil end
    book.chains[row.speaker] = nil
  elseif chain and look.whole then
    chain.ends = clock.mono_ms() + HOLD_MS
  else
    for _, part in ipairs(book.chains[row.speaker] or {}) do part.held = nil end
    book.chains[row.speaker] = { row, ends = clock.mono_ms() + HOLD_MS, began_ms = clock.mono_ms() }
  end
  row.held = open or nil
end

-- Those that nothing followed in time, or that can wait no longer.
local function let_go(call, book)
  local open, now = book.chains.caller, clock.mono_ms()
  if open and cards.is_awaited(call) and now - open.began_ms < AWAIT_MS then open.ends = math.max(open.ends, now + TURN_MS) end
  for speaker, chain in pairs(book.chains) do
    if book.over or clock.mono_ms() >= chain.ends then
      for _, part in ipairs(chain) do part.held = nil end
      book.chains[speaker] = nil
    end
  end
end

local function look_at(call, book, settings)
  for _, row in ipairs(book.rows) do
    if not row.look then
      row.look = redact.look(row.text, { forms = settings.masks, before = book.before })
      book.before = row.text
      row.text = nil
      follow(book, row)
    end
  end
  let_go(call, book)
end

-- writing -------------------------------------------------------------------------------------------------------------------

local function take_ready(book)
  local ready = {}
  for _, row in ipairs(book.rows) do
    if not row.held and row.look and #ready < AT_ONCE then ready[#ready + 1] = row end
  end
  return ready
end

local function forget(book, rows)
  local gone, left = {}, {}
  for _, row in ipairs(rows) do
    gone[row] = true
    remains.settled(row.note)
  end
  for _, row in ipairs(book.rows) do
    if not gone[row] then left[#left + 1] = row end
  end
  book.rows, waiting = left, waiting - #rows
end

local function values_of(tenant, row, text)
  return { row.n, row.speaker, crypto.hex(pii.seal(tenant, "transcript.text", text)), row.confidence or json.null, row.at, row.sentiment or json.null,
    row.began_ms or json.null, row.ended_ms or json.null, row.interrupted and 1 or 0, row.timeline or json.null }
end

local function sealed(tenant, row)
  local text, masked = redact.text(row.look)
  if masked then metrics.count("transcript_masked_total", nil, 1, "utterances with personal values that were masked") end
  return values_of(tenant, row, text)
end

-- The text as it may be in a file before it is known what follows: what it ends in may be the beginning of a number.
local function careful(row)
  local look = row.look
  local spans = {}
  for i, span in ipairs(look.spans) do spans[i] = span end
  if row.held then spans[#spans + 1] = { look.tail[1].first, look.tail[#look.tail].last, "NUMBER" } end
  return (redact.text{ text = look.text, spans = spans })
end

local function note(call, book)
  for _, row in ipairs(book.rows) do
    if row.look and not row.note then
      row.note = remains.note(KIND, call.tenant, { call = call.row_id, row = values_of(call.tenant, row, careful(row)) }) or {}
      fault.point("transcript.noted")
    end
  end
end

-- The call's row may be another's by now; what was said is as true as it was, and a line that is there stays. Nobody else may have told yet that the
-- tenant has something that is to go one day.
remains.define(KIND, function(tenant, kept)
  keeping.expect(tenant)
  db.transaction(tenant.db, function(tx)
    if store.hold_any(tx, kept.call) then store.utterances_insert(tx, kept.call, { kept.row }) end
  end)
end)

-- true: written; false: another worker owns the call; nil: not now.
local function write(call, rows)
  local values = {}
  for i, row in ipairs(rows) do values[i] = sealed(call.tenant, row) end
  local ok, mine = pcall(db.transaction, call.tenant.db, function(tx)
    if not store.hold(tx, call.row_id, call.fence) then return false end
    store.utterances_insert(tx, call.row_id, values)
    fault.point("transcript.inserted")
    return true
  end)
  if ok then
    fault.point("transcript.written")
    return mine
  end
  local refused = not (db.is_failure(mine) and mine.code ~= "invalid")
  if refused and #rows == 1 then
    log.error("transcript.not_written", { call = call.id, text = tostring(mine) })
    metrics.count("transcript_lost_total", { why = "refused" }, 1, "utterances that could not be written")
    return true  -- it would be refused again
  end
  if refused then  -- one of them: the others are not lost for it
    for _, row in ipairs(rows) do
      local done = write(call, { row })
      if not done then return done end
    end
    return true
  end
  return nil, mine
end

local function lose(call, book)
  fences.refused("transcript", call.slot, call.id, call.fence)
  metrics.count("transcript_lost_total", { why = "fence" }, #book.rows, "utterances that could not be written")
  forget(book, book.rows)
end

local function run(call, book)
  local pause, told = 200, false
  while #book.rows > 0 do
    local ok, settings = pcall(keeping.of, call.tenant)  -- nothing is written before it is known what must be masked
    local done, err = nil, settings
    if ok then
      look_at(call, book, settings)
      note(call, book)
      local ready = take_ready(book)
      if #ready == 0 then
        done = true
        task.sleep(LOOK_MS)
      else
        done, err = write(call, ready)
        if done then
          forget(book, ready)
          audit.live(call.tenant, { name = "call.transcript", call = call.id, n = ready[#ready].n })
          keeping.expect(call.tenant)
        end
      end
    end
    if done == false then
      lose(call, book)
    elseif done then
      pause, told = 200, false
    else
      if not told then log.warn("transcript.waits", { call = call.id, text = tostring(err) }) end
      told = true
      task.sleep(pause)
      pause = math.min(pause * 2, 5000)
    end
  end
end

local function start(call, book)
  if book.running then return end
  book.running = true
  task.spawn(function()
    task.sleep(0)  -- what is said in the same moment goes along
    local ok, problem = pcall(run, call, book)
    book.running = nil
    if not ok then
      log.error("transcript.broke", { call = call.id, tenant = call.tenant.slug, text = tostring(problem) })
      forget(book, book.rows)
    end
  end)
end

--- Adds what was said. Never fails, never waits.
--- @param given table  n: its number in the call, from 1; party: "caller", "agent" (ours, the AI) or "human"; text; heard: what the caller
---   heard of it where that is not all (his text ends there; "" and it is not kept); began_ms, ended_ms: in the call; confidence: 0 to 1;
---   sentiment: "positive", "neutral", "negative"; timeline: as voice.timeline reports it
function transcript.add(call, given)
  local text = type(given.heard) == "string" and given.heard or given.text
  if not text:find("%S") then return end
  local book = books[call]
  if not book then
    book = { rows = {}, chains = {}, over = call.removed or call.frozen }
    books[call] = book
  end
  if #book.rows >= MOST or waiting >= ALL then
    metrics.count("transcript_lost_total", { why = "full" }, 1, "utterances that could not be written")
    if not book.full then log.error("transcript.full", { call = call.id }) end
    book.full = true
    return
  end
  waiting = waiting + 1
  local confidence = tonumber(given.confidence)
  table.insert(book.rows, {
    n = given.n, speaker = assert(speakers[given.party], "a party that is not known"), text = text_of.clean(redact.cut(text, TEXT_MAX), TEXT_MAX),
    interrupted = type(given.heard) == "string" and given.heard ~= given.text, began_ms = whole_ms(given.began_ms), ended_ms = whole_ms(given.ended_ms),
    confidence = confidence and confidence >= 0 and confidence <= 1 and ("%.2f"):format(confidence) or nil,
    sentiment = sentiments[given.sentiment] and given.sentiment or nil, timeline = timeline_of(given.timeline), at = time.sql(clock.wall_us()),
  })
  start(call, book)
end

--- The call has ended, or is given away: nothing more is waited for.
function transcript.finish(call)
  if books[call] then books[call].over = true end
end

local function any_left(calls)
  for _, call in pairs(calls) do
    if books[call] and #books[call].rows > 0 then return true end
  end
  return false
end

--- Waits until what was added of these calls is written, at most so long: for who gives them away.
function transcript.settle_calls(calls, ms)
  local ends = clock.mono_ms() + ms
  while any_left(calls) and clock.mono_ms() < ends do task.sleep(10) end
end

--- Waits until what was added is written, at most so long: for who ends. Returns whether nothing is left.
function transcript.settle(ms)
  local ends = clock.mono_ms() + ms
  for _, book in pairs(books) do book.over = true end
  while waiting > 0 and clock.mono_ms() < ends do task.sleep(10) end
  return waiting == 0
end

--- How many utterances wait in this worker.
function transcript.waiting() return waiting end

local function shown(tenant, row)
  return {
    n = row.sequence_number, speaker = row.speaker, text = pii.open(tenant, "transcript.text", row.text), beganMs = row.began_ms, endedMs = row.ended_ms,
    at = time.rfc3339(row.at), interrupted = row.interrupted == 1, sentiment = row.sentiment, confidence = tonumber(row.confidence),
    timeline = row.timeline and json.decode(row.timeline) or nil,
  }
end

--- What was said in a call, in its order: list of { n, speaker = "caller" | "ai" | "agent", text, beganMs, endedMs, at, interrupted, sentiment,
--- confidence, timeline }; nil when there is no such call.
--- @param call_id string|number  public id, or the row's
function transcript.of(tenant, call_id)
  local id = call_id
  if type(call_id) == "string" then
    local row = store.by_public_id(tenant.db, call_id)
    if not row then return nil end
    id = row.id
  end
  local list = json.array{}
  for i, row in ipairs(store.utterances(tenant.db, id, SHOWN)) do list[i] = shown(tenant, row) end
  return list
end

local names = { caller = "Caller", ai = "AI", agent = "Agent" }

--- The same as lines of text: "[0:12] Caller: ...".
function transcript.text(utterances)
  local lines = {}
  for i, one in ipairs(utterances) do
    local seconds = math.floor((one.beganMs or 0) / 1000)
    lines[i] = ("[%d:%02d] %s: %s%s"):format(math.floor(seconds / 60), seconds % 60, names[one.speaker], one.text:gsub("%s+", " "), one.interrupted and " [interrupted]" or "")
  end
  return table.concat(lines, "\n") .. (#lines > 0 and "\n" or "")
end

return transcript
