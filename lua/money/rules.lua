-- SPDX-License-Identifier: Apache-2.0
--- Prices and plans as the operator's bundle gives them, and what a use of a model costs. No I/O.
--- A price is in units of the currency: of tokens and characters per million, of sound per minute. A million of something at
--- 3 units costs 3,000,000 millionths: so one of it costs 3 millionths, and amounts need no division.
local schema = require "lib.schema"

local rules = {}

-- ISO 4217
local currencies = {}
for code in ([[AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP
  CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD
  JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK
  NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND
  TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL]]):gmatch("%u+") do currencies[code] = true end

local price = { type = "number", minimum = 0, maximum = 1e6 }
local rates = { input = price, output = price, cached = price, written = price, characters = price, minute = price,
  audio_input = price, audio_output = price, audio_cached = price }

local tier_fields = { above_tokens = { type = "integer", minimum = 1, maximum = 2 ^ 40 } }
local model_fields = { tier = schema.object(tier_fields, { "above_tokens" }) }
for name, declared in pairs(rates) do tier_fields[name], model_fields[name] = declared, declared end

local MODELS_MAX = 500

--- What prices.lua gives (a declaration of lib.schema).
rules.prices = schema.object({
  currency = { type = "string", minLength = 3, maxLength = 3 },
  models = { type = "object", additionalProperties = schema.object(model_fields), description = "by the model's id; \"*\" is every other" },
  minutes = schema.object{ inbound = price, outbound = price },
}, { "currency", "models" })

--- And plans.lua.
rules.plans = schema.object({
  currency = { type = "string", minLength = 3, maxLength = 3 },
  plans = { type = "array", maxItems = 50, items = schema.object({
    id = { type = "string", format = "slug", maxLength = 40 }, name = { type = "string", minLength = 1, maxLength = 100 },
    month = price, minute = price, included_minutes = { type = "integer", minimum = 0, maximum = 1e9 },
    calls = { type = "integer", minimum = 1, maximum = 1e6, description = "at a time" },
  }, { "id", "name", "month" }) },
}, { "currency", "plans" })

local function currency_problem(code)
  if not currencies[code] then return ("currency '%s' is not known; write it as ISO 4217 has it, such as USD"):format(code) end
end

--- What the declaration cannot say of prices: nil, or one line.
function rules.price_problem(prices)
  local wrong = currency_problem(prices.currency)
  if wrong then return wrong end
  local count = 0
  for id, rate in pairs(prices.models) do
    count = count + 1
    if type(id) ~= "string" or #id == 0 or #id > 100 then return "models: a model's id is text of at most 100 characters" end
    if next(rate) == nil then return ("models['%s'] has no price; write { input = 0, output = 0 } for one that costs nothing"):format(id) end
  end
  if count == 0 or count > MODELS_MAX then return ("models: from 1 to %d of them"):format(MODELS_MAX) end
end

function rules.plan_problem(plans)
  local wrong = currency_problem(plans.currency)
  if wrong then return wrong end
  local seen = {}
  for _, plan in ipairs(plans.plans) do
    if seen[plan.id] then return ("the plan '%s' is there twice"):format(plan.id) end
    seen[plan.id] = true
  end
end

--- Models of the default list that have no price, and no "*" to stand for them: nil, or one line.
function rules.missing_problem(prices, default)
  if prices.models["*"] then return nil end
  local missing = {}
  for id in pairs(default.models) do
    if id ~= "*" and not prices.models[id] then missing[#missing + 1] = id end
  end
  if #missing == 0 then return nil end
  table.sort(missing)
  return ("models: no price for %s; add them, or [\"*\"] for all others"):format(table.concat(missing, ", "))
end

-- Tokens from and to a cache cost what input costs, where they have no price of their own.
local function rate_of(model, tier, name)
  local rate = tier and tier[name] or model[name]
  if rate then return rate end
  if name == "cached" or name == "written" or name == "audio_input" then return rate_of(model, tier, "input") end
  if name == "audio_output" then return rate_of(model, tier, "output") end
  if name == "audio_cached" then return rate_of(model, tier, "audio_input") end
  return 0
end

local function amount(usage, name)
  local n = usage[name] or 0
  assert(type(n) == "number" and n >= 0 and n < 2 ^ 50, "usage." .. name .. " must be a number, zero or more")
  return n
end

--- What a use costs: micros (rounded to the nearest), exact = false when the price is that of "*"; nil when no price is known.
--- @param usage table  tokens: input (those that came neither from a cache nor went to one), cached, written, output; audio_input,
---   audio_cached, audio_output likewise of sound; characters; seconds
function rules.cost(prices, id, usage)
  local model = prices.models[id] or prices.models["*"]
  if not model then return nil end
  local exact = prices.models[id] ~= nil
  local prompt = amount(usage, "input") + amount(usage, "cached") + amount(usage, "written") + amount(usage, "audio_input") + amount(usage, "audio_cached")
  local tier = model.tier and prompt > model.tier.above_tokens and model.tier
  local micros = 0
  for _, name in ipairs{ "input", "output", "cached", "written", "characters", "audio_input", "audio_output", "audio_cached" } do
    micros = micros + amount(usage, name) * rate_of(model, tier, name)
  end
  micros = micros + amount(usage, "seconds") * rate_of(model, tier, "minute") * 1e6 / 60
  return math.floor(micros + 0.5), exact
end

return rules
