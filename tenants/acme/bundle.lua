-- What Acme's numbers run, and what happens when a flow cannot go on.
return {
  name = "acme",
  numbers = { ["+15550100"] = "flows/main.lua", ["+15550110"] = "flows/talk.lua", ["*"] = "flows/main.lua" },
  fallback = { say = "We are sorry, something went wrong. Please leave a message after the tone.", voicemail = true },
}
