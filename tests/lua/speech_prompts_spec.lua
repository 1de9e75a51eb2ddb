-- SPDX-License-Identifier: Apache-2.0
--- Prompts rendered before, and the order in which synthesisers are asked: without a network.
local blob = require "core.blob"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local file = require "core.file"
local health = require "ai.health"
local prompts = require "speech.prompts"
local renderings = require "speech.renderings"
local synthesiser = require "speech.synthesiser"
local task = require "core.task"
local timer = require "core.timer"
local wav = require "speech.wav"

local PCM = ("\1\0\2\0"):rep(4000)  -- 1 s at 8 kHz
local serial = 0

-- A world whose HTTP servers are functions of the URL, and count what they are asked.
local function new_world(answers)
  local world = { now = 1000, asked = {}, after = timer.after, random = function() return 0.5 end }
  function world.mono_ms() return world.now end
  world.health = health.new(world)
  function world.stream(asked)
    local name = asked.url:match("^http://(%w+)")
    world.asked[#world.asked + 1] = name
    local answer = answers[name]
    if answer == nil then return nil, { code = "io", text = "refused" } end
    local stream, n = { status = answer.status or 200, headers = answer.headers or {} }, 0
    function stream:next()
      if self.cancelled then return nil, { code = "cancelled", text = "cancelled" } end
      if answer.wait_ms then task.sleep(answer.wait_ms) end
      n = n + 1
      if answer.pieces and answer.pieces[n] then return false, answer.pieces[n] end
      return nil, answer.broken
    end
    function stream:cancel() self.cancelled = true end
    if asked.on_begin then asked.on_begin(stream) end
    return stream
  end
  return world
end

local function pieces_of(bytes, size)
  local list = {}
  for at = 1, #bytes, size do list[#list + 1] = bytes:sub(at, at + size - 1) end
  return list
end
local function speaks() return { pieces = pieces_of(wav.file(PCM, 8000), 3001) } end
local function target(name) return { provider = name, kind = "piper", url = "http://" .. name, owner = 0 } end
local A, B = target "a", target "b"

local function text()
  serial = serial + 1
  return ("Prompt %d of %s"):format(serial, tostring(require("core.clock").wall_us()))
end

local function read(stream)
  local list, last = {}, nil
  for event in function() return stream:next() end do
    if event.type == "audio" then list[#list + 1] = event.pcm else last = event end
  end
  return table.concat(list), last
end

local tenant, other = { id = 901, slug = "k", key = ("k"):rep(32) }, { id = 902, slug = "o", key = ("o"):rep(32) }

local function blobs_of(id) return assert(blob.older("speech/" .. id, os.time() + 1000, 1000)) end

-- Says it once, and once more from its blob, when that is there.
local function is_kept(world, asked)
  local before = #world.asked
  prompts.forget()
  assert.equal(PCM, (read(prompts.say(world, tenant, asked, { A }))))
  task.sleep(100)
  return #world.asked == before
end

describe("a prompt", function()
  before_each(prompts.forget)

  it("is rendered once, by this worker and the next", function()
    local world, asked = new_world{ a = speaks() }, { text = text() }
    local pcm, last = read(prompts.say(world, tenant, asked, { A }))
    assert.equal(PCM, pcm)
    assert.equal(1000, last.ms)
    pcm, last = read(prompts.say(world, tenant, asked, { A }))
    assert.equal(PCM, pcm)
    assert.equal("end", last.type)
    task.sleep(100)
    prompts.forget()
    assert.equal(PCM, (read(prompts.say(world, tenant, asked, { A }))))
    assert.equal(1, #world.asked)
  end)

  it("of one tenant, voice or provider is no other's", function()
    local world, said = new_world{ a = speaks(), b = speaks() }, text()
    read(prompts.say(world, tenant, { text = said }, { A }))
    read(prompts.say(world, other, { text = said }, { A }))
    read(prompts.say(world, tenant, { text = said, voice = "amy" }, { A }))
    read(prompts.say(world, tenant, { text = said }, { B }))
    assert.equal(4, #world.asked)
  end)

  it("that broke off, was cancelled, or came from who was second is not what is played later", function()
    local answers = { a = { pieces = pieces_of(wav.file(PCM, 8000):sub(1, 5000), 1000), broken = { code = "io", text = "reset" } }, b = speaks() }
    local world, asked = new_world(answers), { text = text() }
    local _, last = read(prompts.say(world, tenant, asked, { A, B }))
    assert.equal("error", last.type)
    world.now = world.now + 60000
    answers.a = { status = 503 }
    assert.equal(PCM, (read(prompts.say(world, tenant, asked, { A, B }))))
    answers.a = speaks()
    local stream = prompts.say(world, tenant, asked, { A, B })
    stream:next()
    stream:cancel()
    assert.equal(PCM, (read(prompts.say(world, tenant, asked, { A, B }))))
    assert.same({ "a", "a", "b", "a", "a" }, world.asked)
    read(prompts.say(world, tenant, asked, { A, B }))
    assert.equal(5, #world.asked)
  end)

  it("is the second's while the first is known to be away", function()
    local world, asked = new_world{ b = speaks() }, { text = text() }
    for _ = 1, 5 do read(prompts.say(world, tenant, { text = text() }, { A, B })) end
    local before = #world.asked
    read(prompts.say(world, tenant, asked, { A, B }))
    read(prompts.say(world, tenant, asked, { A, B }))
    assert.equal(before + 1, #world.asked)
  end)

  it("that many ask for at once is rendered once", function()
    local answer = speaks()
    answer.wait_ms = 5
    local world, asked, done = new_world{ a = answer }, { text = text() }, 0
    for _ = 1, 10 do
      task.spawn(function()
        assert.equal(PCM, (read(prompts.say(world, tenant, asked, { A }))))
        done = done + 1
      end)
    end
    for _ = 1, 200 do
      if done < 10 then task.sleep(5) end
    end
    assert.equal(10, done)
    assert.equal(1, #world.asked)
  end)

  -- It lay there for whoever reads the disk: its sound, and its text in the marks.
  it("is sealed where it lies, and its name tells nothing of what was said", function()
    local world, said = new_world{ a = speaks() }, text() .. ", for Erika Mustermann"
    local already = {}
    for _, key in ipairs(blobs_of(tenant.id)) do already[key] = true end
    assert.is_false(is_kept(world, { text = said }))
    local found
    for _, key in ipairs(blobs_of(tenant.id)) do
      if not already[key] then found = key end
    end
    local bytes = blob.get(found)
    assert.is_nil(bytes:find(PCM:sub(1, 64), 1, true))
    assert.is_nil(bytes:find("rate", 1, true))
    assert.is_nil(bytes:find("Mustermann", 1, true))
    for _, plain in ipairs{ said, "piper\0http://a\0\0\0\0\0\0" .. said } do
      assert.is_nil(found:find(crypto.hex(crypto.sha256(plain)):sub(1, 16), 1, true))
      assert.is_nil(found:find(crypto.hex(crypto.hmac(tenant.key, plain)):sub(1, 16), 1, true), "the key that seals all else names nothing")
    end
    assert.is_true(is_kept(world, { text = said }))
  end)

  it("with a byte that is not as it was, or of another prompt or tenant, is rendered anew and takes that one's place", function()
    local world, said, more = new_world{ a = speaks() }, { text = text() }, { text = text() }
    local names = {}
    for i, asked in ipairs{ said, more } do
      local before = {}
      for _, key in ipairs(blobs_of(tenant.id)) do before[key] = true end
      assert.is_false(is_kept(world, asked))
      for _, key in ipairs(blobs_of(tenant.id)) do
        if not before[key] then names[i] = key end
      end
    end
    local bytes = blob.get(names[1])
    for _, at in ipairs{ 1, 13, 40, math.floor(#bytes / 2), #bytes } do
      blob.put(names[1], bytes:sub(1, at - 1) .. string.char((bytes:byte(at) + 1) % 256) .. bytes:sub(at + 1))
      assert.is_false(is_kept(world, said), "byte " .. at)
      assert.is_true(is_kept(world, said))
    end
    for _, wrong in ipairs{ "", "{", bytes:sub(1, -2), bytes .. "x", blob.get(names[2]), '{"rate":8000,"marks":[]}\n' .. PCM } do
      blob.put(names[1], wrong)
      assert.is_false(is_kept(world, said))
      assert.is_true(is_kept(world, said))
    end
    blob.put(names[1]:gsub("/901/", "/902/"), bytes)
    assert.is_nil(renderings.read(other, names[1]:match("([^/]+)%.prompt$")))
  end)

  it("goes when it is old, and so does what was left there unsealed; others' stay", function()
    local world, asked = new_world{ a = speaks() }, { text = text() }
    assert.is_false(is_kept(world, asked))
    read(prompts.say(world, other, asked, { A }))
    task.sleep(100)
    blob.put("speech/0123.prompt", '{"rate":8000,"marks":[]}\n' .. PCM)
    renderings.expire(tenant, clock.wall_us() - 60e6)
    assert.is_nil(blob.get("speech/0123.prompt"))
    assert.is_true(is_kept(world, asked))
    assert.is_true(renderings.expire(tenant, clock.wall_us() + 60e6) > 0)
    assert.same({}, blobs_of(tenant.id))
    assert.is_true(#blobs_of(other.id) > 0)
    assert.is_false(is_kept(world, asked))
    assert.is_true(renderings.remove_all(tenant) > 0)
    assert.same({}, blobs_of(tenant.id))
  end)

  -- One of them kept the prompts of all tenants, and of closed ones.
  it("goes though there are files of others beside it, and one that cannot be removed", function()
    renderings.write(tenant, renderings.name(tenant, { "old" }), { rate = 8000, marks = {}, pcm = PCM })
    local folders, foreign = { "speech/" .. tenant.id }, {}
    for i, folder in ipairs(folders) do
      foreign[i] = config.blobs.directory .. "/" .. folder .. "/.DS_Store"
      assert(file.write(foreign[i], "x"))
      assert(blob.put(folder .. "/.nfs0001", "x"))
    end
    local real = blob.remove
    function blob.remove(key)
      if key:find("%.nfs") then return nil, { code = "io", text = "removing " .. key .. ": Device or resource busy" } end
      return real(key)
    end
    local ok, count = pcall(renderings.remove_all, tenant)
    blob.remove = real
    assert.is_true(ok, count)
    assert.is_true(count > 0)
    assert.same({ "speech/901/.nfs0001" }, blobs_of(tenant.id))
    assert.equal(1, renderings.remove_all(tenant))
    for _, path in ipairs(foreign) do
      assert.equal("file", file.kind(path))
      assert(os.remove(path))
    end
  end)

  -- It was written where nobody could read it, or not at all, and paid for anew each hour.
  it("is kept without marks that are no text or stand at no time, and is not kept when it is too large with them", function()
    local world, marks = new_world{ a = speaks() }, {}
    local real = synthesiser.say
    function synthesiser.say(...)
      local stream = real(...)
      local next_of, n = stream.next, 0
      function stream:next()
        n = n + 1
        if marks[n] then return marks[n] end
        return next_of(self)
      end
      return stream
    end
    local function mark(said, from_ms, to_ms) return { type = "mark", kind = "word", text = said, from_ms = from_ms, to_ms = to_ms } end
    local asked = { text = text() }
    marks = { mark("good", 0, 10), mark("\255\254", 10, 20), mark("x", 0 / 0, 20), mark("y", 10, math.huge), mark("day", 10, 20) }
    assert.is_false(is_kept(world, asked))
    assert.is_true(is_kept(world, asked))
    local told, stream = {}, prompts.say(world, tenant, asked, { A })
    for event in function() return stream:next() end do
      if event.type == "mark" then told[#told + 1] = event.text end
    end
    assert.same({ "good", "day" }, told)
    asked, marks = { text = text() }, {}
    for i = 1, 30000 do marks[i] = mark(("w"):rep(60), i, i + 1) end
    local before = #blobs_of(tenant.id)
    assert.is_false(is_kept(world, asked))
    synthesiser.say = real
    assert.equal(before, #blobs_of(tenant.id))
    local size = renderings.size{ pcm = PCM, marks = { { kind = "word", text = "good", from_ms = 0, to_ms = 1 } } }
    assert.is_true(size > #PCM + 4)
  end)

  it("is in memory for an hour, however often it is said", function()
    local world, asked, mono_ms = new_world{ a = speaks() }, { text = text() }, clock.mono_ms
    assert.is_false(is_kept(world, asked))
    renderings.remove_all(tenant)
    local gone_ms = 0
    clock.mono_ms = function() return mono_ms() + gone_ms end
    read(prompts.say(world, tenant, asked, { A }))
    assert.equal(1, #world.asked)
    gone_ms = 3600001
    read(prompts.say(world, tenant, asked, { A }))
    clock.mono_ms = mono_ms
    assert.equal(2, #world.asked)
  end)
end)
