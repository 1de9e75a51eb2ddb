-- SPDX-License-Identifier: Apache-2.0
--- Recordings: a list of segments. Each time a worker begins to write it opens a new segment with a random key of its own,
--- wrapped by the tenant's; nothing is appended to another's segment after a crash.
---
--- A segment is a row of chunks, each: 4 bytes little-endian length, then AES-256-GCM of interleaved 16 bit PCM (left, right; 8 kHz)
--- with nonce = chunk number, AAD = recording, segment, chunk, last-flag. A segment without a last chunk was cut short.
---
--- What is written stays: no chunk is written twice under one key. So that a secret which is noticed late is in no file, the last second is
--- kept back in memory, and more while keys are asked for or where it is not known yet what was said (recordings.hold). A worker that is killed
--- loses what it kept back.
local audit = require "audit"
local bit = require "bit"
local blob = require "core.blob"
local clock = require "core.clock"
local crypto = require "core.crypto"
local db = require "lib.db"
local fault = require "core.fault"
local keeping = require "calls.keeping"
local log = require "core.log"
local media = require "core.media"
local metrics = require "core.metrics"
local mp3 = require "core.mp3"
local store = require "calls.store"
local task = require "core.task"
local time = require "lib.time"

local recordings = {}

recordings.HELD_BYTES = 256 * 1024 * 1024  -- that a worker keeps back of all its recordings together; above that the oldest is decided on

local MARGIN = 2000  -- samples, a quarter of a second: sound is on its way for some time, and clocks differ a little
local MP3_KBPS = 32
local BUSY_TRIES, BUSY_MS = 600, 50
local BEHIND = 8000          -- samples that are always kept back: a key is told of when it is let go, a voice when it has begun
local KEYS_BEHIND = 8000 * 5 -- the same while keys are asked for (call.keys_asked): some press the first one long
local HELD_MOST = 8000 * 90  -- samples that are kept back at most; what would be more is silence where it may be a secret

local held = { bytes = 0, by = {} }  -- what this worker keeps back, and the recordings that do

local Recording = {}
Recording.__index = Recording

local function u32(n)
  return string.char(bit.band(n, 255), bit.band(bit.rshift(n, 8), 255), bit.band(bit.rshift(n, 16), 255), bit.rshift(n, 24))
end

local function nonce(chunk) return ("\0"):rep(8) .. u32(chunk) end

local function aad(public_id, segment, chunk, last)
  return ("%s/%d/%d/%s"):format(public_id, segment, chunk, last and "last" or "more")
end

local function wrapping_key(tenant) return crypto.derive(tenant.key, "recording-keys") end

-- How long the chunk at a position of a blob is as it is said there; nil at the end.
local function said_at(key, at)
  local length = blob.part(key, at, 4)
  if not length or #length < 4 then return nil end
  local a, b, c, d = length:byte(1, 4)
  return a + b * 256 + c * 65536 + d * 16777216
end

-- What a segment holds as far as it was written: milliseconds, chunks, bytes. For segments that nobody has closed. An hour of sound is a hundred
-- megabytes, of which only lengths are read, and few of them: chunks are alike but where sound was lost, so where the same length stands so many
-- chunks further on, all between have it, too.
local function measure(segment)
  local key, seal_size = segment.blob_key, #crypto.seal(("\0"):rep(32), "", "", nonce(0))
  local at, chunks, pcm = 0, 0, 0
  local size = said_at(key, at)
  local function skip(count)
    at, chunks, pcm = at + count * (size + 4), chunks + count, pcm + count * (size - seal_size)
  end
  while size and size >= seal_size do
    local function is_alike(count) return said_at(key, at + count * (size + 4)) == size end
    local count = 1
    while is_alike(count) do
      skip(count)
      count = count * 2
    end
    while count > 1 do
      count = count / 2
      if is_alike(count) then skip(count) end
    end
    local last_byte = blob.part(key, at + size + 3, 1)
    if not last_byte or last_byte == "" then break end  -- half of it was written
    skip(1)
    size = said_at(key, at)
  end
  return math.floor(pcm / 32), chunks, at
