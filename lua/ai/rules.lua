-- SPDX-License-Identifier: Apache-2.0
--- What providers, models, keys, policies and budgets may be, and which figure of two holds. No I/O.
local json = require "core.json"
local policy = require "ai.policy"
local schema = require "lib.schema"
local speech = require "speech.rules"

local rules = {}

--- Whose wire a provider may speak.
rules.kinds = { "claude", "openai_responses", "openai_chat", "gemini", "ollama", "local", "deepgram", "elevenlabs", "piper", "whisper" }

--- What a model may be for.
rules.purposes = { "chat", "embeddings", "recognise", "synthesise", "realtime" }

-- What models of a kind can be for, the usual first.
local texts, sounds = { "chat", "embeddings" }, { "chat", "embeddings", "recognise", "synthesise", "realtime" }
local purposes_of = {
  openai_responses = sounds, openai_chat = sounds, gemini = { "chat", "embeddings", "realtime" },
  deepgram = { "recognise" }, whisper = { "recognise" }, elevenlabs = { "synthesise" }, piper = { "synthesise" },
}

--- What a model of a provider of this kind is for where nobody says it; with a purpose: nil, or why it cannot be for that.
function rules.purpose(kind, purpose)
  local list = purposes_of[kind] or texts
  if not purpose then return list[1] end
  for _, one in ipairs(list) do
    if one == purpose then return purpose end
  end
  return nil, ("must be %s: a provider of kind %s has no models for %s"):format(table.concat(list, " or "), kind, purpose)
end

-- Asked without a key where none is set: one's own servers.
local keyless = { openai_chat = true, ollama = true, ["local"] = true, piper = true, whisper = true }

--- May a provider of this kind be asked without a key?
function rules.is_keyless(kind) return keyless[kind] == true end

--- nil, or why this is no base URL of a provider.
function rules.url_fault(kind, url)
  if kind == "local" then return url ~= "" and "must be left out: kind local asks nobody" or nil end
  if #url > 500 or url:find("[%c%s\"<>\\^`{|}\127-\255]") then return "must be a URL of at most 500 characters" end
  local host = url:match("^https?://([^/?#]+)")
  if not host then return "must be a URL such as https://api.example.com/v1" end
  if host:find("@", 1, true) then return "must not hold a password: keys are set by themselves" end
  local name = host:match("^%[[%x:.]+%]$") or host:match("^%[[%x:.]+%]:%d+$") or host:match("^[%w.-]+$") or host:match("^[%w.-]+:%d+$")
  if not name then return "must name a host, and maybe a port" end
  if url:find("[?#]") then return "must have no query: keys are set by themselves" end
  return nil
end

--- nil, or why this is no key. It goes into a header as it is.
function rules.key_fault(text)
  if #text == 0 or #text > 4000 then return "must have 1 to 4000 characters" end
  if text:find("[^\33-\126]") then return "must be printable ASCII without spaces and line breaks" end
  return nil
end

-- -- what a policy and a model's flags may say -----------------------------------------------------------------------------

local function boolean(doc) return { type = "boolean", description = doc } end
local function number(least, most, doc) return { type = "number", minimum = least, maximum = most, description = doc } end
local function tokens(doc) return { type = "integer", minimum = 1, maximum = 1e9, description = doc } end
local function one_of(...) return { type = "string", enum = { ... } } end

-- It becomes a header.
local header = { type = "string", minLength = 1, maxLength = 500, check = function(value)
  if value:find("[^\32-\126]") then return "must be printable ASCII" end
end }

local function is_name(value) return type(value) == "string" and #value >= 1 and #value <= 200 end

local pinned = { type = "any", description = "\"provider/model\", a provider or a model", check = function(value)
  if is_name(value) then return nil end
  if type(value) == "table" and next(value) ~= nil then
    local fits = true
    for name, member in pairs(value) do fits = fits and (name == "provider" or name == "model") and is_name(member) end
    if fits then return nil end
  end
  return "must be \"provider/model\", a provider, a model, or an object of provider and model"
end }

local hedge = { type = "any", description = "a second model beside a late first: true, false, or after so many ms", check = function(value)
  if type(value) == "boolean" or (type(value) == "number" and value >= 1 and value <= 300000) then return nil end
  return "must be true, false, or a number of milliseconds from 1 to 300000"
end }

local function policy_fields()
  local fields = {
    order = one_of("quality", "cost", "latency", "weighted", "pinned"), pinned = pinned, hedge = hedge, degrade = boolean "when nobody answers: a kept answer, the knowledge base, a human",
    cache = schema.object{
      exact = boolean "the same request", ttl_s = number(1, 86400),
      semantic = schema.object{ threshold = number(0.5, 1, "how near a question must be, 0.95 unless given") },
    },
    guard = schema.object{
      mask = boolean(), mark = boolean(), secrets = boolean(), prices = boolean(), price_text = { type = "string", minLength = 1, maxLength = 1000 },
      max_bytes = { type = "integer", minimum = 1, maximum = 1e6 }, grounding = boolean(), support = number(0, 1),
    },
  }
  for name, bounds in pairs(policy.bounds) do fields[name] = { type = "integer", minimum = bounds[1], maximum = bounds[2] } end
  return fields
