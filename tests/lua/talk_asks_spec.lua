-- SPDX-License-Identifier: Apache-2.0
--- What a conversation asks of its script: one question at a time, each answered once.
local asks = require "calls.talk.asks"
local task = require "core.task"

describe("a question to the script", function()
  local timers, woken, questions

  local function make(kept)
    timers, woken = {}, 0
    questions = asks.new({
      after = function(_, fn)
        local timer = { fire = fn }
        timer.cancel = function() timer.cancelled = true end
        timers[#timers + 1] = timer
        return timer
      end,
      wake = function() woken = woken + 1 end,
    }, kept)
    return questions
  end

  local function ask(question)
    local back = {}
    task.spawn(function() back.told, back.err = questions:ask(question, 1000) end)
    return back
  end

  it("is answered by what the script gave, and its clock is let go of", function()
    make()
    local back = ask{ tool = "price", given = { size = 4 } }
    assert.equal(1, woken)
    assert.same({ id = 1, tool = "price", given = { size = 4 } }, questions:next())
    assert.is_true(questions:tell{ id = 1, value = 7 })
    assert.equal(7, back.told.value)
    assert.is_true(timers[1].cancelled)
  end)

  it("waits until the one before has been answered", function()
    make()
    local one, two = ask{ tool = "a", given = {} }, ask{ tool = "b", given = {} }
    assert.equal("a", questions:next().tool)
    assert.is_nil(questions:next())
    questions:tell{ id = 1, value = 1 }
    assert.equal(1, one.told.value)
    assert.equal("b", questions:next().tool)
    assert.is_nil(two.told)
  end)

  it("that is not answered in time is asked no more, and a late answer is nobody's", function()
    make()
    local one, two = ask{ tool = "a", given = {} }, ask{ tool = "b", given = {} }
    questions:next()
    timers[1].fire()
    timers[2].fire()
    assert.equal("timeout", one.err.code)
    assert.equal("timeout", two.err.code)
    assert.is_true(questions:tell{ id = 1, value = 1 })
    assert.is_nil(questions:next())
    assert.is_false(questions:tell{ id = 2, value = 1 })
  end)

  it("is refused when more wait than a script can be asked, and waits for nothing", function()
    make()
    local list = {}
    for i = 1, 100 do list[i] = ask{ given = { n = i }, said = ("well "):rep(2000) } end
    assert.equal("busy", list[100].err.code)
    assert.is_true(#timers < 50)
    local first = questions:next()
    assert.equal(1, first.given.n)
    assert.is_true(#questions:kept().open.said <= 4096)
    questions:tell{ id = first.id, value = true }
    assert.is_true(list[1].told.value)
    assert.is_nil(ask{ given = { n = 101 } }.err)
  end)

  it("is answered by nobody when the conversation is over", function()
    make()
    local one, two = ask{ tool = "a", given = {} }, ask{ tool = "b", given = {} }
    questions:next()
    questions:close()
    assert.equal("gone", one.err.code)
    assert.equal("gone", two.err.code)
    assert.equal("gone", ask{ tool = "c", given = {} }.err.code)
    assert.is_nil(questions:next())
  end)

  it("that was answered is kept until its turn has ended, within bounds", function()
    make()
    local steps = {}
    ask{ tool = "a", given = { x = 1 }, said = "how much", steps = steps }
    questions:next()
    questions:tell{ id = 1, value = 7 }
    questions:settle(function() return false end)
    assert.same({ { id = 1, tool = "a", given = { x = 1 }, said = "how much", value = 7 } }, questions:kept().done)
    assert.same({ 7 }, { asks.answered({ asks = questions:kept() })[1].value })
    questions:settle(function(of) return of == steps end)
    assert.is_nil(questions:kept().done)
    assert.is_false(asks.answered({ asks = { open = { id = 1, tool = "a", given = {} } } }, { id = 1, value = false })[1].value)
    for i = 2, 20 do
      ask{ tool = "a", given = {} }
      questions:next()
      questions:tell{ id = i, value = ("x"):rep(100000) }
    end
    local done = questions:kept().done
    assert.same({ 12, 20 }, { #done, done[12].id })
    assert.is_nil(done[12].value)
  end)

  it("of a rule that put nobody through is not kept, one that did while that is being done", function()
    make()
    for i, value in ipairs{ false, "lawyer" } do
      ask{ given = { n = i }, said = "well" }
      questions:next()
      questions:tell{ id = i, value = value }
    end
    questions:settle(function() return true end, "human:rule")
    assert.same({ { id = 2, said = "well", value = "lawyer" } }, questions:kept().done)
    questions:settle(function() return true end)
    assert.is_nil(questions:kept().done)
  end)

  it("that was open is known to a successor, who numbers his behind it", function()
    make()
    ask{ tool = "a", given = { x = 1 }, said = "how much" }
    questions:next()
    local kept = questions:kept()
    assert.same({ last = 1, open = { id = 1, tool = "a", given = { x = 1 }, said = "how much" } }, kept)
    make(kept)
    assert.is_false(questions:tell{ id = 1, value = 1 })
    ask{ tool = "b", given = {} }
    assert.equal(2, questions:next().id)
  end)
end)
