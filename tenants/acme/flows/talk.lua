-- Acme Solar's other line: an agent talks with the caller, answers from kb/, and writes down who wants to be called back. Without any AI provider, too.
local flow = require "flow"

return flow.define {
  start = "talk",

  talk = function(call)
    local talk, err = call:converse {
      agent = "front desk", greeting = "Acme Solar, good morning. What would you like to know?",
      prompt = "Answer from what is written down, and offer to call back.", tools = { "lookup_kb", "create_lead", "hangup" },
    }
    if not talk then
      call:log("no conversation: " .. err.text)
      return "human"
    end
    call.data.lead = talk.lead
    if talk.why == "silence" then call:say "I cannot hear you. Please call us again. Goodbye." end
    return talk.wants_human and "human" or flow.done
  end,

  human = function(call)
    local outcome, err = call:transfer("+15550142", { timeout = 20 })
    if outcome == "answered" then return flow.done end
    call:log("nobody was reached: " .. err.code)
    call:record { prompt = "Nobody is free right now. Please leave a message after the tone.", seconds = 60 }
    if not call.data.lead then call:create_lead { score = 20, notes = "asked for a human" } end
    call:say "Thank you. We will call you back today."
    call:hangup()
  end,
}
