-- The default flow, for tenants that have none of their own: greeting, question and response, escalation. It answers from what the tenant has
-- in its knowledge base, and writes down who wants to be called back. routing.lua says who gets it.
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    call:say "Hello, and thank you for calling."
    return "question"
  end,

  -- The caller asks, the agent responds, until one of them ends it or a human is needed.
  question = function(call)
    local talk, err = call:converse {
      greeting = "What can I do for you?", tools = { "lookup_kb", "create_lead", "book_callback", "hangup" },
      prompt = "Answer from what is written down. When you cannot, offer to call back, and ask for the caller's name.",
    }
    if not talk then
      call:log("no conversation: " .. err.text)
      return "escalation"
    end
    call.data.lead, call.data.summary = talk.lead and talk.lead.id, talk.summary
    return talk.wants_human and "escalation" or "goodbye"
  end,

  -- Nobody's number is known here: a message is taken, and whoever calls back knows what it was about.
  escalation = function(call)
    local message, err = call:record { prompt = "Nobody is free right now. Please leave a message after the tone.", seconds = 60 }
    if not message then call:log("no message: " .. err.text) end
    if not call.data.lead then
      local lead, problem = call:create_lead { notes = call.data.summary or "asked for a human" }
      if not lead then call:log("no lead: " .. problem.text) end
    end
    return "goodbye"
  end,

  goodbye = function(call)
    call:say "Thank you. Goodbye."
    call:hangup()
  end,
}
