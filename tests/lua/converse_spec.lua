-- SPDX-License-Identifier: Apache-2.0
--- call:converse around the conversation: what of it is kept, and what it does when the call is no longer there.
require "stand_in"
local cards = require "calls.cards"
local converse = require "calls.converse"
local kb = require "kb"
local keeping = require "calls.keeping"
local live = require "calls.talk.live"
local promise = require "lib.promise"
local providers = require "ai.providers"
local scripts = require "scripts"
local speech = require "speech"
local summaries = require "calls.summaries"
local talk = require "calls.talk"
local task = require "core.task"

local LEFT = "the caller has hung up"

describe("the verb of a conversation", function()
  local real = { new = talk.new, live = live.new, headings = kb.headings, models = providers.models, conversation = speech.conversation, keep = summaries.keep }
  local function sum_up() return { turns = 2, summary = "what was said", sentiment = "neutral" } end
  local call, given, written, entry, ended_how, summed, leads

  before_each(function()
    given, written, entry, ended_how, leads = nil, {}, { name = "converse" }, nil, false
    call = { id = "c-n1-1-x", tenant = { id = 1, slug = "acme" }, visit = 1, digits = {}, leg = {}, journal = { entries = {} },
      sound = function(self) return self.leg end, take_digit = function() end, digits_kept = function() return "" end,
      keep = function(_, fields) written[#written + 1] = fields end,
      happen = function(self, kind) if self.waiting then self.waiting:give(kind) end end,
      await = function(self)
        self.waiting = promise.new()
        return self.waiting:wait()
      end }
    kb.headings, providers.models = function() return {} end, function() return {} end
    speech.conversation = function() return { language = "en", may_lead = function() return leads end } end
    summaries.keep = function(_, about) summed = about end
    talk.new = function(of)
      given = of
      return { begin = function() return true end, close = function(_, keep_sound) ended_how = { keep_sound } end,
        sum_up = sum_up }
    end
  end)

  after_each(function()
    talk.new, live.new, kb.headings, providers.models = real.new, real.live, real.headings, real.models
    speech.conversation, summaries.keep = real.conversation, real.keep
  end)

  -- Begins it: what it gave back, once it is over.
  local function run()
    local back = {}
    task.spawn(function() back.result, back.err = converse.run(call, { limit = {} }, entry, 2) end)
    return back
  end

  local function keep(text) given.world.keep({ history = { turns = { { user = text } } } }, 0) end

  it("broke when the caller went while the knowledge base was read", function()
    local gate = promise.new()
    kb.headings = function() return gate:wait() end
    local back = run()
    call.leg, call.gone_why = nil, "hung up"
    gate:give({})
    assert.same({ code = "gone", text = LEFT }, back.err)
    assert.is_nil(given)
  end)

  it("is left to the next worker when the call moved meanwhile", function()
    local gate = promise.new()
    kb.headings = function() return gate:wait() end
    local back = run()
    call.frozen = true
    gate:give({})
    assert.equal("frozen", back.err.code)
    assert.is_nil(given)
  end)

  -- It was as the caller had said it, and the operator's default flow writes it into a lead's notes.
  it("gives the script a summary that is masked as transcripts are, by the tenant's own forms as well", function()
    local soon, settings = keeping.soon, { masks = { { name = "CONTRACT", form = "AC-######" } } }
    keeping.soon = function() return settings end
    local function summary_of(text)
      local back = run()
      given.world.over{ wants_human = true, why = "asked_for", turns = 1, summary = text }
      entry = { name = "converse" }
      return back.result.summary
    end
    local masked = summary_of('The caller said: "my contract is AC-471108" "call +49 170 1234567 or ann@example.com" '
      .. '"I am on D E eight nine three seven zero four zero zero four four zero five three two zero one three zero zero zero"')
    assert.equal('The caller said: "my contract is [CONTRACT]" "call [PHONE] or [EMAIL]" "I am on [IBAN]"', masked)
    assert.is_nil(summary_of(nil))
    settings = nil
    assert.is_nil(summary_of "what was said", "nobody knows what must be masked")
    keeping.soon = soon
  end)

  it("keeps the newest of what a successor needs when it could not be written at once", function()
    local gate = promise.new()
    call.keep = function(_, fields)
      written[#written + 1] = fields["j1.2"].more.history.turns[1].user
      if #written == 1 then gate:wait() end
    end
    run()
    keep("one")
    keep("two")
    keep("three")
    gate:give()
    assert.same({ "one", "three" }, written)
  end)

  it("wrote its entry into the visit that came next", function()
    local gate = promise.new()
    call.keep = function(_, fields)
      written[#written + 1] = fields
      gate:wait()
    end
    run()
    keep("one")
    keep("two")
    call.visit = 2
    gate:give()
    assert.equal(1, #written)
    assert.is_table(written[1]["j1.2"])
    keep("three")
    assert.equal(1, #written)
  end)

  -- Cut off in the midst of a card's number, it left the recording silent for the rest of the call.
  it("leaves no silence in recordings behind it", function()
    call.recorders = {}
    local back = run()
    require("calls.cards").says(call, "I have 4111 1111 1111 1111.")
    assert.is_true(call.silences.words)
    given.world.over{ why = "hangup", turns = 1 }
    task.sleep(20)
    assert.equal("hangup", back.result.why)
    assert.is_nil(next(call.silences))
  end)

  it("asks for keys as long as it says so, and no longer than it lasts", function()
    for _, ends in ipairs{ function() given.world.over{ why = "hangup", turns = 1 } end, function() call:happen("gone") end } do
      run()
      given.world.asks_keys(true)
      assert.is_true(call.keys_asked)
      given.world.asks_keys(false)
      assert.is_nil(call.keys_asked)
      given.world.asks_keys(true)
      ends()
      task.sleep(20)
      assert.is_nil(call.keys_asked)
      entry = { name = "converse" }
    end
  end)

  -- The line of what was heard before came while a number was being said, and let its sound be written.
  it("leaves a number of ours silent until nothing of ours is heard", function()
    call.recorders = {}
    run()
    local line, is_sounding = { party = "agent", text = "", began_ms = 0, ended_ms = 0 }, true
    call.talk.is_sounding = function() return is_sounding end
    cards.says(call, "I have 4111 1111 1111 1111.")
    given.world.transcript(line)
    assert.is_true(call.silences.words)
    is_sounding = false
    given.world.transcript(line)
    assert.is_nil(next(call.silences))
  end)

  it("keeps nothing for a caller who has hung up", function()
    run()
    call.gone_why = "hung up"
    keep("one")
    assert.same({}, written)
  end)

  it("kept nothing more after a write that broke", function()
    local breaks = true
    call.keep = function(_, fields)
      if breaks then error("broken", 0) end
      written[#written + 1] = fields
    end
    run()
    keep("one")
    breaks = false
    keep("two")
    assert.equal(1, #written)
  end)

  -- Begins one whose script has a tool, and lets it be asked for.
  local function asked()
    local back = run()
    task.spawn(function() back.told, back.problem = given.world.asks:ask({ tool = "price", given = { size = 4 }, said = "how much" }, 1000) end)
    return back
  end

  it("returns with a question to the script, and the conversation goes on", function()
    local back = asked()
    assert.same({ ask = { id = 1, tool = "price", given = { size = 4 } } }, back.result)
    assert.same({ id = 1, tool = "price", given = { size = 4 }, said = "how much" }, entry.more.asks.open)
    assert.is_nil(ended_how)
    assert.is_table(call.talk)
  end)

  it("is asked for again with what the script gave, and comes to its end then", function()
    local back, second = asked(), {}
    entry.done = true
    local next_entry = { name = "converse" }
    call.journal.entries[3] = next_entry
    task.spawn(function() second.result = converse.run(call, { limit = {} }, next_entry, 3, { id = 1, value = 7 }) end)
    assert.equal(7, back.told.value)
    assert.is_nil(second.result)
    keep("one")
    assert.is_nil(entry.more)
    assert.equal("one", next_entry.more.history.turns[1].user)
    assert.is_table(written[#written]["j1.2"])
    assert.is_table(written[#written]["j1.3"])
    given.world.over{ wants_human = true, why = "rule", reason = "x", turns = 0 }
    assert.same({ wants_human = true, why = "rule", reason = "x", turns = 0 }, second.result)
    assert.is_nil(call.talk)
  end)

  it("tells the journal no part that makes a card's number whole, which he began in turns before", function()
    entry.more = { history = { turns = { { user = "my card is 4111 1111" } } } }
    local back = run()
    task.spawn(function() given.world.asks:ask({ given = { n = 2, text = "1111 1111" }, said = "1111 1111" }, 1000) end)
    assert.same({ ask = { id = 1, given = { n = 2, text = "[CARD]" } } }, back.result)
    assert.same({ "my card is [CARD]", "[CARD]" }, { entry.more.history.turns[1].user, entry.more.asks.open.said })
  end)

  it("is taken up by a successor with what was open, and what the script has given to it", function()
    call.journal.entries[2] = { name = "converse", done = true, more = { greeted = true, asks = { last = 1, open = { id = 1, tool = "price", given = {}, said = "how much" } } } }
    entry = { name = "converse" }
    task.spawn(function() converse.run(call, { limit = {} }, entry, 3, { id = 1, value = 7 }) end)
    assert.equal(7, given.told.value)
    assert.equal("how much", given.kept.asks.open.said)
    assert.equal(1, given.world.asks.last)
  end)

  it("is let go of when the call ends, or moves, while the script is at work", function()
    for _, kind in ipairs{ "gone", "frozen", "cut" } do
      local back = asked()
      call.left_talking(kind)
      assert.same({ kind == "frozen" }, ended_how)
      assert.equal(kind ~= "frozen" and "what was said" or nil, summed and summed.summary)
      summed = nil
      assert.is_nil(call.talk)
      assert.equal("gone", back.problem.code)
      ended_how, entry = nil, {}
    end
  end)

  it("tells the script's author what broke", function()
    local logged
    local real_log = scripts.log
    scripts.log = function(_, one) logged = one end
    call.journal.entries = { { name = "say" }, { name = "converse", done = true } }
    task.spawn(function() converse.run(call, { limit = {} }, { name = "converse" }, 3, { id = 1, broke = "flows/main.lua:9: no such field" }) end)
    scripts.log = real_log
    assert.equal("flows/main.lua", logged.file)
    assert.equal(9, logged.line)
    assert.equal("a function of converse: no such field", logged.text)
  end)

  -- A realtime model leads it: what it was made of, and a list of what happened.
  local function led()
    local happened, of = {}, {}
    leads = true
    live.new = function(made)
      of.live = made
      return { begin = function() happened[#happened + 1] = "live begins" return true end, close = function() happened[#happened + 1] = "live closes" end, sum_up = sum_up }
    end
    talk.new = function(made)
      given = made
      return { begin = function() happened[#happened + 1] = "talk begins" return true end, close = function() happened[#happened + 1] = "talk closes" end, sum_up = sum_up }
    end
    return of, happened
  end

  it("has a realtime model lead it, where one may be asked", function()
    local of, happened = led()
    entry = { more = { greeted = true } }
    local back = run()
    assert.is_nil(given)
    assert.is_true(of.live.kept.greeted)
    of.live.world.over{ wants_human = true, why = "transfer", turns = 3 }
    assert.same({ wants_human = true, why = "transfer", turns = 3 }, back.result)
    assert.same({ "live begins", "live closes" }, happened)
    assert.is_nil(entry.more)
  end)

  it("knows of the keys of a card's number also by those that were pressed before it", function()
    local of = led()
    call.recorders = {}
    run()
    for digit in ("4111111111111111"):gmatch("%d") do
      assert.is_false(of.live.world.is_card())
      cards.pressed(call, digit)
    end
    assert.is_true(of.live.world.is_card())
    call.gone_why = "hangup"
  end)

  it("goes on without the realtime model that is lost, as one conversation", function()
    local of, happened = led()
    local back = run()
    local first = call.talk
    of.live.world.over{ lost = { class = "network" }, turns = 1, going = { again = true, kept = { turns = 1, greeted = true } } }
    assert.is_nil(back.result)
    assert.are_not.equal(first, call.talk)
    assert.same({ 1, true, of.live.key }, { given.kept.turns, given.going.again, given.key })
    given.world.over{ wants_human = false, why = "hangup", turns = 2 }
    assert.same({ wants_human = false, why = "hangup", turns = 2 }, back.result)
    assert.same({ "live begins", "live closes", "talk begins", "talk closes" }, happened)
    assert.is_nil(call.talk)
  end)

  -- Its last line was written while it still sounded, and what was silent for it stayed so until the next one's first.
  it("leaves no silence of the realtime model's number to who goes on without it", function()
    local of = led()
    call.recorders = {}
    run()
    of.live.world.telling("I have 4111 1111 1111 1111", 1)
    assert.is_true(call.silences.words)
    of.live.world.over{ lost = { class = "network" }, turns = 1, going = { again = true, kept = { turns = 1, greeted = true } } }
    assert.is_nil(next(call.silences))
    assert.is_not_nil(given)
    given.world.over{ why = "hangup", turns = 1 }
  end)

  it("goes on without the realtime model while the script is at work, and the answer comes to who asked", function()
    local of, happened = led()
    local back, second, told = run(), {}, nil
    task.spawn(function() told = of.live.world.asks:ask({ tool = "price", given = { size = 4 }, said = "how much" }, 1000) end)
    assert.same({ ask = { id = 1, tool = "price", given = { size = 4 } } }, back.result)
    of.live.world.over{ lost = { class = "network" }, turns = 1, going = { again = true, kept = { turns = 1, greeted = true } } }
    assert.same({ "live begins", "live closes", "talk begins" }, happened)
    assert.is_nil(given.told)
    entry.done = true
    given.world.keep({ turns = 1 }, 0)
    assert.same({ id = 1, tool = "price", given = { size = 4 }, said = "how much" }, entry.more.asks.open)
    local next_entry = { name = "converse" }
    call.journal.entries[3] = next_entry
    task.spawn(function() second.result = converse.run(call, { limit = {} }, next_entry, 3, { id = 1, value = 7 }) end)
    assert.equal(7, told.value)
    assert.is_nil(second.result)
    given.world.over{ wants_human = false, why = "hangup", turns = 2 }
    assert.same({ wants_human = false, why = "hangup", turns = 2 }, second.result)
    assert.is_nil(call.talk)
  end)

  it("is let go of, whoever leads, when the caller hangs up while the script is at work", function()
    local of, happened = led()
    local back, problem = run(), nil
    task.spawn(function() local _, err = of.live.world.asks:ask({ given = { n = 1 } }, 1000) problem = err end)
    assert.is_table(back.result.ask)
    of.live.world.over{ lost = { class = "network" }, turns = 0, going = { kept = {} } }
    call.left_talking("gone")
    assert.same({ "live begins", "live closes", "talk begins", "talk closes" }, happened)
    assert.equal("gone", problem.code)
    assert.equal("what was said", summed.summary)
  end)

  it("fails, and is heard of, when nobody can go on without the realtime model", function()
    local of = led()
    talk.new = function() return { begin = function() return nil, { text = "no ears" } end, close = function() end } end
    local back = run()
    of.live.world.over{ lost = { class = "network" }, turns = 0, going = { kept = { turns = 0 } } }
    assert.same({ code = "failed", text = "no ears" }, back.err)
  end)

  it("is taken up with what the script has given by a realtime model, too", function()
    local of = led()
    call.journal.entries[2] = { name = "converse", done = true, more = { greeted = true, asks = { last = 1, open = { id = 1, tool = "price", given = {}, said = "how much" } } } }
    entry = { name = "converse" }
    task.spawn(function() converse.run(call, { limit = {} }, entry, 3, { id = 1, value = 7 }) end)
    assert.same({ 7, "how much", 1 }, { of.live.told.value, of.live.kept.asks.open.said, of.live.world.asks.last })
  end)

  it("is over when the caller hangs up as the realtime model is lost", function()
    local of = led()
    local back = run()
    call.gone_why = "hung up"
    call.await = function() return "gone" end
    of.live.world.over{ lost = { class = "network" }, turns = 0, going = { kept = {} } }
    assert.same({ code = "gone", text = LEFT }, back.err)
  end)

  it("waits for no database when it is asked whether there is a model", function()
    local hurried
    providers.models = function(_, now)
      hurried = now
      return { { provider = "p", model = "m" } }
    end
    run()
    assert.is_true(given.world.has_model())
    assert.is_true(hurried)
  end)
end)
