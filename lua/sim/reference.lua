-- SPDX-License-Identifier: Apache-2.0
--- The part of the script reference that is about tests and simulated calls: sections as those of scripts.guide.
local reference = {}

local SPEC = [[
describe("a caller", function()
  it("hears a greeting and becomes a lead", function()
    local call = simulate { from = "+12025550123", steps = { { key = "1" }, { silence = 2 }, { hangup = true } } }
    assert.equal("caller", call.hangup_by)
    assert.matches("Hello", call.said[1])
    for _, step in ipairs(call.trace) do
      if step.hook then assert.is_nil(step.error, step.hook) end
    end
  end)
end)
]]

local CALLER = {
  { "`from`, `to`, `direction`", "numbers, and `inbound` (unless given) or `outbound`" },
  { "`flow`, `state`, `data`", "a flow's file, so that neither routing nor the number decides; a state to begin in, and `call.data` there" },
  { "`steps`", "what the caller does, one after the other: `{ key = \"1\" }`, `{ keys = \"94107\" }`, `{ say = \"...\" }`, `{ silence = 5 }`, "
    .. "`{ hangup = true }`, `{ now = ... }` (the clock jumps). With `at` (seconds since the call began) a step is done then, whatever runs; "
    .. "a key with `interrupt = true` does not let a prompt end" },
  { "`transfer`", "what becomes of transfers: `answered`, `busy`, `no_answer`, `rejected`, `limit` or `failed`, or a list of them in turn" },
  { "`fail`", "errors of verbs and hooks: `{ create_lead = { code = \"failed\" } }` each time, `{ create_lead = { false, { code = \"failed\" } } }` "
    .. "in turn; `{ scoring = { code = \"late\" } }` is a hook that takes too long" },
  { "`ai`", "what the AI of conversations does, one after the other: `{ say = \"...\" }`, `{ tool = \"price\", given = { size = 40 } }`, `{ unclear = true }` (it asks again). "
    .. "An answer takes steps up to the first that says something; without any the caller is answered with nothing. Your own tools and your rule are run as in a real call" },
  { "`agents`", "`{ id, name, role }` of those whom `assignment` may choose; two of them unless given" },
  { "`campaign`", "`code`, `id`, `name`, `platform`, `status` of the campaign that an outbound call is for: `may_contact` is asked about it" },
  { "`now`, `seed`, `limit_s`", "when it is, where chance starts, and the longest it may last (3600)" },
}

local RESULT = {
  { "`outcome`", "`done`, `hangup`, `fallback`, `unanswered`, `endless`, or `not_allowed` (by `may_contact`, with `reason`); `hangup_by` says who" },
  { "`states`, `said`, `heard`, `logged`", "lists: states entered, what the caller heard and said, the script log" },
  { "`lead`, `leads`", "the last lead and all: `score`, `reasons` where the hook scored it, `agent` where one was assigned, and the fields given" },
  { "`tools`", "what the AI of conversations used: `{ name, given, result or error }`" },
  { "`route`", "what `routing` gave; nil where there is no such hook, it left the decision, or failed" },
  { "`flow`, `data`, `seconds`", "the flow that ran, `call.data` at its end, how long the call was" },
  { "`error`, `errors`", "`{ kind, text, file, line, state }`: the first and all. A hook that failed is one of kind `hook`; the call goes on" },
  { "`trace`", "each verb, `{ at_ms, state, verb, args, result or error, took_ms }`, and each hook, `{ at_ms, state, hook, input, result or error, "
    .. "fallback, took_ms }`; `fallback` says what is done without its answer" },
}

--- Tests of a bundle, and the calls they simulate.
function reference.sections()
  return { { id = "tests", title = "Tests and simulated calls", blocks = {
    { text = "Files right in `spec/` are the bundle's own tests, in busted's words (`describe it before_each after_each assert.*`). "
      .. "`parley bundle test DIR` runs them on your machine, with no server; the server runs them with each upload, and a version goes live only if they pass. "
      .. "A simulated call is played by the flow engine in a real cell; only telephony, database and clock are not there, so a call of minutes takes "
      .. "milliseconds and is the same each time. `POST /scripts/simulate` plays callers that are sent to it." },
    { file = "spec/main_spec.lua", code = SPEC },
    { head = { "field of simulate { }", "meaning" }, rows = CALLER },
    { head = { "field of what it gives", "meaning" }, rows = RESULT },
    { text = "A simulated call asks the bundle's hooks where a real one does: `may_contact` before an outbound call of a campaign, `routing` when no flow is "
      .. "named, `scoring` and `assignment` with each lead, `scoring` again after the end. A test may also ask one by itself: "
      .. "`hook(\"scoring\", { notes = \"roof\" })` gives what the hook gives, checked as for a real call; nil where it leaves the decision; and "
      .. "`nil, err` with `kind`, `text`, `file` and `line` where it fails. `now` and `seed` are filled in." },
    { text = "`parley bundle test DIR --explore` presses every key, is silent, hangs up everywhere, and lets each verb and each hook fail, and reports "
      .. "crashes, loops, dead ends and states that nothing leads to, each with the shortest caller to paste into a test." },
  } } }
end

return reference
