-- SPDX-License-Identifier: Apache-2.0
--- What of a call is recorded: whole by the tenant's policy, silent where it must be, and never a card's number.
local world = require "data_world"
if not world then
  describe("recordings of calls", function() pending("need the host and a database of their own") end)
  return
end
local audit = require "audit"
local Call = require "calls.call"
local call_recording = require "calls.call_recording"
local cards = require "calls.cards"
local clock = require "core.clock"
local db = require "lib.db"
local history = require "calls.history"
local journal = require "flow.journal"
local json = require "core.json"
local keeping = require "calls.keeping"
local media = require "core.media"
local recordings = require "calls.recordings"
local speech = require "speech"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"
local timer = require "core.timer"
local verbs = require "calls.verbs"

local CARD = "4111111111111111"

describe("recordings of calls", function()
  local tenant, call, real, recorders, now, said

  setup(function()
    world.begin{ "tenants" }
    tenant = tenants.create{ slug = "taped", name = "Taped", admin_email = "a@taped.example", admin_password = "a-Long-password" }
    real = { recorder = media.recorder, mono_ms = clock.mono_ms, say = verbs.table.say, audio = speech.audio, speech_wav = speech.wav, wav = media.wav }
    media.recorder = function(given)
      given.close = function() end
      recorders[#recorders + 1] = given
      return given
    end
    verbs.table.say = function(_, args)
      said[#said + 1] = args[1]
      return true
    end
  end)
  teardown(function() media.recorder, verbs.table.say = real.recorder, real.say end)
  after_each(function() clock.mono_ms, speech.audio, speech.wav, media.wav = real.mono_ms, real.audio, real.speech_wav, real.wav end)

  local function policy(recording, announcement)
    audit.transaction(tenant, function(tx)
      local settings = keeping.read(tenant, tx)
      settings.recording, settings.announcement = recording, announcement
      keeping.set(tx, settings)
    end)
    keeping.moved(tenant)
  end

  local function make(fields)
    local name = "c-n1-1-" .. tostring(clock.wall_us())
    local id = db.query(tenant.db, "INSERT INTO `call` (public_id, direction, start_time, status) VALUES (?, 'inbound', ?, 'connected')", name, time.now()).insert_id
    local given = { id = name, row_id = id, tenant = tenant, slot = "n1.1", channel = "1.1", fence = 5, up = true, digits = {} }
    for key, value in pairs(fields or {}) do given[key] = value end
    local made = Call.new(given)
    made.leg = { play = function() return true end, stop = function() end, close = function() end, stats = function() return { received = 0 } end }
    made.keep = function() return true end
    return made
  end

  before_each(function()
    recorders, said = {}, {}
    call = make()
  end)

  local function recorded()
    task.sleep(150)
    return #store.recordings(tenant.db, call.row_id)
  end

  it("are none where only scripts say so, or none shall be", function()
    for _, name in ipairs{ "flow", "off" } do
      policy(name)
      call = make()
      call:sound()
      assert.same({ 0, {} }, { recorded(), said })
    end
  end)

  it("are of the whole call where the policy says so, begun once", function()
    policy "on"
    call:sound()
    call:sound()
    assert.same({ 1, {} }, { recorded(), said })
    assert.equal(call.leg, recorders[1].left)
    assert.equal("hears", recorders[1].right_source)
    call.whole:close("hangup")
    assert.equal("stored", store.recordings(tenant.db, call.row_id)[1].state)
  end)

  it("begin behind the announcement, which is said once", function()
    policy("announce", "We record.")
    call:sound()
    assert.same({ "We record." }, said)
    assert.equal(1, recorded())
    assert.is_true(call:head().announced)
    local successor = make{ id = call.id, row_id = call.row_id, announced = true }
    successor:sound()
    assert.same({ "We record." }, said)
    policy "announce"
    make():sound()
    assert.equal(keeping.ANNOUNCEMENT, said[2])
  end)

  it("do not begin when the announcement was not heard to its end", function()
    policy "announce"
    local say = verbs.table.say
    verbs.table.say = function() return nil, { code = "failed", text = "no synthesiser" } end
    call:sound()
    verbs.table.say = say
    assert.equal(0, recorded())
  end)

  it("do not wait for a database that is away, nor keep a caller in silence", function()
    policy "on"
    local of = keeping.of
    keeping.of = function() task.sleep(3000) error("away", 0) end
    local began = clock.mono_ms()
    call:sound()
    keeping.of = of
    assert.is_true(clock.mono_ms() - began < 1500)
    assert.equal(0, recorded())
  end)

  local function while_nothing_is_known(fn)
    local of, soon = keeping.of, keeping.soon
    local failure = select(2, pcall(db.query, "no_such_schema", "SELECT nothing FROM nowhere"))
    keeping.of, keeping.soon = function() error(failure, 0) end, function() return nil end
    local ok, problem = pcall(fn)
    keeping.of, keeping.soon = of, soon
    if not ok then error(problem, 0) end
  end

  -- One slow answer, and the whole call was not recorded: it was never asked again.
  it("begin with the next sound when the policy was not known at the first", function()
    policy "on"
    while_nothing_is_known(function() call:sound() end)
    assert.equal(0, recorded())
    call:sound()
    assert.equal(1, recorded())
  end)

  -- What was not known was taken for yes: a transfer was recorded for a tenant who wants no call recorded.
  it("are none of a transfer either while it is not known whether they may be", function()
    policy "off"
    while_nothing_is_known(function()
      call:sound()
      assert.is_false(call_recording.wanted(call))
    end)
    assert.is_false(call_recording.wanted(call))
    policy "flow"
    call = make()
    while_nothing_is_known(function() call:sound() end)
    assert.is_true(call_recording.wanted(call))
  end)

  -- A flow was told of a sound without a leg, and went on as if it had one.
  it("leave no sound where the caller hangs up during the announcement", function()
    policy "announce"
    local say = verbs.table.say
    verbs.table.say = function()
      call.leg, call.gone_why = nil, "hung up"
      return nil, { code = "gone", text = "the caller has hung up" }
    end
    local leg, err = call:sound()
    verbs.table.say = say
    assert.is_nil(leg)
    assert.equal("gone", err and err.code)
  end)

  -- It had a recorder from then on that nobody closed: the old worker wrote sound until it ended.
  it("are not begun by a worker that was still at the database when it gave the call away", function()
    policy "on"
    local segment_number = store.segment_number
    store.segment_number = function(...)
      call:freeze()
      return segment_number(...)
    end
    call:sound()
    recorded()
    store.segment_number = segment_number
    assert.same({ {}, {} }, { recorders, call.recorders })
    local recording, err = recordings.open(make{ frozen = true }, { kind = "call", key = call.id .. ":k", left = call.leg })
    assert.is_nil(recording)
    assert.equal("frozen", err.code)
  end)

  local function ones(samples) return ("\1\1\1\1"):rep(samples) end

  -- Which of eight-hundredths of a second hold sound: "1110011".
  local function heard(recording, chunks)
    local out = {}
    recording.append = function(_, pcm)
      for at = 1, #pcm, 3200 do out[#out + 1] = pcm:sub(at, at + 3199):find("\1", 1, true) and (pcm:sub(at, at + 3199):find("\0", 1, true) and "+" or "1") or "0" end
    end
    for _, samples in ipairs(chunks) do recording:write(ones(samples), 0) end
    recording:close("hangup")
    return table.concat(out)
  end

  it("are silent from a pause to its end, to the sample, and stay in time", function()
    now = 1000
    clock.mono_ms = function() return now end
    local recording = assert(recordings.open(call, { kind = "call", key = call.id .. ":k", left = call.leg }))
    now = 2000
    recordings.pause(call, "script")
    recordings.pause(call, "secret")
    now = 3000
    recordings.resume(call, "script")
    recordings.resume(call, "script")
    now = 3500
    recordings.resume(call, "secret")
    -- The pause is from 1,000 ms to 2,500 ms of the recording, and a quarter of a second around it.
    assert.equal("1111111+" .. ("0"):rep(19) .. "+1111", heard(recording, { 8000, 8000, 8000, 1600 }))
    assert.equal(0, #recording.silences)
  end)

  it("are silent from their beginning in a pause, also of whoever takes the call up", function()
    now = 1000
    clock.mono_ms = function() return now end
    assert.is_false(verbs.table.pause_recording(call))
    local successor = make{ id = call.id, row_id = call.row_id, pausing = call:head().pausing }
    local recording = assert(recordings.open(successor, { kind = "call", key = call.id .. ":k", left = successor.leg }))
    now = 2000
    assert.is_true(verbs.table.resume_recording(successor))
    assert.equal("0000000000" .. "00+1111111", heard(recording, { 8000, 8000 }))
    assert.is_nil(successor:head().pausing)
  end)

  local function open()
    now = 1000
    clock.mono_ms = function() return now end
    return assert(recordings.open(call, { kind = "call", key = call.id .. ":k", left = call.leg }))
  end

  it("have their last second in no file yet, and all of it when they end", function()
    local recording = open()
    local written = 0
    recording.append = function(_, pcm) written = written + #pcm / 4 end
    for n = 1, 10 do
      recording:write(ones(4000), 0)
      assert.equal(math.max(0, n * 4000 - 8000), written)
    end
    recording:close("hangup")
    assert.equal(40000, written)
    assert.equal(5, recording:seconds())
  end)

  -- Its first second and more was in a file when it was let go, and only then is it told of.
  it("have nothing of a key in a file that is pressed for seconds where keys are asked for", function()
    local recording = open()
    call.digits = {}
    local written, while_asked = 0, nil
    recording.append = function(_, pcm) written = written + #pcm / 4 end
    call.await = function()
      for _ = 1, 12 do recording:write(ones(4000), 0) end
      while_asked = written
      return "timeout"
    end
    verbs.table.gather(call, { { digits = 16, timeout = 1, between = 1, finish = "#" } }, {})
    assert.equal(48000 - 40000, while_asked)
    recording:write(ones(4000), 0)
    assert.equal(52000 - 8000, written)
    -- A menu that is said twice asks all the time.
    verbs.table.menu(call, { { ["1"] = "sales", otherwise = "human", timeout = 1, repeats = 1 } })
    assert.equal(52000 + 2 * 48000 - 40000, while_asked)
    recording:write(ones(4000), 0)
    assert.equal(52000 + 2 * 48000 + 4000 - 8000, written)
  end)

  it("have nothing in a file of what is held, and silence there when it was a secret", function()
    local recording = open()
    now = 3000
    recordings.hold(call, "a", 2000, function() return false end)
    now = 9000
    recordings.pause(call, "a", 2000)
    recordings.free(call, "a")
    now = 10000
    recordings.resume(call, "a")
    -- From 1,000 ms to 9,000 ms of the recording, and a quarter of a second around it.
    assert.equal("1111111+" .. ("0"):rep(84) .. "+11111111", heard(recording, { 40000, 40000, 800 }))
  end)

  it("are silent where a number may begin when the call moves, and the next worker knows", function()
    local recording = open()
    now = 2000
    call:on_digit("4", 100)
    now = 2500
    call:freeze()
    assert.is_true(call:head().card_near)
    assert.equal("111111+" .. ("0"):rep(9), heard(recording, { 8000, 4800 }))
    local successor = make{ id = call.id, row_id = call.row_id, card_near = call:head().card_near }
    assert.is_nil(successor:head().card_near)
    successor:on_digit("1", 100)
    assert.is_true(successor.silences.keys)
  end)

  it("wait in memory while something of them is held", function()
    local recording = open()
    local written = 0
    recording.append = function(_, pcm) written = written + #pcm / 4 end
    recordings.hold(call, "a", 2000, function() return false end)
    for _ = 1, 20 do recording:write(ones(4000), 0) end
    assert.equal(4000, written)
    recordings.free(call, "a")
    recording:write(ones(4000), 0)
    assert.equal(84000 - 8000, written)
  end)

  it("are silent from there where they end while nobody knows what was said, and it may be a secret", function()
    for doubtful, sound in pairs{ [true] = "1111111+00000000", [false] = "1111111111111111" } do
      call = make()
      local recording = open()
      recordings.hold(call, "a", 2000, function() return doubtful end)
      assert.equal(sound, heard(recording, { 8000, 4800 }))
    end
  end)

  -- It was silence whatever it was: of somebody who read out figures minutes were lost.
  it("keep a minute and a half back at most, then what is older is silence where it may be a secret", function()
    for doubtful, first in pairs{ [true] = "0", [false] = "1" } do
      call = make()
      local recording = open()
      local full = true
      recordings.hold(call, "a", 1000, function() return doubtful and full end)
      local sound = {}
      recording.append = function(_, pcm) sound[#sound + 1] = pcm end
      for _ = 1, 12 do recording:write(ones(8000 * 10), 0) end
      full = false
      recording:close("hangup")
      sound = table.concat(sound)
      assert.equal(120 * 8000 * 4, #sound)
      assert.equal(first == "0" and 30 * 8000 * 4 or 0, select(2, sound:gsub("%z", "")))
      assert.equal(first == "0" and 30 * 8000 * 4 + 1 or 1, sound:find("", 1, true))
    end
  end)

  it("are silent where nobody understood in time what was said, and tell how much that is", function()
    local recording = open()
    now = 4000
    recordings.leave_out(call, 2000, 3000)
    recordings.leave_out(call, 2500, 3000)
    recordings.leave_out(call, 2500, 3000, "caller")
    assert.equal("1111111+" .. ("0"):rep(14) .. "+1111111", heard(recording, { 8000, 8000, 8000 }))
    local told = db.query(tenant.db, "SELECT data FROM outbox WHERE type = 'recording.left_out' AND subject = ?", recording.public_id)
    assert.equal(1, #told)
    assert.equal(1500, json.decode(told[1].data).milliseconds)
  end)

  -- It was in the log only where it was known before the end.
  it("tell in the log how much of them is silence, once, wherever that was decided", function()
    local log, lines = require "core.log", {}
    local warn = log.warn
    log.warn = function(event, fields) lines[#lines + 1] = event == "recording.left_out" and fields or nil end
    local recording = open()
    now = 4000
    recordings.leave_out(call, 2000, 2500)
    recordings.hold(call, "a", 3500, function() return true end)
    heard(recording, { 8000, 8000, 8000 })
    log.warn = warn
    assert.same({ { call = call.id, recording = recording.public_id, ms = 1000 + 750 } }, lines)
  end)

  -- What we said meanwhile was lost as well.
  it("keep what the caller hears where only he is left out", function()
    local recording = open()
    local sound = {}
    recording.append = function(_, pcm) sound[#sound + 1] = pcm end
    recordings.hold(call, "a", 1500, function() return true end, "caller")
    now = 4000
    for _ = 1, 3 do recording:write(("\1\2\3\4"):rep(8000), 0) end
    recording:close("hangup")
    assert.equal(("\1\2\3\4"):rep(2000) .. ("\0\0\3\4"):rep(22000), table.concat(sound))
  end)

  it("are kept back of all of a worker's calls within a bound, above which the oldest is decided on", function()
    local most = recordings.HELD_BYTES
    recordings.HELD_BYTES = 30 * 32000
    local old = open()
    recordings.hold(call, "a", 1000, function() return true end)
    local sound = {}
    old.append = function(_, pcm) sound[#sound + 1] = pcm end
    for _ = 1, 20 do old:write(ones(8000), 0) end
    assert.equal(0, #sound)
    call = make()
    local new = open()
    recordings.hold(call, "a", 1000, function() return true end)
    local later = 0
    new.append = function() later = later + 1 end
    for _ = 1, 11 do new:write(ones(8000), 0) end
    recordings.HELD_BYTES = most
    sound = table.concat(sound)
    assert.same({ 10 * 32000, 10 * 32000, 0 }, { #sound, select(2, sound:gsub("%z", "")), later })
    old:abandon()
    new:abandon()
  end)

  it("keep nothing back where the disk is full", function()
    local blob = require "core.blob"
    local append = blob.append
    blob.append = function() return nil, { text = "no space is left" } end
    local recording = open()
    recording:write(ones(8000), 0)
    assert.equal(1, #recording.back)
    recording:write(ones(8000), 0)
    blob.append = append
    assert.same({ "no space is left", 0 }, { recording.paused, #recording.back })
    recording:close("hangup")
  end)

  -- A synthesiser of prompts: a list of those that are kept for the next time.
  local function synthesised()
    local kept, audio = {}, { seconds = function() return 1 end }
    speech.audio = function(_, asked)
      kept[#kept + 1] = asked.text
      return audio
    end
    speech.wav, media.wav = function() return "" end, function() return audio end
    return kept
  end

  -- Each sentence was looked at alone.
  it("are silent where a script says a card's number in several sentences", function()
    local kept = synthesised()
    policy "flow"
    local recording = open()
    call.await = function()
      now = now + 1000
      return "played", call.next_play
    end
    for _, text in ipairs{ "It is 4111 1111", "1111 1111.", "Is that right?" } do assert.is_true(real.say(call, { text, {} })) end
    assert.same({ "It is 4111 1111", "Is that right?" }, kept, "the rest of it is rendered for this once")
    now = now + 16000
    assert.equal(("0"):rep(22) .. "+" .. ("1"):rep(17), heard(recording, { 8000, 8000, 8000, 8000 }))
  end)

  it("are silent where the caller hangs up when most of a card's number was said in several sentences", function()
    synthesised()
    policy "flow"
    local recording = open()
    local texts = { "It is 4111", "1111.", "1111.", "11" }
    call.await = function()
      now = now + 1000
      if call.next_play < #texts then return "played", call.next_play end
      call.gone_why = "hung up"
      return "gone"
    end
    for _, text in ipairs(texts) do real.say(call, { text, {} }) end
    assert.equal(("0"):rep(10), heard(recording, { 8000 }))
  end)

  -- The clock of what we had said was stopped and never set again, and keys were asked for until the call ended.
  it("hold nothing for ever where a verb breaks while it speaks or asks for keys", function()
    synthesised()
    open()
    local broke = { code = "broke" }
    call.await = function() error(broke, 0) end
    local after, later = timer.after, {}
    timer.after = function(ms)
      later[#later + 1] = ms
      return { cancel = function() end }
    end
    assert.same({ false, broke }, { pcall(real.say, call, { "You are caller number 12.", {} }) })
    assert.is_true(later[1] > 0, "what is held is let out in time")
    assert.same({ false, broke }, { pcall(verbs.table.gather, call, { { digits = 4, timeout = 1, between = 1, finish = "#" } }, {}) })
    timer.after = after
    assert.is_nil(call.keys_asked)
  end)

  it("are silent while a secret is asked for", function()
    local pause, resume = recordings.pause, recordings.resume
    local order = {}
    recordings.pause = function(_, why) order[#order + 1] = "pause " .. why end
    recordings.resume = function(_, why) order[#order + 1] = "resume " .. why end
    call.digits = { "1", "2" }
    verbs.table.gather(call, { { digits = 2, secret = true, timeout = 1, between = 1, finish = "#" } }, {})
    call.digits = { "1", "2" }
    verbs.table.gather(call, { { digits = 2, timeout = 1, between = 1, finish = "#" } }, {})
    recordings.pause, recordings.resume = pause, resume
    assert.same({ "pause secret", "resume secret" }, { order[1], order[2] })
    assert.is_nil((order[3] or ""):match("^pause"))
  end)

  -- They were silent, and no key was written, until the call ended.
  it("go on, and keys are written, where it breaks while a secret is asked for", function()
    synthesised()
    open()
    local broke, within = { code = "broke" }
    call.await = function(self)
      within = { self.secret, self.silences.secret }
      error(broke, 0)
    end
    local options = { digits = 4, secret = true, prompt = "Your PIN, please.", timeout = 1, between = 1, finish = "#" }
    assert.same({ false, broke }, { pcall(verbs.table.gather, call, { options }, {}) })
    assert.same({ true, true }, within)
    assert.is_nil(call.secret)
    assert.is_nil(call.silences.secret)
  end)
end)

describe("the quality of a call", function()
  local quality = require "calls.quality"

  it("is what its leg has counted, and nothing where nothing came", function()
    assert.is_nil(quality.of(nil))
    assert.is_nil(quality.of{ received = 0, lost = 0 })
    assert.same({ received = 995, lost = 5, late = 2, lossPercent = 0.5, jitterMs = 3.3, concealedMs = 100, mos = 4.31 },
      quality.of{ received = 995, lost = 5, late = 2, jitter_ms = 3.26, concealed_ms = 100, mos = 4.3127, sent = 9 })
  end)
end)

describe("a card's number that is pressed", function()
  local function call(digits)
    local made = Call.new{ id = "c-n1-1-card", tenant = { key = ("k"):rep(32) }, slot = "n1.1", channel = "1.3", up = true, digits = {} }
    made.leg = {}
    for digit in digits:gmatch(".") do table.insert(made.digits, digit) end
    return made
  end

  local function gather(of, digits)
    local entry = { name = "gather", args = "h", done = false }
    local text = verbs.table.gather(of, { { digits = digits, timeout = 1, between = 1, finish = "#" } }, entry)
    entry.done, entry.ok, entry.value = true, true, text
    return text, entry
  end

  -- It stood in the journal, which is kept with the call's row and shown by the API.
  it("reaches the script, and the journal has only that it was read", function()
    local text, entry = gather(call(CARD), 16)
    assert.equal(CARD, text)
    assert.equal(journal.SECRET, journal.kept(entry).value)
    text, entry = gather(call("4111111111111112"), 16)
    assert.equal("4111111111111112", text)
    assert.equal(text, journal.kept(entry).value)
  end)

  -- Each group alone is no card's number, and each stood in the journal, though the sound of all was silence.
  it("is a secret in all of its groups, also of states that have ended", function()
    local of, texts = call "", {}
    local kept = {}
    of.keep = function(_, fields)
      for name, value in pairs(fields) do kept[name] = value end
      return true
    end
    of.visit, of.state = 1, "pay"
    for n, group in ipairs{ "4111", "1111", "1111", "1111", "123" } do
      if n == 3 then
        of.history:add(1, history.visit(of, { next = "more" }))
        of.visit, of.journal = 2, journal.new()
      end
      for digit in group:gmatch(".") do of:on_digit(digit, 100) end
      if n == 4 then assert.equal("", of:digits_kept()) end
      local entry = { name = "gather", args = "h", given = { {} }, done = false }
      local at = #of.journal.entries + 1
      of.journal.entries[at] = entry
      texts[n] = verbs.table.gather(of, { { digits = #group, timeout = 1, between = 1, finish = "#" } }, entry, at)
      entry.done, entry.ok, entry.value = true, true, texts[n]
    end
    assert.same({ "4111", "1111", "1111", "1111", "123" }, texts)
    for n, entry in ipairs(of.journal.entries) do assert.equal(journal.SECRET, journal.kept(entry).value, n) end
    assert.equal(journal.SECRET, kept["j2.1"].value)
    local ended = { visits = {} }
    of.history:all(ended.visits)
    assert.is_nil(ended.visits.h1:find("1111", 1, true))
    assert.equal(ended.visits.h1, of.history:unwritten({}).h1)
    local back = json.decode(ended.visits.h1)
    assert.same({ name = "gather", args = "h", given = { {} }, done = true, ok = true, value = journal.SECRET, secret = true }, back.verbs[2])
    assert.same({ 2, "pay", "more" }, { #back.verbs, back.state, back.how.next })
  end)

  -- What a call's record has of it, and the call as another worker takes it up from there.
  local function recorded(of, fields)
    fields = fields or {}
    of.keep = function(self, more, drop)
      more, drop = self.history:unwritten(more, drop)
      for _, name in ipairs(drop or {}) do fields[name] = nil end
      for name, value in pairs(more) do fields[name] = json.decode(json.encode(value)) end
      return true
    end
    of:keep{ head = of:head() }
    return fields
  end

  local function taken_up(of, fields, planned)
    if planned then
      of:freeze()
      of:keep{ head = of:head() }
    end
    local read = { tenant = of.tenant, fields = json.decode(json.encode(fields)) }
    local successor = Call.restore({ name = of.slot, node = "n1" }, 7, read)
    successor.leg = {}
    return successor, recorded(successor, fields)
  end

  local function press(of, digits)
    for digit in digits:gmatch(".") do of:on_digit(digit, 100) end
  end

  -- As flow does: the result is written with what it has used up.
  local function gather_in(of, group, options)
    options = options or {}
    local entry = { name = "gather", args = "h", done = false }
    local n = #of.journal.entries + 1
    of.journal.entries[n] = entry
    local text = verbs.table.gather(of, { { digits = #group, timeout = 1, between = 1, finish = "#", secret = options.secret } }, entry, n)
    of.journal:finish(n, true, text, 100)
    local used = of.consumed()
    used[("j%d.%d"):format(of.visit, n)] = journal.kept(entry)
    of:keep(used)
    return text
  end

  local function next_state(of, state)
    of.visiting = true
    of:visited{ next = state }
    local drop = {}
    for n = 1, #of.journal.entries do drop[n] = ("j%d.%d"):format(of.visit, n) end
    of.visit, of.state, of.journal = of.visit + 1, state, journal.new()
    of:keep({ head = of:head() }, drop)
  end

  local function groups_in(fields)
    local list = {}
    for name, value in pairs(fields) do
      if name ~= "head" and (type(value) == "string" and value or json.encode(value)):find('"%d%d%d%d"') then list[#list + 1] = name end
    end
    table.sort(list)
    return list
  end

  -- Those that the worker before had gathered stayed in the journal, and with the call's row: nobody knew there what they belonged to.
  for _, how in ipairs{ "died", "has given the call away" } do
    it("is a secret in all of its groups when the worker that gathered the first " .. how, function()
      local of = call ""
      of.visit, of.state = 1, "pay"
      local fields = recorded(of)
      press(of, "4111")
      assert.equal("4111", gather_in(of, "4111"))
      next_state(of, "more")
      press(of, "11111")
      assert.equal("1111", gather_in(of, "1111"))
      assert.same({ "h1", "j2.1" }, groups_in(fields))
      assert.equal("41111111", fields.keys.text, "and not the key that nobody has taken")

      of, fields = taken_up(of, fields, how ~= "died")
      assert.equal("1111", of.journal.entries[1].value, "the script that is run again gets what it got")
      assert.equal("replay", (of.journal:ask(1, "gather", "h")))
      press(of, "111")
      assert.equal("1111", gather_in(of, "1111"))
      of, fields = taken_up(of, fields)
      press(of, "111")
      of:on_digit("1", 100)
      assert.same({}, groups_in(fields))
      assert.equal(journal.SECRET, fields["j2.1"].value)
      assert.equal(journal.SECRET, fields["j2.2"].value)
      assert.is_nil(fields.keys.text)
      assert.equal("1111", gather_in(of, "1111"))
      -- And what is told with it, also where that worker dies as well.
      of, fields = taken_up(of, fields)
      press(of, "123")
      gather_in(of, "123")
      assert.equal(journal.SECRET, fields["j2.4"].value)
    end)
  end

  -- A script that asks for it in groups has to put them somewhere.
  it("is masked in the script's data as well, its groups and what is told with it, each alone and behind one another", function()
    for _, dies in ipairs{ false, true } do
      local of = call ""
      of.visit, of.state = 1, "first"
      local fields = recorded(of)
      local function ask(group, state)
        press(of, group)
        local text = gather_in(of, group)
        of.data.groups = of.data.groups or {}
        table.insert(of.data.groups, text)
        of.data.so_far = (of.data.so_far or "") .. text
        of.data.last = tonumber(text)
        next_state(of, state)
        if dies then of, fields = taken_up(of, fields) end
      end
      of.data = { zip = "94107", room = 411, why = "4222 is not it" }
      ask("4222", "second")
      ask("2233", "third")
      assert.truthy(fields.h2:find("42222233", 1, true), "nobody knows yet")
      ask("3344", "fourth")
      ask("4455", "check")
      ask("987", "rest")
      next_state(of, "end")
      local visits, all = {}, {}
      of.history:all(visits)
      for name, text in pairs(visits) do
        assert.equal(text, fields[name])
        all[#all + 1] = text
      end
      all = table.concat(all)
      for _, told in ipairs{ '"4222"', '"2233"', '"3344"', '"4455"', ":4455", "42222233", "3344445", '"987"', ":987" } do assert.is_nil(all:find(told, 1, true), told) end
      for _, other in ipairs{ '"94107"', ":411", "4222 is not it" } do assert.truthy(all:find(other, 1, true), other) end
      assert.same({ "4222", "2233", "3344", "4455", "987" }, of.data.groups, "the script has them")
    end
  end)

  it("is none where another worker hears other digits behind the first, and what was gathered stays as it was", function()
    local of = call ""
    of.visit = 1
    local fields = recorded(of)
    press(of, "41111111")
    gather_in(of, "41111111")
    of, fields = taken_up(of, fields)
    press(of, "11111112")
    assert.equal("11111112", gather_in(of, "11111112"))
    assert.equal("41111111", fields["j1.1"].value)
    assert.equal("11111112", fields["j1.2"].value)
  end)

  it("is looked for by no other worker in what was pressed long before", function()
    local of = call ""
    of.visit = 1
    local fields = recorded(of)
    press(of, "41111111")
    gather_in(of, "41111111")
    fields.keys.at_us = fields.keys.at_us - 71e6
    of, fields = taken_up(of, fields)
    press(of, "11111111")
    gather_in(of, "11111111")
    assert.equal("41111111", fields["j1.1"].value)
  end)

  it("has no part in the record that was gathered in secret", function()
    local of = call ""
    of.visit = 1
    local fields = recorded(of)
    press(of, "4711")
    gather_in(of, "4711", { secret = true })
    assert.is_false(fields.keys)
    assert.same({}, groups_in(fields))
    press(of, "1111")
    gather_in(of, "1111")
    assert.is_false(fields.keys)
  end)

  -- Twelve of its sixteen digits were in the journal that is kept.
  it("is a secret when the caller leaves with most of it pressed, and what is no such is not", function()
    for _, case in ipairs{ { "4111", "1111", "1111", journal.SECRET }, { "4111", "1111", "11", "11" }, { "0111", "1111", "1111", "1111" } } do
      local of = call ""
      of.visit, of.state, of.visiting = 1, "pay", true
      recorded(of)
      for i = 1, 3 do
        press(of, case[i])
        gather_in(of, case[i])
      end
      of.over = true  -- nothing runs any more
      of.leg = nil
      of:on_gone("hung up")
      of:visited{ left = "caller" }
      local visits = {}
      of.history:all(visits)
      local verbs_of = json.decode(visits.h1).verbs
      assert.equal(case[4], verbs_of[3].value)
      assert.equal(case[4] == journal.SECRET and journal.SECRET or case[1], verbs_of[1].value)
    end
  end)

  -- Nobody was told what to mask: what was pressed of it stayed in the journal and in the record.
  it("is a secret in what was pressed of it when it is said to its end, whether that text is final or not", function()
    for _, kind in ipairs{ "final", "partial" } do
      local of = call ""
      of.visit, of.state = 1, "pay"
      of.recorders = {}
      local fields = recorded(of)
      for _, group in ipairs{ "411111", "11111" } do
        press(of, group)
        gather_in(of, group)
      end
      press(of, "1")
      assert.same({ "11111", "1" }, { fields["j1.2"].value, fields.digits })
      local after, late = timer.after, {}
      timer.after = function(_, fn)
        local one = { fn = fn }
        one.cancel = function() one.fn = nil end
        late[#late + 1] = one
        return one
      end
      cards.noticed(of, kind, { text = "one one one one" })
      for _, one in ipairs(late) do
        if kind == "partial" and one.fn then one.fn() break end
      end
      timer.after = after
      assert.same({ journal.SECRET, journal.SECRET }, { fields["j1.1"].value, fields["j1.2"].value })
      assert.equal("", fields.digits)
      assert.is_nil(fields.keys.text)
      assert.is_nil(cards.kept(of).text)
      of.gone_why = "hung up"
    end
  end)

  it("makes no secret of what was gathered before a number that is none", function()
    local of = call ""
    of.keep = function() return true end
    for _, group in ipairs{ "4111", "1111", "1111", "1112" } do
      for digit in group:gmatch(".") do of:on_digit(digit, 100) end
      local text, entry = gather(of, 4)
      assert.equal(text, journal.kept(entry).value)
    end
  end)

  it("is not in the record while it is pressed, nor is what it can be told from", function()
    for n = 1, 16 do
      local kept = call(CARD:sub(1, n)):digits_kept()
      assert.equal(n < 13 and CARD:sub(1, n) or "", kept)
    end
    assert.equal("00491761234567", call("00491761234567"):digits_kept())
  end)

  it("is masked in what is kept of a visit, wherever the script put it", function()
    local of = call ""
    of.visit, of.state, of.data = 1, "pay", { card = CARD, list = { "x", CARD .. " 12/27" }, n = tonumber(CARD), zip = "94107" }
    of.journal.entries[1] = { name = "say", args = "h", given = { "You have entered " .. CARD }, done = true, ok = true, value = true }
    local text = history.visit(of, { done = true, data = of.data })
    assert.is_nil(text:find("41111111", 1, true))
    assert.truthy(text:find("94107", 1, true))
    assert.equal(CARD, of.data.card)
  end)

  it("is masked in the script log", function()
    local script_log = require "scripts.log"
    local scripts_store = require "scripts.store"
    local insert, row = scripts_store.log_insert, nil
    local pii = require "lib.pii"
    local tenant = { id = 99999, slug = "logs", db = "none", key = ("k"):rep(32) }
    scripts_store.log_insert = function(_, rows) row = rows[1] end
    script_log.add(tenant, { level = "info", text = "he pressed 4111 1111 1111 1111" })
    for _ = 1, 50 do
      if row then break end
      task.sleep(10)
    end
    scripts_store.log_insert = insert
    assert.equal("he pressed [CARD]", pii.open(tenant, "script_log.text", row.text))
  end)
end)
