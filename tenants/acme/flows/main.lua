-- Acme Solar's front desk: sales leaves a message and becomes a lead, support is put through.
local flow = require "flow"

return flow.define {
  start = "greeting",

  greeting = function(call)
    call:say "Thanks for calling Acme Solar."
    return call:menu {
      prompt = "Press 1 for sales, 2 for support, or 3 to hear our opening hours.",
      ["1"] = "sales", ["2"] = "support", ["3"] = "hours", ["9"] = "goodbye", otherwise = "goodbye",
    }
  end,

  sales = function(call)
    local zip = call:gather { prompt = "Please enter your five digit zip code.", digits = 5, timeout = 4 }
    call.data.zip = zip
    local message = call:record { prompt = "Tell us about your roof after the tone, then press hash.", seconds = 30, silence = 2 }
    call.data.lead = call:create_lead {
      score = zip and 60 or 30, status = "qualified",
      notes = ("zip %s, message of %s seconds"):format(zip or "not given", message and message.seconds or 0),
    }
    if call.data.lead then call:log("sales lead " .. call.data.lead.id) end
    return "thanks"
  end,

  thanks = function(call)
    call:say "Thank you. We will call you back today."
    return "goodbye"
  end,

  support = function(call)
    call:say "One moment please, we are connecting you."
    local outcome, err = call:transfer("+15550142", { timeout = 20 })
    if outcome == "answered" then return "goodbye" end
    call:log("support was not reached: " .. err.code)
    return "message"
  end,

  message = function(call)
    call:record { prompt = "Nobody is free right now. Please leave a message after the tone.", seconds = 60 }
    call:create_lead { score = 20, notes = "asked for support" }
    return "thanks"
  end,

  hours = function(call)
    call:say "We are open from Monday to Friday, eight to six."
    return "greeting"
  end,

  goodbye = function(call)
    call:say "Goodbye."
    call:hangup()
  end,

  ended = function(call, why)
    call:log("the call ended: " .. tostring(why))
  end,
}
