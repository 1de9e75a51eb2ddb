-- SPDX-License-Identifier: Apache-2.0
--- The answerer that needs nobody: it gives the sentence of the tenant's own knowledge base that answers the question, word for word, or says
--- that it does not know. Kind "local", for a tenant without a provider and for when all are down.
local chunks = require "kb.chunks"
local json = require "core.json"
local kb = require "kb"
local metrics = require "core.metrics"
local sentences = require "kb.sentences"
local words = require "kb.words"

local answerer = { kind = "local", capabilities = { tools = false, parallel_tools = false, schema = false, stream = true, embeddings = false, usage_in_stream = true } }

answerer.UNKNOWN = "I am sorry, I do not know that."
local PASSAGES = 4
local ENOUGH = 0.5          -- of what the question says must be in the passage
local MOST_BYTES = 600      -- of an answer
local FOLLOWING_BYTES = 160 -- a short sentence has the one behind it with it

local function question_of(request)
  for i = #request.messages, 1, -1 do
    local message = request.messages[i]
    if message.role == "user" and type(message.text) == "string" and message.text:find("%S") then return message.text end
  end
end

local function terms_of(text)
  local set, list = {}, {}
  for _, term in ipairs(words.terms(text, 48)) do
    if not set[term] then
      set[term] = true
      list[#list + 1] = term
    end
  end
  return set, list
end

-- How many of the question's words are in a text, and how many it has in all.
local function overlap(asked, text)
  local has, list = terms_of(text)
  local common = 0
  for term in pairs(asked) do
    if has[term] then common = common + 1 end
  end
  return common, #list
end

--- The best of a passage: text, or nil. The heading is half of an answer, so a sentence need not say its words again.
local function extract(asked, passage)
  local list = sentences.of(chunks.plain(passage.text))
  local best, best_value = nil, -1
  for i, sentence in ipairs(list) do
    if #sentence > 3 and i <= 100 then
      local common, all = overlap(asked, sentence)
      -- Of two with the same words the first one, and no question: it asks what we were asked.
      local value = common + (all > 2 and 0.25 or 0) - i * 0.001 - (sentence:find("%?$") and 2 or 0)
      if value > best_value then best, best_value = i, value end
    end
  end
  if not best then return nil end
  local text = list[best]
  if #text < FOLLOWING_BYTES and list[best + 1] and #text + #list[best + 1] < MOST_BYTES then text = text .. " " .. list[best + 1] end
  return (sentences.cut(text:gsub("%s+", " "), MOST_BYTES))
end

--- The answer to a question from passages: text, passage; nil: none of them answers it. Pure.
--- @param passages table  as kb.search gives them
function answerer.extract(question, passages)
  local asked = terms_of(question)
  if not next(asked) then return nil end
  for _, passage in ipairs(passages) do
    if passage.share >= ENOUGH then
      local text = extract(asked, passage)
      if text then return text, passage end
    end
  end
end

local function failure(class, text) return nil, { class = class, text = text } end

--- Answers a request. Waits for the knowledge base.
--- @param request table  canonical request (ai.request), as the caller wrote it: neither masked nor marked, for it stays here
--- @param options table|nil  { passages = what was found already, version = hash of the bundle a call is pinned to, unknown = what is said
---   when nothing fits, on_event = function(event) }
--- @return table|nil  answer as ai.chat gives it, with known = boolean and passage = the id it is from; nil, { class, text }:
---   "refused" (a schema or a tool is demanded), "bad_request" (nothing is asked), "no_provider" (there is no knowledge base)
function answerer.answer(tenant, request, options)
  options = options or {}
  if request.schema then return failure("refused", "the local answerer gives text only, no JSON of a schema") end
  if request.tool_choice == "required" or type(request.tool_choice) == "table" then return failure("refused", "the local answerer calls no tools") end
  local question = question_of(request)
  if not question then return failure("bad_request", "the request has no message of a user") end
  local passages = options.passages
  if not passages then
    local err
    passages, err = kb.search(tenant, question, { limit = PASSAGES, version = options.version })
    if not passages then return failure("no_provider", err.text) end
  end
  local text, passage = answerer.extract(question, passages)
  metrics.count("ai_local_answers_total", { result = text and "known" or "unknown" }, 1, "answers from the knowledge base without a model")
  local answer = {
    text = text or options.unknown or answerer.UNKNOWN, known = text ~= nil, passage = passage and passage.id, tool_calls = json.array{}, reason = "end",
    provider = "local", model = "extractive", usage = { input = 0, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 },
  }
  if options.on_event then
    options.on_event{ type = "start", model = answer.model }
    options.on_event{ type = "text", text = answer.text }
    local usage = { type = "usage" }
    for name, value in pairs(answer.usage) do usage[name] = value end
    options.on_event(usage)
    options.on_event{ type = "end", reason = "end" }
  end
  return answer
end

return answerer
