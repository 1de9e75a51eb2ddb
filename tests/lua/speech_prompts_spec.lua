-- SPDX-License-Identifier: Apache-2.0
--- Prompts rendered before, and the order in which synthesisers are asked: without a network.
local health = require "ai.health"
local prompts = require "speech.prompts"
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

local tenant, other = { key = ("k"):rep(32) }, { key = ("o"):rep(32) }

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
end)
