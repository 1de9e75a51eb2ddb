-- SPDX-License-Identifier: Apache-2.0
--- How much silence ends a turn, and how a caller's own pauses are learned.
local ending = require "voice.ending"
local pauses = require "voice.pauses"

local o = ending.defaults
local open, yes_no, digits = { kind = "open" }, { kind = "yes_no" }, { kind = "digits" }

local function known(...)
  local p = pauses.new()
  for _, ms in ipairs{ ... } do p:add(ms) end
  return p:usual_ms()
end

describe("the silence that ends a turn", function()
  it("is short behind a closed answer and a sentence, long behind an open end", function()
    assert.equal(250, ending.wait_ms(o, "answer", yes_no, true))
    assert.equal(350, ending.wait_ms(o, "whole", open, true))
    assert.equal(450, ending.wait_ms(o, "plain", yes_no, true))
    assert.equal(600, ending.wait_ms(o, "plain", open, true))
    assert.equal(1400, ending.wait_ms(o, "number", open, true))
    assert.equal(2000, ending.wait_ms(o, "open", open, true))
    assert.equal(2000, ending.wait_ms(o, "letters", open, true))
    assert.equal(2500, ending.wait_ms(o, "number", digits, true))
  end)

  it("is longer while the recogniser has not settled the text", function()
    assert.equal(400, ending.wait_ms(o, "answer", yes_no, false))
    assert.equal(750, ending.wait_ms(o, "plain", open, false))
    assert.equal(600, ending.wait_ms(o, "none", open, false))
  end)

  it("follows the caller's own pauses, within bounds", function()
    assert.equal(360, ending.wait_ms(o, "plain", open, true, 200))    -- a quick speaker
    assert.equal(1000, ending.wait_ms(o, "plain", open, true, 900))   -- a slow one
    assert.equal(1500, ending.wait_ms(o, "plain", open, true, 4000))
    assert.equal(2000, ending.wait_ms(o, "open", open, true, 300))    -- an open end is not cut short for a quick one
    assert.equal(3000, ending.wait_ms(o, "open", open, true, 3500))
    assert.equal(3600, ending.wait_ms(o, "number", digits, true, 3500))
    assert.equal(250, ending.wait_ms(o, "answer", yes_no, true, 3500)) -- a closed answer is an answer
  end)

  it("follows a model of turns only where words leave it open", function()
    assert.equal(300, ending.wait_ms(o, "plain", open, true, nil, 0.9))
    assert.equal(2000, ending.wait_ms(o, "whole", open, true, nil, 0.1))
    assert.equal(600, ending.wait_ms(o, "plain", open, true, nil, 0.5))
    assert.equal(250, ending.wait_ms(o, "answer", yes_no, true, nil, 0.1))
    assert.equal(2000, ending.wait_ms(o, "open", open, true, nil, 0.9))
  end)

  it("is never under its least and over its most", function()
    for _, how in ipairs{ "answer", "whole", "plain", "open", "number", "letters", "none" } do
      for _, expect in ipairs{ open, yes_no, digits } do
        for _, usual in ipairs{ 1, 200, 4000 } do
          for _, opinion in ipairs{ 0, 0.5, 1 } do
            local wait = ending.wait_ms(o, how, expect, opinion == 0.5, usual, opinion)
            assert.is_true(wait >= 250 and wait <= 4000)
          end
        end
      end
    end
  end)

  it("lets a model begin early where the end is likely", function()
    for how, likely in pairs{ answer = true, whole = true, plain = true, open = false, number = false, letters = false, none = false } do
      assert.equal(likely, ending.is_likely(how))
    end
    assert.is_false(ending.is_likely("whole", 0.1))
  end)
end)

describe("a caller's pauses", function()
  it("say nothing until there are four", function()
    assert.is_nil(known())
    assert.is_nil(known(300, 300, 300))
    assert.equal(300, known(300, 300, 300, 300))
  end)

  it("are told by the length that nine of ten do not exceed", function()
    assert.equal(900, known(100, 200, 300, 400, 500, 600, 700, 800, 900, 1000))
  end)

  it("forget what was long ago", function()
    local p = pauses.new()
    for _ = 1, 100 do p:add(1500) end
    for _ = 1, 32 do p:add(250) end
    assert.equal(250, p:usual_ms())
    assert.equal(32, #p.list)
  end)

  it("leave out what is no pause of speaking", function()
    assert.equal(300, known(300, 300, 300, 300, 60000, -5, 0, 0 / 0))
  end)
end)