end

-- Milliseconds of all segments; those whose worker died are closed, but not the one that is being written.
local function close_cut(db_name, recording_id, now, but)
  local total = 0
  for _, segment in ipairs(store.segments(db_name, recording_id)) do
    local ms = segment.duration_ms
    if segment.state == "open" and segment.blob_key ~= but then
      local chunks, bytes
      ms, chunks, bytes = measure(segment)
      store.segment_cut(db_name, segment.blob_key, chunks, bytes, ms, now)
      fault.point("recording.segment_cut")
    end
    total = total + (ms or 0)
  end
  return total
end

--- Begins to record, or goes on with what a predecessor began under the same key. What it has ended is not begun again: then the
--- recording comes back closed, as it is.
--- @param given table  kind, key (effect key), left (leg), right (leg or nil: what the left party hears)
function recordings.open(call, given)
  local tenant = call.tenant
  local public_id = "rc_" .. crypto.hex(crypto.random(10))
  local now = time.now()
  local segment_key = crypto.random(32)
  local row, blob_key, segment
  local before = 0
  local ok, problem = db.patiently(function()
    audit.transaction(tenant, function(tx)
      local inserted, err = store.recording_insert(tx, { public_id = public_id, call_id = call.row_id, kind = given.kind, effect_key = given.key, started_at = now })
      if inserted then
        row = { id = inserted.insert_id, public_id = public_id }
      elseif err.code == "exists" then
        row = store.recording_by_effect(tx, given.key)
        if row.state ~= "open" then return true end
      else
        db.fail(err)
      end
      blob_key = ("recordings/%d/%s/%s"):format(tenant.id, row.public_id, crypto.hex(crypto.random(6)))
      fault.point("recording.row_inserted")
      store.segment_insert(tx, { recording_id = row.id, blob_key = blob_key, started_at = now,
        wrapped_key = crypto.seal(wrapping_key(tenant), segment_key, blob_key) })
      return true
    end)
    if row.state and row.state ~= "open" then return end
    fault.point("recording.opened")
    if row.state then before = close_cut(tenant.db, row.id, now, blob_key) / 1000 end
    segment = store.segment_number(tenant.db, blob_key)
  end, function() return call.frozen or call.gone_why end)
  if not ok then
    if call.frozen or call.gone_why then
      return nil, { code = call.frozen and "frozen" or "gone", text = "nobody waits for the recording any more" }
    end
    log.error("recording.not_opened", { call = call.id, text = tostring(problem) })
    return nil, { code = "failed", text = "the recording could not be opened" }
  end
  if row.state and row.state ~= "open" then
    return setmetatable({ call = call, id = row.id, public_id = row.public_id, closed = true, samples = 0, seconds_before = (row.duration_ms or 0) / 1000 }, Recording)
  end
  local self = setmetatable({
    call = call, id = row.id, public_id = row.public_id, blob_key = blob_key, key = segment_key, chunk = 0, samples = 0, bytes = 0,
    segment = segment, seconds_before = before, back = {}, received = 0, left_out = 0, left_out_to = 0,
  }, Recording)
  -- Meanwhile the call may have ended, or its recorders may have been closed for who takes it up: nobody would close this one.
  if call.frozen or call.gone_why or given.left ~= call.leg then
    return nil, { code = call.frozen and "frozen" or "gone", text = "nobody waits for the recording any more" }
  end
  local recorder, err = media.recorder{
    left = given.left, right = given.right or given.left, left_source = "says", right_source = given.right and "says" or "hears",
    on_audio = function(pcm, lost) self:write(pcm, lost) end,
  }
  if not recorder then return nil, err end
  self.recorder, self.opened_ms, self.silences = recorder, clock.mono_ms(), {}
  call.recorders[self] = true
  if call.silences and next(call.silences) then self:begin_silence() end
  keeping.expect(tenant)
  return self
end

-- How many samples of each channel had been heard at a time (clock.mono_ms): the media thread writes a frame every 20 ms.
local function position(self, ms) return math.floor((ms - self.opened_ms) * 8) end

