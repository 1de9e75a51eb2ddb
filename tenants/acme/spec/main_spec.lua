-- What Acme's callers go through. Run: parley bundle test tenants/acme
describe("a caller of Acme Solar", function()
  it("is greeted and hears the menu", function()
    local call = simulate {}
    assert.matches("Acme Solar", call.said[1])
    assert.matches("Press 1 for sales", call.said[2])
  end)

  it("who presses nothing is told good-bye after three tries", function()
    local call = simulate {}
    assert.same({ "greeting", "goodbye", "ended" }, call.states)
    assert.equal("flow", call.hangup_by)
  end)

  it("hears the opening hours and the menu again", function()
    local call = simulate { steps = { { key = "3" }, { key = "9" } } }
    assert.same({ "greeting", "hours", "greeting", "goodbye", "ended" }, call.states)
  end)

  describe("with a roof", function()
    it("becomes a qualified lead with his zip code", function()
      local call = simulate { steps = { { key = "1" }, { keys = "94107" }, { say = "It is large and faces south." } } }
      assert.equal(60, call.lead.score)
      assert.equal("qualified", call.lead.status)
      assert.matches("zip 94107", call.lead.notes)
    end)

    it("counts for less when he gives no zip code", function()
      local call = simulate { steps = { { key = "1" }, { silence = 4 }, { say = "It is large." } } }
      assert.equal(30, call.lead.score)
      assert.matches("zip not given", call.lead.notes)
    end)

    it("is no lead when he hangs up before the message", function()
      local call = simulate { steps = { { key = "1" }, { keys = "94107" }, { hangup = true } } }
      assert.is_nil(call.lead)
      assert.same({ "the call ended: caller" }, call.logged)
    end)
  end)

  describe("who needs support", function()
    it("talks to a person", function()
      local call = simulate { steps = { { key = "2" } }, transfer = "answered" }
      assert.same({ "greeting", "support", "goodbye", "ended" }, call.states)
    end)

    it("leaves a message when nobody is free", function()
      local call = simulate { steps = { { key = "2" }, { say = "Please call me back." } }, transfer = "busy" }
      assert.same({ "greeting", "support", "message", "thanks", "goodbye", "ended" }, call.states)
      assert.equal(20, call.lead.score)
    end)
  end)
end)

describe("the score of a lead", function()
  it("is higher for a long, friendly call about a roof", function()
    local short = hook("scoring", { notes = "wrong number", call = { seconds = 20 } })
    local long = hook("scoring", { notes = "a quote for my roof", call = { seconds = 240 }, data = { sentiment = 1 } })
    assert.is_true(long.score > short.score + 50)
    assert.matches("for a call of 240 seconds", long.reasons[1])
  end)
end)