end

--- The declaration (lib.schema) of a policy; see ai.policy for what it means.
rules.policy = policy_fields()
for _, purpose in ipairs{ "call", "campaign", "api" } do rules.policy[purpose] = schema.object(policy_fields()) end
rules.policy = schema.object(rules.policy)

--- The declaration of a model's flags: those of all kinds, for one model may be had at several.
rules.flags = schema.object{
  context_tokens = tokens "input and output together", max_output_tokens = tokens(), least_output_tokens = tokens(),
  tools = boolean "false: takes none", stream = boolean "false: answers only whole",
  allows_temperature = boolean(), allows_prefill = boolean(), supports_tools = boolean(), supports_strict_tools = boolean(),
  supports_parallel_tools = boolean(), supports_json_schema = boolean(), supports_json_object = boolean(), supports_stop = boolean(),
  thinking_mode = one_of("none", "adaptive", "budget", "level"), needs_signatures = boolean(),
  cache_ttl = one_of("5m", "1h"), auth = one_of("bearer", "key"), beta = header, organization = header, project = header,
  compatible = boolean "speaks Chat Completions without being OpenAI", system_role = one_of("developer", "system"),
  max_tokens_field = one_of("max_completion_tokens", "max_tokens"), prompt_cache_key = boolean(), include_usage = boolean(),
  include_obfuscation = boolean(), store = boolean(), sends_done = boolean(), embedding_base64 = boolean(), embedding_dimensions = boolean(),
  efforts = { type = "array", maxItems = 20, items = { type = "string", minLength = 1, maxLength = 50 } },
  reasoning = { type = "any", check = function(value)
    if type(value) ~= "boolean" and value ~= "levels" then return "must be true, false or \"levels\"" end
  end },
  voice = speech.voice, instructions = { type = "string", minLength = 1, maxLength = 1000, description = "how a voice is to speak" },
  language_code = boolean "is told the language", word_times = boolean "tells the times of words", keyterm = boolean "is told likely words",
  speaker = { type = "string", minLength = 1, maxLength = 100 },
  transcription = { type = "any", description = "who writes down what the callers of a realtime model say: a model, or false for none", check = function(value)
    if value ~= false and not is_name(value) then return "must be a model's name, or false" end
  end },
  -- It follows the provider's address, and must not make another of it.
  path = { type = "string", minLength = 1, maxLength = 200, check = function(value)
    if not value:find("^/[%w/._-]*$") then return "must be a path such as /synthesize" end
  end },
  num_ctx = tokens(), keep_alive = { type = "any", check = function(value)
    if type(value) ~= "number" and not is_name(value) then return "must be a time such as \"5m\", or seconds" end
  end },
}

--- What of a stored value fits its declaration now: figures are moved within their bounds, and what cannot be read is left out.
--- What was stored before it was checked must not end each answer.
function rules.sound(declared, value)
  if type(value) ~= "table" or json.is_array(value) then return {} end
  local kept = {}
  for name, member in pairs(value) do
    local of = declared.properties[name]
    if of and of.type == "object" then
      if type(member) == "table" and not json.is_array(member) then kept[name] = rules.sound(of, member) end
    elseif of and (of.type == "number" or of.type == "integer") then
      local figure = (type(member) == "number" or type(member) == "string") and tonumber(member)
      figure = figure and math.max(of.minimum, math.min(of.maximum, figure))
      if figure and figure == figure then kept[name] = of.type == "integer" and math.floor(figure) or figure end
    elseif of then
      local sound, errors = schema.check(of, member)
      if not errors then kept[name] = sound end
    end
  end
  return kept
end

local function least(a, b)
  if a == nil or b == nil then return a or b end
  return math.min(a, b)
end

--- What holds of the operator's and the tenant's budget, field by field the smaller one. Two currencies cannot be compared:
--- then it is the operator's that counts, and mixed = true.
--- @param operator table|nil  as store.budgets gives them
function rules.budget(operator, own)
  local first = operator or own
  if not first then return {} end
  own = own or {}
  local mixed = operator ~= nil and own.currency ~= nil and own.currency ~= operator.currency
    and (own.day_micros or own.month_micros) ~= nil and (operator.day_micros or operator.month_micros) ~= nil
  local operator_has_money = operator and (operator.day_micros or operator.month_micros)
  local held = mixed and {} or own
  operator = operator or {}
  return {
    currency = operator_has_money and operator.currency or own.currency or first.currency, mixed = mixed or nil,
    day_micros = least(operator.day_micros, held.day_micros), month_micros = least(operator.month_micros, held.month_micros),
    warn_percent = own.warn_percent or operator.warn_percent or 80,
    requests_per_minute = least(operator.requests_per_minute, own.requests_per_minute),
    tokens_per_minute = least(operator.tokens_per_minute, own.tokens_per_minute),
    concurrent = least(operator.concurrent, own.concurrent),
  }
end

return rules
