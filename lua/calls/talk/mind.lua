-- SPDX-License-Identifier: Apache-2.0
--- What is answered to a turn by a model: its text as it streams in, its tools, and the answer after them.
---
---   begin ── may be eager: text waits, nothing is done ── attach ── text flows to the mouth, tools are run ── over
---      └────────────────────────── stop: the stream is reset, what comes is not looked at ───────────────────┘
local bounded = require "calls.talk.bounded"
local json = require "core.json"
local log = require "core.log"
local promise = require "lib.promise"
local task = require "core.task"
local tools = require "calls.talk.tools"

local mind = {}

local ROUNDS = 4         -- of tools in a turn
local CALLS_MOST = 12    -- of them in a turn
local TOOL_MS = 10000
local MOST_TOKENS = 400  -- an answer that is spoken

local RULES = "You are talking with a caller on the telephone, and what you write is spoken. Answer in one to three short sentences of plain words: "
  .. "no lists, no headings, no markup, no emoji. Ask one question at a time. Spell nothing out unless you are asked to. Say only what you know or have looked up; "
  .. "when you do not know something, say so. When the caller wants a human, or you cannot help, put him through."

--- What a model is told before all else.
function mind.system(call, args)
  local who = args.agent and ("You are the agent \"%s\" of %s. "):format(args.agent, call.tenant.name or call.tenant.slug)
    or ("You answer the telephone of %s. "):format(call.tenant.name or call.tenant.slug)
  return who .. RULES .. (args.prompt and "\n\n" .. args.prompt or "")
end

local Thought = {}
Thought.__index = Thought

local function say(self, text)
  if self.stopped or text == "" then return end
  self.spoke = true
  if self.sink then return self.sink.text(text) end
  self.texts[#self.texts + 1] = text
end

local function over(self, outcome)
  if self.stopped then return end
  outcome.spoke, outcome.steps = self.spoke == true, self.steps
  self.outcome = outcome
  if self.sink then self.sink.over(outcome) end
end

local function run_tool(self, call)
  local talk = self.talk
  talk.steps_now = self.steps
  self.calls = self.calls + 1
  local result, err
  if self.calls > CALLS_MOST then
    result, err = nil, { code = "invalid", text = "there were too many calls; answer with what is known" }
  else
    result, err = bounded(talk.world.after, TOOL_MS, tools.run, talk, talk.tools, call.name, call.arguments)
  end
  local ok, text = pcall(json.encode, result or { error = err.text })
  if not ok then
    log.error("converse.tool_broke", { call = talk.call.id, tool = call.name, text = tostring(text) })
    result, err = nil, { code = "failed", text = "something went wrong on our side" }
    text = json.encode{ error = err.text }
  end
  if not result and err.code ~= "invalid" then log.warn("converse.tool_failed", { call = talk.call.id, tool = call.name, code = err.code }) end
  self.steps[#self.steps + 1] = { role = "tool", tool_call_id = call.id, text = text, is_error = not result or nil }
  return result, err
end

-- Runs the calls of an answer: what is to be done behind it.
local function run_tools(self, answer)
  local outcome = {}
  self.steps[#self.steps + 1] = { role = "assistant", text = answer.text, tool_calls = answer.tool_calls, provider_data = answer.provider_data }
  for _, call in ipairs(answer.tool_calls) do
    local result, err = run_tool(self, call)
    if result and result.bound and self.sink then self.sink.bound() end
    outcome.leave = outcome.leave or result and result.leave
    if not result and err.code ~= "invalid" then outcome.human = "tool_failed" end
  end
  return outcome
end

local function ask(self)
  local talk = self.talk
  return talk.world.chat(talk.call.tenant, {
    system = talk.system, messages = talk.history:messages(self.text, self.steps), tools = talk.tools, max_tokens = MOST_TOKENS, prompt_cache = true,
  }, {
    purpose = "call", call_id = talk.call.id, call_row = talk.call.row_id, trace = talk.call.trace and { id = talk.call.trace } or nil,
    bundle = talk.call.hash, cancel = self.cancel, texts_only = true,
    on_event = function(event)
      if event.type == "text" then say(self, event.text) end
    end,
  })
end

local function run(self)
  for round = 1, ROUNDS do
    local answer, err = ask(self)
    if self.stopped then return end
    if not answer then return over(self, { human = "no_answer", err = err }) end
    if answer.degraded == "human" then return over(self, { human = "no_answer" }) end
    if #(answer.tool_calls or {}) == 0 then return over(self, {}) end
    -- Until it is sure that he has ended nothing is done.
    if not self.chosen:wait() then return end
    local outcome = run_tools(self, answer)
    if self.stopped then return end
    if outcome.leave or outcome.human or round == ROUNDS then return over(self, outcome) end
    say(self, "\n")
  end
end

--- Asks a model what to answer. Returns at once.
--- @param talk table   { call, world = { chat, after }, history, tools, system }, and what tools.run takes
--- @param text string  of the caller
function mind.begin(talk, text)
  local self = setmetatable({ talk = talk, text = text, texts = {}, steps = {}, calls = 0, cancel = promise.new(), chosen = promise.new() }, Thought)
  task.spawn(function()
    local ok, err = pcall(run, self)
    if ok then return end
    log.error("converse.answer_broke", { call = talk.call.id, text = tostring(err) })
    over(self, { human = "no_answer" })
  end)
  return self
end

--- It is wanted: what has come is told at once, what comes from now on as it comes.
--- @param sink table  { text = function(text), bound = function(), over = function(outcome) }; outcome: { spoke, steps, leave = "transfer" | "hangup" |
---   nil, human = why | nil }
function Thought:attach(sink)
  self.sink = sink
  local texts, outcome = self.texts, self.outcome  -- what comes to its end from now on tells that itself
  self.texts = {}
  for _, text in ipairs(texts) do sink.text(text) end
  self.chosen:give(true)
  if outcome then sink.over(outcome) end
end

--- Nobody wants it.
function Thought:stop()
  if self.stopped then return end
  self.stopped = true
  self.cancel:give()
  self.chosen:give(false)
end

return mind
