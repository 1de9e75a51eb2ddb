-- SPDX-License-Identifier: Apache-2.0
--- What a tenant wants kept of its calls: { recording = "flow" | "off" | "on" | "announce", announcement, recordingDays, transcriptDays,
--- masks = list of { name, form } }. What is too old goes: the job "calls.retention" stands for a tenant from the first thing kept on. Prompts that were
--- rendered (speech.renderings) may hold what a script said to one caller: they go when transcripts go, or after PROMPT_DAYS, and all of them when
--- the tenant is closed, for they can be rendered again.
---   flow       what scripts ask for is recorded: messages, transfers
---   off        no call is; a message that a caller leaves is kept all the same, for he has been asked for it
---   on         each call whole, from the moment at which it is up and has sound
---   announce   the same, once the announcement has been heard
local audit = require "audit"
local blob = require "core.blob"
local clock = require "core.clock"
local jobs = require "lib.jobs"
local json = require "core.json"
local log = require "core.log"
local promise = require "lib.promise"
local quality = require "calls.quality"
local redact = require "ai.guard.redact"
local redis = require "core.redis"
local renderings = require "speech.renderings"
local rediskey = require "lib.rediskey"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"
local timer = require "core.timer"

local keeping = {}

local KIND = "calls.retention"
local EVERY_S = 3600
local UTTERANCES, RECORDINGS = 500, 20  -- at once
local PROMPT_DAYS = 30
local KNOWN_MS = 60000
keeping.MAX_DAYS = 36500
keeping.ANNOUNCEMENT = "This call is recorded."

local known = {}     -- tenant id -> { settings, until_ms }
local listening
local expected = {}  -- tenant id -> true: the job is put

local function read(tenant, tx)
  local row = store.keeping(tx or tenant.db)
  return { recording = row.recording_policy, announcement = row.recording_announcement, recordingDays = row.recording_days,
    transcriptDays = row.transcript_days, masks = json.array(row.mask_patterns and json.decode(row.mask_patterns) or {}) }
end

--- What holds for a tenant, from the database. keeping.read(tenant, tx): asked in that transaction.
keeping.read = read

--- The same, at most a minute old, or older where the database is away. May wait; raises when it is away and nothing is known.
function keeping.of(tenant)
  local kept = known[tenant.id]
  if kept and kept.until_ms > clock.mono_ms() then return kept.settings end
  local ok, settings = pcall(read, tenant)
  if not ok then
    if kept then return kept.settings end
    error(settings, 0)
  end
  known[tenant.id] = { settings = settings, until_ms = clock.mono_ms() + KNOWN_MS }
  return settings
end

--- The same, or nil when nothing is known in so many ms: for whom a caller waits.
function keeping.soon(tenant, ms)
  local kept = known[tenant.id]
  if kept and kept.until_ms > clock.mono_ms() then return kept.settings end
  local answer = promise.new()
  task.spawn(function()
    local ok, settings = pcall(keeping.of, tenant)
    answer:give(ok and settings or nil)
  end)
  local limit = timer.after(ms, function() answer:give(kept and kept.settings) end)
  local settings = answer:wait()
  limit:cancel()
  return settings
end

--- What is wrong with settings that fit their schema: pointer, why.
function keeping.fault(settings)
  local which, why = redact.forms_fault(settings.masks or {})
  if which then return ("/masks/%d"):format(which - 1), why end
end

--- Sets all of it, in a transaction. keeping.moved() is owed after the commit.
function keeping.set(tx, settings)
  store.set_keeping(tx, { recording_policy = settings.recording, recording_announcement = settings.announcement, recording_days = settings.recordingDays,
    transcript_days = settings.transcriptDays, mask_patterns = #settings.masks > 0 and json.encode(settings.masks) or nil })
end

--- Other workers follow at once, or within a minute where Redis is away. What is older than is wanted now goes.
function keeping.moved(tenant)
  known[tenant.id] = nil
  redis.call("PUBLISH", rediskey("keeping:changed"), tostring(tenant.id))
  jobs.put{ tenant_id = tenant.id, kind = KIND }
end

--- Something of the tenant is kept.
function keeping.expect(tenant)
  if expected[tenant.id] then return end
  expected[tenant.id] = true
  task.spawn(function()
    local ok = pcall(jobs.put, { tenant_id = tenant.id, kind = KIND, in_s = EVERY_S })
    if not ok then expected[tenant.id] = nil end  -- the next call tries again
  end)
end

local function expire_transcripts(tenant, before)
  local count = 0
  while store.remove_summaries(tenant.db, before, UTTERANCES) == UTTERANCES do end
  while true do
    local removed = store.remove_utterances(tenant.db, before, UTTERANCES)
    count = count + removed
    if removed < UTTERANCES then return count end
  end
end

-- The sound first: a row without its sound is found again, a sound without its row never.
local function remove_recording(tenant, row)
  for _, segment in ipairs(store.segments(tenant.db, row.id)) do
    local ok, err = blob.remove(segment.blob_key)
    if not ok and err.code ~= "not_found" then return nil, err end
  end
  return audit.transaction(tenant, function(tx)
    if not store.recording_remove(tx, row.id) then return true end
    audit.record(tx, { action = "recording.delete", subject = row.public_id, fields = { why = "retention" } })
    audit.event(tx, { type = "recording.deleted", subject = row.public_id, data = { call = row.call_public_id } })
    return true
  end)
end

local function expire_recordings(tenant, before)
  local count = 0
  while true do
    local rows = store.recordings_before(tenant.db, before, RECORDINGS)
    for _, row in ipairs(rows) do
      local ok, err = remove_recording(tenant, row)
      if not ok then error("a recording could not be removed: " .. err.text, 0) end
      count = count + 1
    end
    if #rows < RECORDINGS then return count end
  end
end

--- Removes what is older than the tenant wants, and figures that are older than they are kept: how many utterances, how many recordings.
function keeping.expire(tenant)
  local settings, now = read(tenant), clock.wall_us()
  local function days_ago(days) return now - days * 86400 * 1e6 end
  quality.expire(tenant)  -- first: it needs no blob
  local utterances = expire_transcripts(tenant, time.sql(days_ago(settings.transcriptDays)))
  local recordings = expire_recordings(tenant, time.sql(days_ago(settings.recordingDays)))
  local prompts = renderings.expire(tenant, days_ago(math.min(settings.transcriptDays, PROMPT_DAYS)))
  if recordings + utterances + prompts > 0 then
    log.info("retention.removed", { tenant = tenant.slug, recordings = recordings, utterances = utterances, prompts = prompts })
  end
  return utterances, recordings
end

--- Declares the job, and listens for changes made by others.
function keeping.start()
  listening = listening or redis.subscribe(rediskey("keeping:changed"), function(id) known[tonumber(id)] = nil end)
  jobs.define(KIND, {
    every_s = EVERY_S, lease_s = 600,
    run = function(job)
      local tenant = tenants.get(job.tenant_id)
      if tenant and tenant.status == "closed" then
        renderings.remove_all(tenant)
      elseif tenant and tenant.db then
        keeping.expire(tenant)
      end
      return true
    end,
  })
end

return keeping
