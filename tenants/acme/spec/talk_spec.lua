-- What becomes of those who talk with Acme's agent; what the agent says is written down here (`ai`).
describe("a caller who talks with Acme Solar", function()
  it("becomes a lead", function()
    local call = simulate {
      to = "+15550110", steps = { { say = "Tell me about prices." }, { say = "Yes." }, { say = "No." } },
      ai = {
        { tool = "lookup_kb", given = { question = "Tell me about prices." } }, { say = "A roof costs twelve thousand dollars. Shall we call you back about this?" },
        { tool = "create_lead", given = { interest = "prices" } }, { say = "We will call you back. Is there anything else?" },
        { tool = "hangup" }, { say = "Goodbye." },
      },
    }
    assert.equal("prices", call.lead.notes)
    assert.same({ "talk" }, call.states)
  end)

  it("is put through when he wants a human", function()
    local call = simulate { to = "+15550110", steps = { { say = "I want to speak to a human." } }, transfer = "answered" }
    assert.same({ "talk", "human" }, call.states)
    assert.is_nil(call.lead)
  end)

  it("is said goodbye to when nothing is heard of him", function()
    local call = simulate { to = "+15550110", steps = { { silence = 120 } } }
    assert.truthy(table.concat(call.said, " "):find("I cannot hear you", 1, true))
    assert.same({ "talk" }, call.states)
  end)

  it("leaves a message when nobody is free", function()
    local call = simulate { to = "+15550110", steps = { { say = "I want to speak to a human." }, { say = "Please call me back." } }, transfer = "busy" }
    assert.equal("asked for a human", call.lead.notes)
  end)
end)