function Recording:begin_silence() table.insert(self.silences, { from = position(self, clock.mono_ms()) - MARGIN, open = true }) end

function Recording:end_silence()
  for _, one in ipairs(self.silences) do
    if one.open then one.to, one.open = position(self, clock.mono_ms()) + MARGIN, nil end
  end
end

-- Nobody knew whether it was a secret: silence between two samples. How much that was is told when the segment ends (recording.left_out).
-- @param whose "caller"|nil  of him only; of all
local function leave_out(self, from, to, whose)
  table.insert(self.silences, 1, { from = from, to = to, whose = whose })
  local ends = to < math.huge and to or self.received
  self.left_out = self.left_out + math.max(0, ends - math.max(from, self.left_out_to, self.samples))
  self.left_out_to = math.max(self.left_out_to, ends)
end

-- Silence between two times, as far as it is not written yet.
local function silence_between(self, from_ms, to_ms)
  table.insert(self.silences, 1, { from = position(self, from_ms) - MARGIN, to = position(self, to_ms) + MARGIN })
end

--- What is said from now on is silence in the call's recordings, so that what comes behind it stays in its place. Several may want it, each by
--- its own name; it lasts until none does.
--- @param since_ms number|nil  clock.mono_ms: and what was said from then on, which is held
function recordings.pause(call, why, since_ms)
  call.silences = call.silences or {}
  local silent, now = next(call.silences), clock.mono_ms()
  call.silences[why] = true
  for recorder in pairs(call.recorders) do
    if since_ms then silence_between(recorder, since_ms, now) end
    if not silent then recorder:begin_silence() end
  end
end

--- One of them does not want it any longer.
function recordings.resume(call, why)
  if not (call.silences and call.silences[why]) then return end
  call.silences[why] = nil
  if next(call.silences) then return end
  for recorder in pairs(call.recorders) do recorder:end_silence() end
end

--- What was said between two times (clock.mono_ms), and is held, is silence.
function recordings.silence(call, from_ms, to_ms)
  for recorder in pairs(call.recorders) do silence_between(recorder, from_ms, to_ms) end
end

--- What was said between two times (clock.mono_ms), and is held, will not be known: it is silence, and the recording says so.
--- @param whose "caller"|nil  of him only: what he heard meanwhile is kept; nil: of all
function recordings.leave_out(call, from_ms, to_ms, whose)
  if not next(call.recorders) then return end
  for recorder in pairs(call.recorders) do leave_out(recorder, position(recorder, from_ms) - MARGIN, position(recorder, to_ms) + MARGIN, whose) end
end

--- What was said since a time is not written before it is known what it is: recordings.pause with that time, or recordings.free. Several may
--- hold, each by its own name.
--- @param is_doubtful fun(): boolean  asked when the recording ends before that, or too much is held: is it to be silent from that time on?
--- @param whose "caller"|nil  of him only; nil: of all
function recordings.hold(call, why, since_ms, is_doubtful, whose)
  call.holds = call.holds or {}
  call.holds[why] = { since_ms = since_ms, is_doubtful = is_doubtful, whose = whose }
end

--- It is known, as far as this one asks.
function recordings.free(call, why)
  if call.holds then call.holds[why] = nil end
end

-- Without the caller, who is the left one (recordings.open).
local function without_caller(pcm) return (pcm:gsub("..(..)", "\0\0%1")) end

-- A chunk with what is not to be heard taken out.
local function silenced(self, pcm)
  local first, count = self.samples, #pcm / 4
  for i = #self.silences, 1, -1 do
    local one = self.silences[i]
    local from, to = math.max(first, one.from), math.min(first + count, one.to or math.huge)
    if to > from then
      local between = one.whose and without_caller(pcm:sub((from - first) * 4 + 1, (to - first) * 4)) or ("\0"):rep((to - from) * 4)
      pcm = pcm:sub(1, (from - first) * 4) .. between .. pcm:sub((to - first) * 4 + 1)
    end
    if one.to and one.to <= first then table.remove(self.silences, i) end
  end
  return pcm
