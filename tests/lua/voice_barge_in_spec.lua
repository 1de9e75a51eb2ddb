-- SPDX-License-Identifier: Apache-2.0
--- The caller's voice over ours: falling silent, stopping, false alarms, passages that are not interrupted, keys, and leaving.
local voice_world = require "voice_world"

local yes_no, four = { kind = "yes_no" }, { kind = "digits", count = 4 }

local function played(world, reply, i) return world:tell("played", { id = reply * 100 + i }) end

describe("a caller who speaks over us", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("silences us as soon as he is noticed, and stops us with two words", function()
    local reply = world:speaks{ 5000 }
    world:pass(1000):voice_on()
    local began = world.now
    world:pass(59)
    assert.equal("", world:acts())
    world:pass(1)
    assert.equal("hush", world:acts())
    local hush = world:last("hush")
    assert.same({ reply, 15, began }, { hush.reply, hush.fade_ms, hush.began })
    world:pass(200):tell("partial", { text = "what about" })
    assert.equal("stop drop", world:acts())
    local stop = world:last("stop")
    assert.same({ reply, true, "words", 15, began }, { stop.reply, stop.sure, stop.why, stop.fade_ms, stop.began })
  end)

  it("is a turn like any other, with all he said", function()
    world:speaks{ 5000 }
    world:pass(1000)
    local began = world.now
    world:says("what about Tuesday?"):final("what about Tuesday?"):pass(1000)
    local commit = world:last("commit")
    assert.same({ "what about Tuesday?", began }, { commit.text, commit.began })
  end)

  it("stops us with one urgent word", function()
    for _, word in ipairs{ "stop", "no", "operator" } do
      world = voice_world.new{ language = "en" }
      world:speaks{ 5000 }
      world:pass(1000):voice_on():pass(160):tell("partial", { text = word })
      assert.equal("hush stop drop", world:acts())
    end
  end)

  it("stops us with one other word when it lasts, is settled, or was all", function()
    world:speaks{ 5000 }
    world:pass(1000):voice_on():pass(160):tell("partial", { text = "Tuesday" })
    assert.equal("hush", world:acts())
    world:pass(100)
    assert.equal("stop drop", world:acts())
    world = voice_world.new{ language = "en" }
    world:speaks{ 5000 }
    world:pass(1000):voice_on():pass(160):final("Tuesday")
    assert.equal("hush stop drop", world:acts())
    world = voice_world.new{ language = "en" }
    world:speaks{ 5000 }
    world:pass(1000):voice(200):pass(220):tell("partial", { text = "Tuesday" })
    assert.equal("hush stop drop begin_model", world:acts())
  end)

  it("stops us also where no voice was noticed", function()
    world:speaks{ 5000 }
    world:pass(1000):tell("partial", { text = "what about Tuesday" })
    assert.equal("stop drop", world:acts())
  end)

  it("stops us in the pause between two pieces, too", function()
    local reply = world:speaks({ 1000 }, { open = true })
    played(world:pass(1000), reply, 1):pass(200):says("what about Tuesday", 400)
    assert.equal("drop", world:acts())
    -- What was on its way is not played any more.
    world:plays(reply, { 2000 })
    assert.equal("stop", world:acts())
    assert.same({ "stale", reply }, { world:last("stop").why, world:last("stop").reply })
  end)

  it("has what was on its way to him stopped, while the next reply is played", function()
    local first = world:speaks{ 5000 }
    world:pass(1000):says("what about Tuesday?"):final("what about Tuesday?"):pass(400)
    local commit = world:last("commit")
    world:plays(commit.reply, { 3000 })
    world:acts()
    world:plays(first, { 2000 })
    assert.equal("stop", world:acts())
    assert.same({ "stale", first }, { world:last("stop").why, world:last("stop").reply })
    assert.equal(1, #world.machine.reply.pieces.list)
  end)

  it("twice within 300 ms stops us once", function()
    world:speaks{ 5000 }
    world:pass(1000):says("wait", 200):pass(100):says("wait wait", 200):pass(100)
    assert.equal("hush stop drop", world:acts())
  end)

  it("just before the end has stopped us, or answered us", function()
    local reply = world:speaks{ 2000 }
    world:pass(1900):voice_on():pass(100)
    played(world, reply, 1):pass(300):voice(10):final("I want to talk"):pass(1000)
    assert.equal("begin_model commit", world:acts())
    assert.equal("I want to talk", world:last("commit").text)
  end)
end)

describe("a back-channel", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("does not stop us, wherever in our speech it is", function()
    for _, at in ipairs{ 300, 1000, 3000 } do
      for _, text in ipairs{ "mm-hm", "yeah", "okay", "right, okay", "I see" } do
        for _, ms in ipairs{ 250, 400, 550 } do
          for _, late in ipairs{ 0, 150, 400 } do
            world = voice_world.new{ language = "en" }
            world:speaks{ 8000 }
            world:pass(at):voice(ms):pass(late):tell("partial", { text = text }):pass(50):final(text):pass(2500)
            assert.equal("hush resume aside", world:acts())
            assert.equal(text, world:last("aside").text)
            assert.is_true(world:last("resume").at - world:last("hush").at <= ms + 400)
          end
        end
      end
    end
  end)

  it("does not stop us in any language that is known", function()
    for language, text in pairs{ de = "ja genau", es = "sí claro", fr = "d'accord", it = "va bene", pt = "tá certo", nl = "mm-hm" } do
      world = voice_world.new{ language = language }
      world:speaks{ 8000 }
      world:pass(1000):says(text, 400):final(text):pass(2500)
      assert.equal("hush resume aside", world:acts(), language)
    end
  end)

  it("does not stop us twice either, nor add up", function()
    world:speaks{ 9000 }
    for _ = 1, 5 do world:pass(700):voice(450) end
    world:pass(3000)
    assert.equal(0, world:count("stop"))
  end)

  it("that becomes more than that stops us", function()
    world:speaks{ 8000 }
    world:pass(1000):voice_on():pass(300):tell("partial", { text = "yeah" }):pass(100):tell("partial", { text = "yeah but what" })
    assert.equal("hush stop drop", world:acts())
  end)

  it("is the answer when it is the last thing over our end", function()
    local reply = world:speaks{ 3000 }
    world:pass(2600):says("yeah", 300):final("yeah"):pass(100)
    played(world, reply, 1):pass(1000)
    assert.equal("yeah", world:last("commit").text)
    assert.equal(0, world:count("stop"))
  end)

  it("is an answer at the end of a question, and none in its midst", function()
    world:expect(yes_no)
    local reply = world:speaks({ 3000, 3000 })
    world:pass(1000):says("yes", 300):final("yes"):pass(1000)
    assert.equal("hush resume", world:acts())
    played(world:pass(700), reply, 1):pass(2000):says("yes", 300):final("yes"):pass(1)
    assert.equal("aside hush stop drop", world:acts())
    world:pass(300)
    assert.equal("yes", world:last("commit").text)
  end)

  it("no is an answer anywhere", function()
    world:expect(yes_no):speaks{ 3000, 3000 }
    world:pass(1000):says("no thanks", 300):pass(1)
    assert.equal("hush stop drop", world:acts())
  end)
end)

describe("a sound without words over us", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("that is short silences us and no more", function()
    world:speaks{ 8000 }
    world:pass(1000):voice(100):pass(1000)
    assert.equal("hush resume", world:acts())
    assert.equal(100 - 60 + 400, world:last("resume").at - world:last("hush").at)
    world:voice(400):pass(3000)
    assert.equal("hush resume", world:acts())
  end)

  it("ducks us only, when it was none three times, until he has said something", function()
    world:speaks({ 60000 })
    for _ = 1, 3 do world:pass(1000):voice(200):pass(1000) end
    assert.equal("hush resume hush resume hush resume", world:acts())
    world:voice(200):pass(1000)
    assert.equal("duck unduck", world:acts())
    assert.equal(12, world:last("duck").db)
    world:says("what about Tuesday"):final("what about Tuesday"):pass(1000)
    assert.equal("duck stop drop begin_model commit", world:acts())
    world:plays(world:last("commit").reply, { 5000 })
    world:pass(1500):voice(100)
    assert.equal("hush", world:acts())
  end)

  it("silences us again when the line has been calm for three seconds", function()
    world:speaks({ 60000 })
    for _ = 1, 3 do world:pass(1000):voice(200):pass(1000) end
    world:pass(2400):acts()
    world:voice(200):pass(1000)
    assert.equal("hush resume", world:acts())
    world:voice(200):pass(1000)
    assert.equal("duck unduck", world:acts())
  end)

  it("that is mm-hm silences us each time: he has said something", function()
    world:speaks({ 60000 })
    for _ = 1, 6 do world:pass(1000):says("mm-hm", 300):final("mm-hm"):pass(1000) end
    assert.equal(6, world:count("hush"))
    assert.equal(6, world:count("resume"))
  end)

  it("does not silence the end of our last word", function()
    local reply = world:speaks{ 3000, 1000 }
    played(world:pass(3000), reply, 1)
    world:pass(650):voice(100)
    assert.equal("", world:acts())
    -- Its length may be known only when all of it is there; what comes behind it is not its end.
    world = voice_world.new{ language = "en" }
    reply = world:speaks{ false }
    world:pass(1000):tell("whole", { id = reply * 100 + 1, ms = 500 }):pass(150):voice(100)
    assert.equal("", world:acts())
    world = voice_world.new{ language = "en" }
    world:speaks({ 1000 }, { open = true })
    world:pass(800):voice(100)
    assert.equal("hush", world:acts())
  end)

  it("that silenced those who are about to put him through does so no more", function()
    world:speaks{ 5000 }
    world:pass(1000):voice_on():pass(60)
    assert.equal("hush", world:acts())
    world:tell("leave", { how = "transfer" }):pass(100)
    assert.equal("resume duck", world:acts())
  end)

  it("that lasts stops us, but what we were saying is held until it is sure", function()
    local reply = world:speaks{ 8000 }
    world:pass(1000):voice_on():pass(790)
    assert.equal("hush", world:acts())
    world:pass(10)
    assert.equal("stop", world:acts())
    assert.same({ false, "voice" }, { world:last("stop").sure, world:last("stop").why })
    -- A piece that was on its way waits with the rest.
    world:plays(reply, { 1000 })
    assert.same({ false, "held" }, { world:last("stop").sure, world:last("stop").why })
    world:acts()
    world:pass(500):tell("partial", { text = "Tuesday" })
    assert.equal("drop", world:acts())
    world:voice(10):final("Tuesday is fine."):pass(500)
    assert.equal("Tuesday is fine.", world:last("commit").text)
  end)

  it("was a false alarm when no word follows, and we go on", function()
    local reply = world:speaks{ 8000 }
    world:pass(1000):voice(1000)
    assert.equal("hush stop", world:acts())
    local silent = world:last("hush").at
    world:pass(5000)
    assert.equal("resume", world:acts())
    assert.same({ silent + 2000, reply }, { world:last("resume").at, world:last("resume").reply })
    assert.is_true(world.machine.reply.pieces:empty())
    -- The rest is played, and its end is the caller's turn as ever.
    world:plays(reply, { 2000 })
    world:tell("replied", { reply = reply }):pass(2000)
    played(world, reply, 1):pass(7100)
    assert.equal("silence", world:last("prompt").why)
  end)

  it("was a false alarm also when it was but a long mm-hm", function()
    world:speaks{ 8000 }
    world:pass(1000):voice(1000):tell("partial", { text = "mm-hm" }):pass(3000)
    assert.equal("hush stop aside resume", world:acts())
  end)

  it("begins as a back-channel of two words does: its first word alone stopped us", function()
    world:speaks{ 8000 }
    world:pass(1000):voice(300):tell("partial", { text = "I" }):pass(200):final("I see."):pass(2000)
    assert.equal("hush resume aside", world:acts())
    world:voice_on():pass(300):tell("partial", { text = "all" }):pass(50)
    assert.equal("hush", world:acts())
    world:tell("partial", { text = "all of them" })
    assert.equal("stop drop", world:acts())
  end)

  it("keeps an answer from beginning in the midst of it, and takes the turn back when it has words", function()
    local commit = world:takes_turn("I have two questions.")
    world:voice_on():pass(100)
    world:plays(commit.reply, { 3000 })
    assert.equal("stop", world:acts())
    world:pass(300):tell("partial", { text = "The first" })
    assert.equal("take_back", world:acts())
  end)

  it("that kept an answer from beginning and was none lets it begin when it has ended", function()
    local commit = world:takes_turn("I have two questions.")
    world:voice_on():pass(100)
    world:plays(commit.reply, { 3000 })
    world:voice(50):pass(590)
    assert.equal("stop", world:acts())
    world:pass(20)
    assert.equal("resume", world:acts())
    assert.equal(commit.reply, world:last("resume").reply)
  end)

  it("takes longer to stop us on a line that has given false alarms", function()
    local reply = world:speaks{ 60000 }
    world:pass(1000):voice(1000):pass(3000)
    world:plays(reply, { 60000 })
    world:acts()
    world:voice_on():pass(1390)
    assert.equal("hush", world:acts())
    world:pass(20)
    assert.equal("stop", world:acts())
  end)

  it("that does not stop, as music does not, held us for a minute: it is noise, and we go on over it", function()
    local reply = world:speaks{ 8000 }
    world:pass(1000):voice_on():pass(3900)
    assert.equal("hush stop resume", world:acts())
    assert.equal(world:last("hush").at + 3000, world:last("resume").at)
    world:plays(reply, { 7000 })
    world:pass(6000)
    assert.equal("", world:acts())
    -- Words in it are his, and after a quiet it is a voice again.
    world:tell("partial", { text = "Excuse me" })
    assert.equal("stop drop", world:acts())
  end)

  it("that went on as noise is a voice again after a quiet", function()
    local reply = world:speaks{ 8000 }
    world:pass(1000):voice_on():pass(3900)
    world:plays(reply, { 60000 })
    world:acts()
    world:voice(10):pass(1000):voice_on():pass(1500)
    assert.equal("hush stop", world:acts())
  end)

  it("that went on as noise to its end is no reason to ask what was said", function()
    local reply = world:speaks{ 8000 }
    world:pass(1000):voice_on():pass(3900)
    world:plays(reply, { 1000 })
    world:tell("replied", { reply = reply }):pass(1000):tell("played", { id = reply * 100 + 1 })
    world:pass(3000):voice(10):pass(2500)
    assert.is_nil(world:last("prompt"))
  end)

  it("that was mm-hm and no more kept us silent for two seconds: we go on when that is settled", function()
    world:speaks{ 8000 }
    world:pass(1000):voice(900):pass(150):final("Mm-hm.")
    local quiet = world.now - 150
    world:pass(3000)
    assert.equal("hush stop aside resume", world:acts())
    assert.equal(quiet + 600, world:last("resume").at)
  end)

  it("keeps fillers silent", function()
    world:takes_turn("Hello there.")
    world:voice_on():pass(600)
    assert.equal("", world:acts())
  end)
end)

describe("a passage that may not be interrupted", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("is neither silenced nor stopped for speech", function()
    world:speaks({ 6000 }, { guard = "speech" })
    world:pass(1000):says("what about Tuesday", 2000):final("what about Tuesday"):pass(2000)
    assert.equal("aside", world:acts())
  end)

  it("is stopped by a key, unless that may not either", function()
    local reply = world:speaks({ 6000 }, { guard = "speech" })
    world:pass(1000):keys("1")
    assert.equal("stop drop commit", world:acts())
    assert.same({ reply, "key", true }, { world:last("stop").reply, world:last("stop").why, world:last("stop").sure })
    world = voice_world.new()
    reply = world:speaks({ 6000 }, { guard = "all" })
    world:pass(1000):keys("1"):pass(5000)
    assert.equal("", world:acts())
    played(world, reply, 1)
    assert.equal("commit", world:acts())
  end)

  it("does not let what was said over it stop what follows", function()
    local reply = world:speaks({ 3000 }, { guard = "speech", open = true })
    world:tell("play", { reply = reply, id = 7, ms = 5000 })
    world:pass(500):says("what about Tuesday", 1000):pass(1400)
    played(world, reply, 1):pass(1000)
    assert.equal("", world:acts())
  end)

  it("lets who speaks on into what follows stop that", function()
    local reply = world:speaks({ 3000 }, { guard = "speech", open = true })
    world:tell("play", { reply = reply, id = 7, ms = 5000 })
    world:pass(1000):voice_on():pass(2000)
    played(world, reply, 1):pass(160)
    assert.equal("hush", world:acts())
    world:tell("partial", { text = "what about Tuesday" })
    assert.equal("stop drop", world:acts())
  end)

  it("may be answered with its last words", function()
    local reply = world:speaks({ 3000 }, { guard = "speech" })
    world:pass(2500):says("yes I agree", 400):final("yes I agree"):pass(100)
    played(world, reply, 1):pass(700)
    assert.equal("yes I agree", world:last("commit").text)
  end)
end)

describe("a key", function()
  it("stops us at once, and is an answer", function()
    local world = voice_world.new()
    world:speaks{ 5000 }
    world:pass(1000):keys("2")
    assert.equal("stop drop commit", world:acts())
    assert.equal("2", world:last("commit").keys)
  end)

  it("stops us although more are wanted", function()
    local world = voice_world.new()
    world:expect(four):speaks{ 5000 }
    world:pass(1000):keys("4")
    assert.equal("stop drop", world:acts())
    world:keys("711")
    assert.equal("4711", world:last("commit").keys)
  end)

  it("that was pressed before we began is not talked over", function()
    local world = voice_world.new{ language = "en" }
    local commit = world:takes_turn("Hello there.")
    world:keys("1")
    assert.equal("", world:acts())
    world:plays(commit.reply, { 3000 })
    assert.equal("stop drop commit", world:acts())
  end)

  it("ends what is held", function()
    local world = voice_world.new()
    world:speaks{ 8000 }
    world:pass(1000):voice(1000):keys("1")
    assert.equal("hush stop drop commit", world:acts())
  end)
end)

describe("a transfer or hang-up", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("waits until the sentence before it was heard", function()
    local reply = world:speaks{ 2000, 1000 }
    world:tell("leave", { how = "transfer" }):pass(2000)
    played(world, reply, 1):pass(1000)
    assert.equal("", world:acts())
    played(world, reply, 2):pass(249)
    assert.equal("", world:acts())
    world:pass(1)
    assert.equal("go", world:acts())
    assert.equal("transfer", world:last("go").how)
    assert.is_nil(world.machine:due())
  end)

  it("waits also for a sentence that is not there yet", function()
    local commit = world:takes_turn("Put me through please.")
    world:tell("leave", { how = "transfer" }):pass(100)
    assert.equal("", world:acts())
    world:plays(commit.reply, { 1000 })
    world:tell("replied", { reply = commit.reply }):pass(1000)
    played(world, commit.reply, 1):pass(250)
    assert.equal("go", world:acts())
  end)

  it("goes at once when nothing is said", function()
    world:tell("leave", { how = "hangup" })
    assert.equal("go", world:acts())
  end)

  it("is called off when the caller has something to say, but not for a sound", function()
    world:speaks{ 5000 }
    world:tell("leave", { how = "hangup" }):pass(1000):voice(1500):pass(500)
    assert.equal("duck unduck", world:acts())
    world:says("wait, one more thing"):pass(1)
    assert.equal("duck stop drop stay", world:acts())
    assert.equal("hangup", world:last("stay").how)
  end)

  -- He was put through in the midst of his sentence: the reply that had asked for it was none any more.
  it("is called off with the reply that asked for it, when the caller goes on", function()
    local commit = world:takes_turn("Put me through to sales.")
    world:plays(commit.reply, { 3000 })
    world:tell("leave", { how = "transfer" }):pass(200)
    world:says("or wait", 400):final("or wait"):pass(400)
    assert.equal(1, world:count("take_back"))
    assert.equal(0, world:count("go"))
    assert.equal("transfer", world:last("stay").how)
  end)

  -- Of a "no, wait" at its end the text came when the call was gone.
  it("waits for the text of what was begun to be said before it, and is called off by that", function()
    local reply = world:speaks{ 2000 }
    world:tell("leave", { how = "transfer" }):pass(1800):voice_on():pass(200)
    played(world, reply, 1):pass(600):voice_off():pass(1900)
    assert.equal(0, world:count("go"))
    world:final("no wait"):pass(400)
    assert.same({ "no wait", "transfer", 0 }, { world:last("commit").text, world:last("stay").how, world:count("go") })
  end)

  it("is called off by a no that the recogniser does not settle, when nothing more comes of it", function()
    local reply = world:speaks{ 2000 }
    world:tell("leave", { how = "transfer", handed = true }):pass(1800):voice_on():pass(200)
    played(world, reply, 1):pass(300):voice_off():tell("partial", { text = "no" }):pass(1000)
    assert.same({ 0, 0 }, { world:count("go"), world:count("stay") })
    world:pass(1000)
    assert.same({ 0, 1 }, { world:count("go"), world:count("stay") })
    assert.equal("no", world:last("commit").text)
    world = voice_world.new{ language = "en" }
    world:speaks{ 6000 }
    world:tell("leave", { how = "transfer", handed = true }):pass(1000):voice_on():pass(300):tell("partial", { text = "no" }):voice_off():pass(1600)
    assert.same({ 1, 1 }, { world:count("stop"), world:count("stay") })
  end)

  it("is not called off by thanks in the midst of it, nor what he says who is handed over, and ours is said on", function()
    for text, handed in pairs{ ["thank you very much"] = false, ["no problem"] = false, ["my roof is leaking since the storm"] = true } do
      world = voice_world.new{ language = "en" }
      local reply = world:speaks{ 5000 }
      world:tell("leave", { how = "x", handed = handed }):pass(1000)
      world:says(text, 600):final(text):pass(3000)
      played(world, reply, 1):pass(300)
      assert.same({ 0, 0, 1 }, { world:count("stop"), world:count("stay"), world:count("go") }, text)
      assert.equal(text, world:last("aside").text)
    end
  end)

  it("waits two seconds for a text that does not come, and not for music", function()
    local reply = world:speaks{ 2000 }
    world:tell("leave", { how = "transfer" }):pass(1800):voice_on():pass(200)
    played(world, reply, 1):pass(600):voice_off():pass(1990)
    assert.equal(0, world:count("go"))
    world:pass(20)
    assert.equal(1, world:count("go"))
    world = voice_world.new{ language = "en" }
    reply = world:speaks{ 2000 }
    world:tell("leave", { how = "hangup" }):pass(1800):voice_on():pass(200)
    played(world, reply, 1):pass(2790)
    assert.equal(0, world:count("go"))
    world:pass(20)
    assert.equal(1, world:count("go"))
  end)

  it("is done as soon as it is clear that he is glad of it, and what he said is told", function()
    for text, how in pairs{ ["yes please, thank you"] = "transfer", ["okay"] = "transfer", ["Thanks, bye!"] = "hangup" } do
      world = voice_world.new{ language = "en" }
      local reply = world:speaks{ 2000 }
      world:tell("leave", { how = how }):pass(1800):voice_on():pass(200)
      played(world, reply, 1):pass(300):voice_off():pass(700):final(text):pass(1)
      assert.same({ how, text, 0 }, { world:last("go").how, world:last("aside").text, world:count("commit") })
    end
  end)

  it("waits for nothing that he begins to say where it is firm", function()
    local reply = world:speaks{ 2000 }
    world:tell("leave", { how = "limit", firm = true }):pass(1800):voice_on():pass(200)
    played(world, reply, 1):pass(260)
    assert.equal(1, world:count("go"))
  end)

  it("is not held up for ever by a sentence that never ends", function()
    world:speaks({ 60000 }, { open = true })
    world:tell("leave", { how = "hangup" }):pass(20000)
    assert.equal("go", world:acts())
  end)
end)

describe("what of ours is played", function()
  local world
  before_each(function() world = voice_world.new{ language = "en" } end)

  it("is over when its end should have been told long ago", function()
    world:speaks{ 2000 }
    world:pass(5000 + 7000)
    assert.equal("prompt", world:acts())
  end)

  it("has the length that was told of its place", function()
    local reply = world:speaks{ 2000 }
    world:pass(1000):tell("position", { id = reply * 100 + 1, ms = 0 }):pass(4990 + 7000)
    assert.equal("", world:acts())
    world:pass(10)
    assert.equal("prompt", world:acts())
  end)

  it("is not confused by ends of what was stopped, or of nothing", function()
    local reply = world:speaks{ 5000 }
    world:pass(1000):says("what about Tuesday"):acts()
    played(world, reply, 1):tell("played", { id = 999 }):tell("replied", { reply = 77 }):tell("bound", { reply = 77 }):tell("position", { id = 5, ms = 5 })
    assert.equal("", world:acts())
  end)

  it("is never more than 64 pieces, and each once", function()
    local reply = world:speaks({}, { open = true })
    for i = 1, 200 do world:tell("play", { reply = reply, id = math.ceil(i / 2), ms = 100 }) end
    assert.equal(64, #world.machine.reply.pieces.list)
  end)

  it("can be one more thing of the same reply", function()
    local reply = world:speaks{ 2000 }
    assert.equal(reply, world:speaks{})
    played(world, reply, 1)
    assert.equal("caller", world.machine.floor)
    -- What was over is not, until that is told again.
    reply = world:speaks{ 2000 }
    world:tell("say")
    played(world, reply, 1)
    assert.equal("reply", world.machine.floor)
    world:tell("replied", { reply = reply })
    assert.equal("caller", world.machine.floor)
  end)

  it("is not interrupted when everything was given up, and can be begun anew", function()
    for _ = 1, 3 do world:pass(8000):tell("replied", { reply = world.machine.replies }) end
    assert.equal(1, world:count("give_up"))
    world:speaks{ 2000 }
    world:pass(500):says("what about Tuesday"):keys("1"):pass(1000)
    assert.equal(0, world:count("stop"))
    world:tell("leave", { how = "hangup" }):pass(3250)
    assert.equal("hangup", world:last("go").how)
    world:expect{ kind = "open" }:pass(7000)
    assert.same({ "silence", 1 }, { world:last("prompt").why, world:last("prompt").n })
    assert.is_true(world:last("prompt").at == world.now)
  end)
end)
