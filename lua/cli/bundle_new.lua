-- SPDX-License-Identifier: Apache-2.0
--- The bundle that `parley bundle new` makes: it works as it is, and shows one of everything.
local new = {}

local files = {}

files["bundle.lua"] = [[
-- Which number runs which flow, and what callers get when a flow cannot go on.
return {
  name = "my bundle",
  numbers = { ["*"] = "flows/main.lua" }, -- or one of yours, such as ["+15550100"]
  fallback = { say = "We are sorry, something went wrong. Please leave a message after the tone.", voicemail = true },
}
]]

files["flows/main.lua"] = [[
-- A call is a walk from state to state: each is a function that does things with the call and returns the next one's name.
local flow = require "flow"
local hours = require "lib.hours"

return flow.define {
  start = "greeting",

  greeting = function(call)
    call:say "Hello, and thank you for calling."
    if not hours.are_open(call:now()) then return "message" end
    return call:menu {
      prompt = "Press 1 to leave a message, or 2 to hear when we are open.",
      ["1"] = "message", ["2"] = "opening_hours", otherwise = "message",
    }
  end,

  opening_hours = function(call)
    call:say(hours.text)
    return "goodbye"
  end,

  message = function(call)
    local message = call:record { prompt = "Please leave your message after the tone.", seconds = 60 }
    local notes = message and ("a message of %d seconds"):format(message.seconds) or "the message could not be recorded"
    call.data.lead = call:create_lead { notes = notes }
    return "goodbye"
  end,

  goodbye = function(call)
    call:say "Goodbye."
    call:hangup()
  end,
}
]]

files["lib/hours.lua"] = [[
-- When somebody is there. Files of the bundle are found by require, with dots for slashes.
local hours = { opens = 8, closes = 18, text = "We are there every day from eight to six, universal time." }

-- now: seconds since 1970, as call:now() gives them.
function hours.are_open(now)
  local hour = math.floor(now / 3600) % 24
  return hour >= hours.opens and hour < hours.closes
end

return hours
]]

files["spec/main_spec.lua"] = [[
-- Run by `parley bundle test`, and by the server before a version goes live.
describe("the front desk", function()
  it("tells in the morning when it is open", function()
    local call = simulate { now = "2026-11-26T09:00:00Z", steps = { { key = "2" } } }
    assert.same({ "greeting", "opening_hours", "goodbye" }, call.states)
  end)

  it("takes a message at night without asking", function()
    local call = simulate { now = "2026-11-26T23:00:00Z", steps = { { say = "Please call me back." }, { key = "#" } } }
    assert.same({ "greeting", "message", "goodbye" }, call.states)
  end)
end)
]]

files["README.md"] = [[
# A bundle

`bundle.lua` says which number runs which flow; `flows/` has the flows, `lib/` what they share, `sounds/` recordings for
`call:play`, and `spec/` the tests that must pass before a version goes live. What a call can do stands in the script
reference: `GET /scripts/reference` of your server.

    parley bundle check .                 is anything wrong? Says file and line, and keeps nothing
    parley bundle push .                  upload as a version; nothing goes live yet
    parley bundle canary VERSION --share 10    let a tenth of new calls try it; it ends by itself when too many fail
    parley bundle canary promote          all new calls get it
    parley bundle publish VERSION         or put it live at once
    parley bundle rollback                the version before is live again, at once
    parley bundle logs -f                 what scripts log, and where they fail

Calls that are up end on the version they began with.
]]

files[".luarc.json"] = [[
{
  "runtime.version": "LuaJIT",
  "runtime.path": ["?.lua"],
  "runtime.builtin": { "io": "disable", "debug": "disable", "coroutine": "disable", "package": "disable", "ffi": "disable", "jit": "disable" },
  "workspace.library": [".parley"],
  "diagnostics.globals": ["describe", "it", "before_each", "after_each", "simulate", "hook"]
}
]]

--- path -> bytes. The library file is the editor's: what it knows of a call object.
function new.files()
  local made = {}
  for path, text in pairs(files) do made[path] = text end
  local there, annotations = pcall(require, "scripts.annotations")
  if there then made[".parley/parley.lua"] = annotations.text() end
  return made
end

return new
