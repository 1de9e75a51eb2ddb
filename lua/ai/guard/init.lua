-- SPDX-License-Identifier: Apache-2.0
--- The guard stands where a prompt leaves and where an answer comes back.
---
---   local guarded, notes = guard.before(tenant, request, options)    what is sent, and what is remembered of it
---   local text, findings = guard.after(tenant, request, text, passages, notes, options)
---   local stream = guard.stream(tenant, notes, options)              of an answer in pieces: ai.guard.stream
---   guard.reveal(notes, arguments, true)                             of a tool call's JSON
---
--- options: { purpose = "call" | "campaign" | "api", policy = { guard = { ... } }, known = list of { kind = "NAME", value = text },
---   secrets = list of texts that must not be said, passages = list as kb.search gives it, call_id =, external_ref = }
--- policy.guard, each with what holds when it says nothing:
---   mask = boolean       personal values leave as placeholders          calls and campaigns: true; API: false
---   mark = boolean       text of callers is marked as such              calls and campaigns: true; API: false
---   secrets = boolean    secrets are taken out of answers               true
---   prices = boolean     a sentence with a price that no passage has goes   false
---   price_text = text    what is said where nothing is left of such an answer
---   max_bytes = number   an answer is cut behind a sentence             calls and campaigns: 700, some 45 seconds; API: none
---   grounding = boolean  answers are held against their passages        true
---   support = number     share of its words that a sentence needs in them   0.5
--- A finding: { kind = "secret" | "price" | "length" | "unsupported", text = the sentence, if it is one's own, why = }
local amounts = require "ai.guard.amounts"
local grounding = require "ai.guard.grounding"
local log = require "core.log"
local marks = require "ai.guard.marks"
local mask = require "ai.guard.mask"
local metrics = require "core.metrics"
local reviews = require "ai.reviews"
local secrets = require "ai.guard.secrets"
local sentences = require "kb.sentences"
local stream = require "ai.guard.stream"
local task = require "core.task"

local guard = {}

local VOICE_BYTES = 700
local PRICE_TEXT = "I would have to ask a colleague for the exact price."

local function or_default(value, default)
  if value == nil then return default end
  return value
end

--- What the options mean: each name of policy.guard with its value.
function guard.settings(options)
  local own = options and type(options.policy) == "table" and options.policy.guard
  if type(own) ~= "table" then own = {} end
  local spoken = (options and options.purpose) ~= "api"
  return {
    mask = or_default(own.mask, spoken), mark = or_default(own.mark, spoken), secrets = or_default(own.secrets, true),
    prices = or_default(own.prices, false), price_text = type(own.price_text) == "string" and own.price_text or PRICE_TEXT,
    max_bytes = tonumber(own.max_bytes) or (spoken and VOICE_BYTES or nil), grounding = or_default(own.grounding, true), support = tonumber(own.support),
  }
end

-- What holds for an answer that is JSON of a schema: a sentence taken out or an end cut off would leave no JSON.
local function for_answer(options, notes)
  local settings = guard.settings(options)
  if notes and notes.structured then settings.prices, settings.max_bytes, settings.grounding = false, nil, false end
  return settings
end

local function copy(from)
  local made = {}
  for key, value in pairs(from) do made[key] = value end
  return made
end

-- Tool calls as they go back to a provider: their arguments had placeholders when they came.
local function masked_calls(calls, vault, known)
  local made = {}
  for i, call in ipairs(calls) do
    made[i] = copy(call)
    made[i].arguments = type(call.arguments) == "string" and mask.text(call.arguments, vault, known) or call.arguments
  end
  return setmetatable(made, getmetatable(calls))
end

local function count(what, n)
  metrics.count("ai_guard_findings_total", { kind = what }, n or 1, "what the guard found in prompts and answers")
end

--- What leaves: a new request. The one given is not changed. The same request gives the same one, so caches work.
--- Passages become part of the system prompt.
--- @return table request
--- @return table notes  { vault, personal = were there personal values?, suspicious = list of phrases (ai.guard.marks), passages, asked =
---   what the caller said last, as it was, question = the same as it leaves, but without its mark, structured = the answer will be JSON of a schema, of which only secrets are looked at }
function guard.before(tenant, request, options)
  options = options or {}
  local settings = guard.settings(options)
  local vault, suspicious = mask.vault(), {}
  local made, marked = copy(request), false
  made.messages = setmetatable({}, getmetatable(request.messages))
  local asked, question
  for i, message in ipairs(request.messages) do
    local own = copy(message)
    made.messages[i] = own
    local text = message.text
    if type(text) == "string" and text ~= "" then
      if message.role == "user" then
        asked = text
        if settings.mark then
          text = marks.visible(text)
          if i == #request.messages then suspicious = marks.suspicious(text) end
        end
      end
      if settings.mask then text = mask.text(text, vault, options.known) end
      if message.role == "user" then question = text end
      if settings.mark and message.role == "user" then
        text, marked = marks.wrap(tenant, "caller", text), true
      end
      own.text = text
    end
    if settings.mask and message.tool_calls then own.tool_calls = masked_calls(message.tool_calls, vault, options.known) end
  end
  local system = {}
  if request.system and request.system ~= "" then system[1] = request.system end
  for _, passage in ipairs(options.passages or {}) do
    local text = marks.visible((passage.heading and passage.heading ~= "" and passage.heading .. "\n" or "") .. passage.text)
    system[#system + 1] = marks.wrap(tenant, "knowledge", text)
    marked = true
  end
  if marked then table.insert(system, request.system and request.system ~= "" and 2 or 1, marks.explanation) end
  made.system = #system > 0 and table.concat(system, "\n\n") or request.system
  if #suspicious > 0 then
    count("injection")
    log.info("ai.suspicious", { tenant = tenant.slug, call = options.call_id, phrases = table.concat(suspicious, "; ") })
  end
  if vault.size > 0 then count("masked", vault.size) end
  return made, { vault = vault, personal = vault.size > 0, suspicious = suspicious, passages = options.passages, asked = asked, question = question,
    structured = request.schema ~= nil }
end

--- Placeholders back to what they stand for.
function guard.reveal(notes, text, in_json)
  return notes and notes.vault and mask.reveal(text, notes.vault, in_json) or text
end

-- What the passages and the caller say of numbers; nil when prices are not checked.
local function known_numbers(settings, passages, asked)
  if not settings.prices then return nil end
  local known = {}
  for _, passage in ipairs(passages or {}) do
    for value in pairs(amounts.known((passage.heading or "") .. "\n" .. passage.text)) do known[value] = true end
  end
  -- "Is it 500 dollars?" makes no price of it, but what the caller offers may be said back to him as a question.
  return known, asked and amounts.known(asked) or {}
end

local function has_unknown_price(sentence, known, offered)
  for _, price in ipairs(amounts.prices(sentence)) do
    if not amounts.is_known(price, known) and not (sentence:find("%?%s*$") and amounts.is_known(price, offered)) then return true end
  end
  return false
end

-- Checks of one sentence or word, in their order: text, and findings are added.
local function checker(settings, options, notes, known, offered, findings)
  return function(piece)
    if known and has_unknown_price(piece, known, offered) then
      findings[#findings + 1] = { kind = "price", text = sentences.trim(piece) }
      return ""
    end
    if settings.secrets then
      local found
      piece, found = secrets.remove(piece, options.secrets)
      for _ = 1, found do findings[#findings + 1] = { kind = "secret" } end
    end
    return guard.reveal(notes, piece, notes and notes.structured)
  end
end

-- The answer without the sentences whose prices nobody knows.
local function without_prices(text, known, offered, findings)
  local kept, dropped = {}, false
  for _, sentence in ipairs(sentences.pieces(text)) do
    if has_unknown_price(sentence, known, offered) then
      findings[#findings + 1] = { kind = "price", text = sentences.trim(sentence) }
      dropped = true
    else
      kept[#kept + 1] = sentence
    end
  end
  if not dropped then return text end
  return sentences.trim(table.concat(kept))
end

local function found(tenant, findings)
  local kinds = {}
  for _, finding in ipairs(findings) do kinds[finding.kind] = (kinds[finding.kind] or 0) + 1 end
  for kind, n in pairs(kinds) do count(kind, n) end
  if kinds.unsupported then
    metrics.count("ai_hallucination_count", { tenant = tenant.slug }, 1, "answers with a sentence that their passages do not bear out")
  end
end

-- Holds the answer against its passages; what they do not bear out goes to the review queue, behind the back of whoever waits for the answer.
local function ground(tenant, settings, options, notes, text, passages, findings)
  local result = settings.grounding and grounding.check(text, passages, notes and notes.asked, settings.support)
  if not result or #result.unsupported == 0 then return end
  for _, sentence in ipairs(result.unsupported) do
    findings[#findings + 1] = { kind = "unsupported", text = sentence.text, why = sentence.why, share = sentence.share }
  end
  task.spawn(reviews.add, tenant, { question = notes and notes.asked, answer = text, passages = passages, unsupported = result.unsupported,
    call_id = options.call_id, external_ref = options.external_ref })
end

--- What is said of an answer that has come whole.
--- @param request table  as guard.before returned it
--- @param text string
--- @param passages table|nil  those that the answer was to be drawn from
--- @param notes table|nil  of guard.before
--- @return string text, table findings
function guard.after(tenant, request, text, passages, notes, options)
  options = options or {}
  local settings, findings = for_answer(options, notes or { structured = request and request.schema ~= nil }), {}
  passages = passages or notes and notes.passages
  local asked = notes and notes.asked or request and request.messages and request.messages[#request.messages] and request.messages[#request.messages].text
  local known, offered = known_numbers(settings, passages, asked)
  ground(tenant, settings, options, notes or { asked = asked }, text, passages, findings)
  if known then
    local kept = without_prices(text, known, offered, findings)
    text = kept == "" and text:find("%S") and settings.price_text or kept
  end
  text = checker(settings, options, notes, nil, nil, findings)(text)
  if settings.max_bytes then
    local cut
    text, cut = sentences.cut(text, settings.max_bytes)
    if cut then findings[#findings + 1] = { kind = "length" } end
  end
  found(tenant, findings)
  return text, findings
end

--- The same of an answer that comes in pieces: feed(piece) -> text, finish() -> text, full (cancel the request), findings. It waits for whole
--- sentences where prices or the length are looked at, else for whole words. Whether the answer is grounded is seen at finish().
function guard.stream(tenant, notes, options)
  options = options or {}
  local settings, findings = for_answer(options, notes), {}
  local passages = notes and notes.passages or options.passages
  local known, offered = known_numbers(settings, passages, notes and notes.asked)
  local own = stream.new(checker(settings, options, notes, known, offered, findings), known ~= nil or settings.max_bytes ~= nil, settings.max_bytes)
  local said = {}
  local guarded = { findings = findings, full = false }
  local function out(text)
    if text ~= "" then said[#said + 1] = text end
    if own.full and not guarded.full then
      guarded.full = true
      findings[#findings + 1] = { kind = "length" }
    end
    return text
  end
  function guarded.feed(_, piece) return out(own:feed(piece)) end
  function guarded.finish(_)
    local text = out(own:finish())
    local whole = table.concat(said)
    if not whole:find("%S") and #findings > 0 and findings[1].kind == "price" then
      text = settings.price_text
      whole = text
    end
    ground(tenant, settings, options, notes, whole, passages, findings)
    found(tenant, findings)
    return text
  end
  return guarded
end

return guard
