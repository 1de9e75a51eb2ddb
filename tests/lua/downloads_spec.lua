-- SPDX-License-Identifier: Apache-2.0
--- Recordings that are downloaded: by whom and how many at a time, what of them is in memory, and that one which breaks off goes no further.
local world = require "data_world"
if not world then
  describe("recordings that are downloaded", function() pending("need the host and a database of their own") end)
  return
end
local blob = require "core.blob"
local deflate = require "core.deflate"
local downloads = require "calls.downloads"
local media = require "core.media"
local mp3 = require "core.mp3"
local recordings = require "calls.recordings"
local router = require "lib.router"
local sql = require "core.sql"
local store = require "calls.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"
local timer = require "core.timer"

local function always() return true end

describe("recordings that are downloaded", function()
  local acme, row
  local CHUNK, CHUNKS = ("abcd"):rep(4000), 45  -- half a second of sound

  setup(function()
    world.begin{ "auth", "tenants", "calls" }
    acme = tenants.create{ slug = "acme", admin_email = "admin@acme.test", admin_password = "a-long-password" }
    world.token = world.login("admin@acme.test", "a-long-password")
    local recorder, on_audio = media.recorder, nil
    media.recorder = function(given)
      on_audio = given.on_audio
      return { close = function() end }
    end
    local call_id = sql.query(acme.db, "INSERT INTO `call` (public_id, direction, start_time, status, channel_id) VALUES ('c-1', 'inbound', ?, 'connected', 'x')", time.now()).insert_id
    local leg = {}
    local call = { id = "c-1", tenant = acme, row_id = call_id, leg = leg, recorders = {} }
    local recording
    for _, reason in ipairs{ false, "hangup" } do  -- by one worker, then by another
      recording = assert(recordings.open(call, { kind = "call", key = "k1", left = leg }))
      for _ = 1, CHUNKS do on_audio(CHUNK, 0) end
      recording:close(reason or nil)
    end
    media.recorder = recorder
    row = store.recording(acme.db, recording.public_id)
    assert.equal(2, #store.segments(acme.db, row.id))
  end)

  local function whole(sound)
    local parts = {}
    assert(sound(function(bytes)
      parts[#parts + 1] = bytes
      return true
    end))
    return table.concat(parts), parts
  end

  it("are given as WAV chunk by chunk, with a head that says how much comes", function()
    local wav, parts = whole(assert(recordings.wav(acme, row)))
    assert.equal(44 + 2 * CHUNKS * #CHUNK, #wav)
    assert.equal(CHUNK:rep(2 * CHUNKS), wav:sub(45))
    local a, b, c = wav:byte(41, 43)
    assert.equal(2 * CHUNKS * #CHUNK, a + b * 256 + c * 65536)
    for _, part in ipairs(parts) do assert.is_true(#part <= #CHUNK) end
  end)

  -- It was 256 MiB of each segment, for as long as the client took.
  it("are in memory by parts, of which no more is read while the client is slow", function()
    local part, get = blob.part, blob.get
    local read = 0
    blob.get = function() error("all of it at once") end
    blob.part = function(key, from, most)
      local bytes, err = part(key, from, most)
      read = read + #bytes
      return bytes, err
    end
    for _, format in ipairs{ "wav", "mp3" } do
      local sound = assert(recordings[format](acme, row))
      read = 0
      local first
      sound(function()
        first = first or read
        return true
      end)
      assert.is_true(first <= 512 * 1024, first)
      assert.is_true(read > 2 * CHUNKS * #CHUNK)
    end
    blob.part, blob.get = part, get
  end)

  it("go no further where the client has gone", function()
    for _, format in ipairs{ "wav", "mp3" } do
      local asked = 0
      assert.is_true(assert(recordings[format](acme, row))(function()
        asked = asked + 1
        return nil, "gone"
      end))
      assert.equal(1, asked)
    end
  end)

  local function failing_encoder(fails_at)
    local fed = { feed = 0, finish = 0 }
    local function step(name)
      return function()
        fed[name] = fed[name] + 1
        if fed.feed == fails_at then return nil, { code = "failed", text = "no room" } end
        return "sound"
      end
    end
    return { feed = step "feed", finish = step "finish" }, fed
  end

  -- It went on with the next segment: what was written behind the gap seemed to belong there.
  it("break off where a piece cannot be packed, with nothing behind the gap", function()
    local encoder, fed = failing_encoder(2)
    local real = mp3.encoder
    mp3.encoder = function() return encoder end
    local written = 0
    local ok, err = assert(recordings.mp3(acme, row))(function()
      written = written + 1
      return true
    end)
    mp3.encoder = real
    assert.same({ nil, "failed" }, { ok, err and err.code })
    assert.same({ 1, 2, 0 }, { written, fed.feed, fed.finish })
  end)

  it("break off where a part of them has gone since they began", function()
    for _, format in ipairs{ "wav", "mp3" } do
      local sound = assert(recordings[format](acme, row))
      local part = blob.part
      blob.part = function(key, from, most)
        if from > 0 then return nil, { code = "not_found", text = "gone" } end
        return part(key, from, most)
      end
      local ok, err = sound(always)
      blob.part = part
      assert.same({ nil, "denied" }, { ok, err and err.code })
    end
  end)

  local function reply() return { status = 200, stream = always } end

  it("are two at a time of a tenant, until their streams have ended", function()
    local held = { assert(downloads.run({ id = 1 }, reply)), assert(downloads.run({ id = 1 }, reply)) }
    local none, err = downloads.run({ id = 1 }, reply)
    assert.same({ nil, "too_many", 10 }, { none, err.code, err.retry_after_s })
    assert.truthy(err.text:find("2 recordings", 1, true))
    held[1].stream()
    held[1].stream()  -- leaves room for one, not two
    held[1] = assert(downloads.run({ id = 1 }, reply))
    assert.is_nil((downloads.run({ id = 1 }, reply)))
    for _, one in ipairs(held) do one.stream() end
    for _ = 1, 2 do assert(downloads.run({ id = 1 }, reply)).stream() end
  end)

  local function wait_for(condition)
    for _ = 1, 500 do
      if condition() then return end
      task.sleep(10)
    end
  end

  -- A client that takes nothing for now: what it was given, and a function by which it has gone.
  local function slow_client()
    local resume
    local client = { heard = {} }
    function client.write(_, bytes)
      client.heard[#client.heard + 1] = bytes
      return task.wait(function(fn) resume = fn end)
    end
    function client.go() resume(nil, "gone") end
    return client
  end

  -- Eight of them, and nobody else of any tenant was given a recording.
  it("of slow clients keep no other waiting", function()
    local function as(format)
      return function()
        local sound = assert(recordings[format](acme, row))
        return { stream = function(out) assert(sound(function(bytes) return out:write(bytes) end)) end }
      end
    end
    local clients, ended = {}, 0
    for id = 1, 4 do
      for _, format in ipairs{ "wav", "mp3" } do
        local given, client = assert(downloads.run({ id = id }, as(format))), slow_client()
        clients[#clients + 1] = client
        task.spawn(function()
          given.stream(client)
          ended = ended + 1
        end)
      end
    end
    wait_for(function()
      for _, client in ipairs(clients) do
        if #client.heard == 0 then return false end
      end
      return true
    end)
    for _, client in ipairs(clients) do assert.equal(1, #client.heard) end
    for _, format in ipairs{ "wav", "mp3" } do
      local bytes = 0
      assert(downloads.run({ id = 5 }, as(format))).stream{ write = function(_, piece)
        bytes = bytes + #piece
        return true
      end }
      assert.is_true(bytes > 10000, bytes)
    end
    for _, client in ipairs(clients) do client.go() end
    wait_for(function() return ended == 8 end)
    assert.equal(8, ended)
    for _, client in ipairs(clients) do assert.equal(1, #client.heard) end
  end)

  -- Tasks that each ask for one of a tenant of its own; each is made when it is told to be.
  local function asked_for(count)
    local began, over, go_on = {}, {}, {}
    for i = 1, count do
      task.spawn(function()
        local given, err = downloads.run({ id = i }, function()
          began[#began + 1] = i
          task.wait(function(resume) go_on[i] = resume end)
          return { status = 409 }
        end)
        over[i] = given or err
      end)
    end
    return began, over, go_on
  end

  it("are worked on eight at a time, the others in the order in which they came", function()
    local began, over, go_on = asked_for(11)
    assert.same({ 1, 2, 3, 4, 5, 6, 7, 8 }, began)
    for i, told in ipairs{ 3, 1, 9 } do
      go_on[told]()
      wait_for(function() return began[8 + i] end)
      assert.equal(8 + i, began[8 + i])
      assert.equal(409, over[told].status)
    end
    for _, i in ipairs{ 2, 4, 5, 6, 7, 8, 10, 11 } do go_on[i]() end
    began, over, go_on = asked_for(8)  -- all places are there
    assert.equal(8, #began)
    for i = 1, 8 do
      go_on[i]()
      assert.equal(409, over[i].status)
    end
  end)

  it("are refused where the others work too long", function()
    local after, due = timer.after, nil
    timer.after = function(ms, fn)
      assert.equal(10000, ms)
      due = fn
      return { cancel = function() end }
    end
    local _, over, go_on = asked_for(9)
    due()
    assert.same({ "too_many", 10 }, { over[9].code, over[9].retry_after_s })
    timer.after = after
    go_on[1]()  -- its place is nobody's
    assert.equal(409, assert(downloads.run({ id = 9 }, function() return { status = 409 } end)).status)
    for i = 2, 8 do go_on[i]() end
  end)

  it("give their place back where the client's end breaks", function()
    for _ = 1, 20 do
      local given = assert(downloads.run({ id = 1 }, function() return { stream = function(out) out:write("sound") end } end))
      assert.has_error(function() given.stream{ write = function() error("cut", 0) end } end, "cut")
    end
    local began, _, go_on = asked_for(9)
    assert.equal(8, #began)
    for i = 1, 8 do go_on[i]() end
    wait_for(function() return go_on[9] end)
    go_on[9]()
  end)

  it("do not count where there is nothing to give, or it fails", function()
    for _ = 1, 20 do
      assert.equal(409, downloads.run({ id = 1 }, function() return { status = 409 } end).status)
      assert.has_error(function() downloads.run({ id = 1 }, function() error("away", 0) end) end, "away")
      local given = assert(downloads.run({ id = 1 }, function() return { stream = function() error("cut", 0) end } end))
      assert.has_error(given.stream, "cut")
    end
  end)

  it("count for a moment where nobody asks for the body, as with HEAD", function()
    local after, due = timer.after, nil
    timer.after = function(_, fn)
      due = fn
      return { cancel = function() end }
    end
    for _ = 1, 20 do
      local given = assert(downloads.run({ id = 1 }, reply))
      due()
      given.stream()
    end
    timer.after = after
  end)

  it("are refused with 429 and when to come again", function()
    local path = "/recordings/" .. row.public_id
    assert.equal(200, (world.ask("GET", path)))
    assert.equal(200, (world.ask("GET", path .. "?format=mp3")))  -- the streams of both have not begun
    local status, body, headers = world.ask("GET", path)
    assert.same({ 429, "too_many_downloads", "10" }, { status, body.code, headers["Retry-After"] })
    assert.truthy(body.detail:find("Try again in 10 s.", 1, true))
    -- As many as a worker holds, and of a tenant that has none.
    local held = {}
    for id = 101, 163 do
      for _ = 1, 2 do held[#held + 1] = assert(downloads.run({ id = id }, reply)) end
    end
    local other = tenants.create{ slug = "late", admin_email = "a@late.test", admin_password = "a-long-password" }
    assert.is_nil((downloads.run(other, reply)))
    local real_run = downloads.run
    downloads.run = function(_, ...) return real_run(other, ...) end
    status, body, headers = world.ask("GET", path)
    downloads.run = real_run
    assert.same({ 429, "too_many_downloads", "10" }, { status, body.code, headers["Retry-After"] })
    assert.equal("Others are downloading as many recordings as are given out at a time. Try again in 10 s.", body.detail)
    for _, one in ipairs(held) do one.stream() end
    for _, route in ipairs(router.routes()) do
      if route.path == "/recordings/{recordingId}" then assert.equal("heavy", route.limit) end
    end
  end)

  -- A queue of 64 took both, and calls that ended waited for downloads.
  it("do not wait for what ends of calls have to pack", function()
    local packing, text = 0, ("the journal of a call "):rep(40000)
    local encoder = assert(mp3.encoder(8000, 32))
    for _ = 1, 100 do  -- more than it takes
      task.spawn(function()
        packing = packing + 1
        deflate.pack(text)
        packing = packing - 1
      end)
    end
    assert.is_true(packing > 60, packing)
    local bytes, err = encoder:feed(CHUNK)
    assert.equal("string", type(bytes), err and err.text)
    for _ = 1, 1000 do
      if packing == 0 then break end
      task.sleep(10)
    end
    assert.equal(0, packing)
  end)
end)