end

local function keep_back(self, pcm)
  table.insert(self.back, pcm)
  held.bytes, held.by[self] = held.bytes + #pcm, true
end

local function take_back(self)
  local pcm = table.remove(self.back, 1)
  held.bytes = held.bytes - #pcm
  if not self.back[1] then held.by[self] = nil end
  return pcm
end

local function drop_back(self)
  while self.back[1] do take_back(self) end
end

function Recording:append(pcm, last)
  local sealed = crypto.seal(self.key, pcm, aad(self.public_id, self.segment, self.chunk, last), nonce(self.chunk))
  self.chunk = self.chunk + 1
  self.bytes = self.bytes + #sealed + 4
  local ok, err = blob.append(self.blob_key, u32(#sealed) .. sealed, last)
  fault.point(last and "recording.last_chunk_written" or "recording.chunk_written")
  if not ok and not self.paused then
    -- A full disk pauses recording, never the call.
    self.paused = err.text
    drop_back(self)
    metrics.count("recordings_paused_total", nil, 1, "recordings that could not be written")
    log.error("recording.paused", { call = self.call.id, recording = self.public_id, text = err.text })
  end
end

-- Up to which sample it may be written.
local function written_to(self)
  local limit = self.received - (self.call.keys_asked and KEYS_BEHIND or BEHIND)
  for _, hold in pairs(self.call.holds or {}) do limit = math.min(limit, position(self, hold.since_ms) - MARGIN) end
  return limit
end

-- Writes what was kept back, as far as it lies before a sample. None waits for the one before: what is appended to a file keeps its order.
local function let_out(self, limit)
  while self.back[1] and self.samples + #self.back[1] / 4 <= limit and not self.paused do
    local pcm = take_back(self)
    if #self.silences > 0 then pcm = silenced(self, pcm) end
    self.samples = self.samples + #pcm / 4
    task.spawn(self.append, self, pcm, false)
  end
end

-- What is held and may be a secret, up to a sample.
local function silence_doubtful(self, to)
  for _, hold in pairs(self.call.holds or {}) do
    local from = position(self, hold.since_ms) - MARGIN
    if from < to and hold.is_doubtful() then leave_out(self, from, to, hold.whose) end
  end
end

-- The recording that keeps back the most has the oldest; half of that is decided now, so that few are looked through often.
local function let_oldest_out()
  local oldest, most = nil, 0
  for one in pairs(held.by) do
    if one.received - one.samples > most then oldest, most = one, one.received - one.samples end
  end
  local to = oldest.samples + math.max(math.ceil(most / 2), #oldest.back[1] / 4)
  metrics.count("recordings_held_too_much_total", nil, 1, "times that held sound was decided on early, for the worker kept back too much of all its calls")
  log.warn("recording.held_too_much", { call = oldest.call.id, recording = oldest.public_id, ms = math.floor((to - oldest.samples) / 8) })
  silence_doubtful(oldest, to)
  let_out(oldest, to)
end

function Recording:write(pcm, lost)
  if lost > 0 then log.warn("recording.lost", { recording = self.public_id, frames = lost }) end
  if self.paused then return end
  keep_back(self, pcm)
  self.received = self.received + #pcm / 4
  local most, limit = self.received - HELD_MOST, written_to(self)
  if most > limit then silence_doubtful(self, most) end
  let_out(self, math.max(most, limit))
  while held.bytes > recordings.HELD_BYTES do let_oldest_out() end
end

-- It ends: what nobody knows yet is decided now.
local function let_all_out(self)
  silence_doubtful(self, math.huge)
  let_out(self, math.huge)
  drop_back(self)
end

function Recording:seconds()
  return math.floor((self.seconds_before + self.samples / 8000) * 10 + 0.5) / 10
end

--- Ends it. reason nil: the call moves on to another worker, only this segment ends.
function Recording:close(reason)
  if self.closed then return end
  self.closed = true
  self.call.recordings_closing = (self.call.recordings_closing or 0) + 1
  self.recorder:close(true)
  let_all_out(self)
  if not self.paused then self:append("", true) end
  self.call.recorders[self] = nil
  local tenant, now = self.call.tenant, time.now()
  if self.left_out > 0 then log.warn("recording.left_out", { call = self.call.id, recording = self.public_id, ms = math.floor(self.left_out / 8) }) end
  local ok, err = pcall(audit.transaction, tenant, function(tx)
    store.segment_close(tx, self.blob_key, self.chunk, self.bytes, math.floor(self.samples / 8), now)
    if self.left_out > 0 then
      audit.event(tx, { type = "recording.left_out", subject = self.public_id, trace = self.call.trace,
        data = { call = self.call.id, milliseconds = math.floor(self.left_out / 8) } })
    end
    fault.point("recording.segment_closed")
    if reason then
      local duration_ms = math.floor(self:seconds() * 1000)
      store.recording_close(tx, self.id, self.paused and "failed" or "stored", duration_ms, self.bytes, self.paused, now)
      fault.point("recording.row_closed")
      audit.event(tx, { type = "recording.stored", subject = self.public_id, trace = self.call.trace,
        data = { call = self.call.id, milliseconds = duration_ms, reason = reason } })
    end
    return true
  end)
  fault.point("recording.closed")
  if not ok then log.warn("recording.not_closed", { recording = self.public_id, text = tostring(err) }) end
  self.call.recordings_closing = self.call.recordings_closing - 1
end

--- When a call ends: what a worker left open by dying, or could not close, is closed with what is there of it.
function recordings.finish(call)
  local patience = 250
  while (call.recordings_closing or 0) > 0 and patience > 0 do
    task.sleep(20)
    patience = patience - 1
  end
  local ok, err = pcall(function()
    for _, row in ipairs(store.recordings_open(call.tenant.db, call.row_id)) do
      local now = time.now()
      local duration_ms = close_cut(call.tenant.db, row.id, now)
      fault.point("recording.cut_measured")
      audit.transaction(call.tenant, function(tx)
        store.recording_close(tx, row.id, "stored", duration_ms, 0, nil, now)
        audit.event(tx, { type = "recording.stored", subject = row.public_id, trace = call.trace,
          data = { call = call.id, milliseconds = duration_ms, reason = "hangup" } })
        return true
      end)
    end
  end)
  if not ok then log.warn("recording.not_closed", { call = call.id, text = tostring(err) }) end
end

--- The call is another worker's now: stop without a word in the database.
function Recording:abandon()
  if self.closed then return end
  self.closed = true
  self.call.recorders[self] = nil
  self.recorder:close(false)
  drop_back(self)
end

local function damaged(text) return nil, { code = "denied", text = text } end

local PART = 256 * 1024         -- bytes of a recording that are in memory at a time: who listens may be slow for hours
local CHUNK_MOST = 1024 * 1024  -- bytes of a chunk; what says it is longer is none

-- A function that takes the next n bytes of a blob, fewer at its end, or nil where they cannot be read.
local function bytes_of(key)
  local part, at, from = "", 1, 0
  return function(n)
    while #part - at + 1 < n do
      local more = blob.part(key, from, PART)
      if not more then return nil end
      if more == "" then break end
      part, at, from = part:sub(at) .. more, 1, from + #more
    end
    at = at + n
    return part:sub(at - n, at - 1)
  end
end

--- Gives the chunks of one segment, PCM each, to a function, which may wait and ends it by returning false: true, "stopped" where it did, or
-- nil, err. What does not open, or is less than the row says, is damage.
local function read_segment(tenant, public_id, segment, give)
  local written = segment.state ~= "open" and segment.chunks or 0
  local take = bytes_of(segment.blob_key)
  local length = take(4)
  if not length then
    if written > 0 then return damaged("a part of the recording is missing") end
    return true
  end
  local key = crypto.open(wrapping_key(tenant), segment.wrapped_key, segment.blob_key)
  if not key then return damaged("its key is not one of this tenant, or not of this recording") end
  local chunk = 0
  while #length == 4 do
    local a, b, c, d = length:byte(1, 4)
    local size = a + b * 256 + c * 65536 + d * 16777216
    local sealed = take(math.min(size, CHUNK_MOST))
    if not sealed then return damaged("a part of the recording cannot be read") end
    if #sealed < size then break end  -- cut short by a crash
    local pcm = crypto.open(key, sealed, aad(public_id, segment.segment_number, chunk, false))
    local last = not pcm
    if last and not crypto.open(key, sealed, aad(public_id, segment.segment_number, chunk, true)) then
      if segment.cut then break end  -- chunks that were on their way when one found no room
      return damaged("a chunk of the recording is damaged")
    end
    if pcm and give(pcm) == false then return "stopped" end
    chunk = chunk + 1
    if last then break end
    length = take(4)
    if not length then return damaged("a part of the recording cannot be read") end
  end
  if chunk < written then return damaged("the end of the recording is missing") end
  return true
end

-- The same of a whole recording.
local function read(tenant, row, give)
  for _, segment in ipairs(store.segments(tenant.db, row.id)) do
    if row.state == "failed" then segment.chunks, segment.cut = nil, true end  -- the disk was full: what is there is shown
    local ok, err = read_segment(tenant, row.public_id, segment, give)
    if ok ~= true then return ok, err end
  end
  return true
end

-- Turns of the loop are given to others between so many chunks.
local CHUNKS_AT_ONCE = 20

local function in_turns(give)
  local count = 0
  return function(pcm)
    count = count + 1
    if count % CHUNKS_AT_ONCE == 0 then task.sleep(0) end
    return give(pcm)
  end
end

--- A whole recording as WAV (two channels, 8 kHz, 16 bit): a function that writes it, piece by piece, to one that takes bytes and says whether
--- it wants more; or nil, err. All of it was opened before, so what is written is whole: true, or nil, err.
function recordings.wav(tenant, row)
  local size = 0
  local ok, err = read(tenant, row, in_turns(function(pcm) size = size + #pcm end))
  if not ok then return nil, err end
  return function(write)
    local left = size  -- what is recorded meanwhile is not in it
    if not write("RIFF" .. u32(36 + size) .. "WAVEfmt " .. u32(16) .. "\1\0\2\0" .. u32(8000) .. u32(32000) .. "\4\0\16\0data" .. u32(size)) then return true end
    local whole, broke = read(tenant, row, in_turns(function(pcm)
      pcm = pcm:sub(1, left)
      left = left - #pcm
      return write(pcm) and left > 0 or false
    end))
    if not whole then return nil, broke end
    if whole ~= "stopped" and left > 0 then return damaged("a part of the recording is missing") end
    return true
  end
end

-- A piece as MP3; the pool may be busy with others' for a moment.
local function encoded(encoder, what, ...)
  for _ = 1, BUSY_TRIES do
    local bytes, err = encoder[what](encoder, ...)
    if bytes or err.code ~= "busy" then return bytes, err end
    task.sleep(BUSY_MS)
  end
  return nil, { code = "busy", text = "others' sound is being packed" }
end

--- A whole recording as MP3 (two channels), as recordings.wav gives it.
function recordings.mp3(tenant, row)
  local ok, err = read(tenant, row, in_turns(function() end))
  if not ok then return nil, err end
  return function(write)
    local encoder = assert(mp3.encoder(8000, MP3_KBPS))
    local pieces, failure, wanted = {}, nil, true
    local function encode(what)
      local bytes, why = encoded(encoder, what, what == "feed" and table.concat(pieces) or nil)
      pieces = {}
      if not bytes then failure = why end
      if bytes and bytes ~= "" then wanted = write(bytes) and true or false end
      return bytes ~= nil and wanted
    end
    local whole, broke = read(tenant, row, in_turns(function(pcm)
      pieces[#pieces + 1] = pcm
      if #pieces == CHUNKS_AT_ONCE then return encode("feed") end
    end))
    if not whole then return nil, broke end
    if not failure and wanted and #pieces > 0 then encode("feed") end
    if not failure and wanted then encode("finish") end
    if failure then return nil, failure end
    return true
  end
end

return recordings
