-- SPDX-License-Identifier: Apache-2.0
--- What a model's tokens cost. Arithmetic only: prices and the time are given.
---
--- A price: { from_us, currency, input, output, cached, written, written_1h, characters, minute, audio_input, audio_output, audio_cached }, each in
--- millionths of the currency for a million tokens; of text that is spoken for a million characters, and of sound for a minute. nil of
--- cached, written and written_1h: as input, as input, as written; of the three of sound: as input, as output, as audio_input. So a token
--- costs price / 1e6 micros, and a sum is rounded up once, to a whole micro: no use is free that has a price.
local prices = {}

prices.rates = { "input", "output", "cached", "written", "written_1h", "characters", "minute", "audio_input", "audio_output", "audio_cached" }

-- Asked for free: what runs on one's own machines, unless there is a price for it.
local free = { ollama = true, ["local"] = true, piper = true, whisper = true }

-- Does a price say what a use of this purpose costs? One of other units would make it free.
local function says(price, purpose)
  if not price then return false end
  if purpose == "recognise" then return price.minute ~= nil end
  if purpose == "synthesise" then return price.characters ~= nil or price.minute ~= nil end
  if purpose == "realtime" then return price.minute ~= nil or (price.audio_input ~= nil and price.audio_output ~= nil) end
  return price.input ~= 0 or price.output ~= 0 or not (price.characters or price.minute)
end

--- Puts rows into the form prices.of reads: { [provider] = { [model] = list of prices, the newest first } }.
--- @param rows table  of { provider, model, from_us, currency, input, ... }
function prices.book(rows)
  local book = {}
  for _, row in ipairs(rows) do
    local models = book[row.provider] or {}
    book[row.provider] = models
    local list = models[row.model] or {}
    models[row.model] = list
    list[#list + 1] = row
  end
  for _, models in pairs(book) do
    for _, list in pairs(models) do
      table.sort(list, function(a, b) return a.from_us > b.from_us end)
    end
  end
  return book
end

local function valid(list, at_us, purpose)
  for _, price in ipairs(list or {}) do
    if price.from_us <= at_us then return says(price, purpose) and price or nil end
  end
end

-- A price of the operator's rules (money.rules.prices): units for a million tokens.
local function of_rules(rates, currency, hash)
  local function micros(name, of, otherwise)
    local value = of[name] or otherwise and otherwise[name]
    return value and math.floor(value * 1e6 + 0.5)
  end
  local function rate(of, otherwise)
    return { input = micros("input", of, otherwise) or 0, output = micros("output", of, otherwise) or 0, cached = micros("cached", of, otherwise),
      written = micros("written", of, otherwise), characters = micros("characters", of, otherwise), minute = micros("minute", of, otherwise),
      audio_input = micros("audio_input", of, otherwise), audio_output = micros("audio_output", of, otherwise), audio_cached = micros("audio_cached", of, otherwise) }
  end
  local price = rate(rates)
  price.currency, price.version = currency, hash:sub(1, 12)
  if rates.tier then price.tier, price.above_tokens = rate(rates.tier, rates), rates.tier.above_tokens end
  return price
end

--- The price that holds for a target at a time, or nil. The dated ones go first (of the provider, then of every provider), then
--- those of the operator's rules, then nothing for what runs on one's own machines.
--- @param book table  of prices.book
--- @param rules table|nil  { list = money.rules.prices, hash }
function prices.of(book, rules, target, at_us)
  local purpose = target.purpose
  local price = valid((book[target.provider] or {})[target.model], at_us, purpose) or valid((book[""] or {})[target.model], at_us, purpose)
  if price then return price end
  if rules then
    for _, rates in ipairs{ rules.list.models[target.model] or false, not free[target.kind] and rules.list.models["*"] or false } do
      price = rates and of_rules(rates, rules.list.currency, rules.hash)
      if says(price, purpose) then return price end
    end
  end
  if free[target.kind] then return { currency = rules and rules.list.currency or "USD", input = 0, output = 0, version = "free" } end
  return nil
end

local function of_sound(rate, usage)
  local input = usage.audio_input or 0
  local cached, for_input = math.min(usage.audio_cached or 0, input), rate.audio_input or rate.input
  -- Whole milliseconds: what is a little too much by the nature of fractions is not rounded up.
  return (usage.characters or 0) * (rate.characters or 0) + math.ceil((usage.seconds or 0) * 1000) * (rate.minute or 0) * 1e6 / 60000
    + (input - cached) * for_input + cached * (rate.audio_cached or for_input) + (usage.audio_output or 0) * (rate.audio_output or rate.output)
end

--- What a use costs, in whole micros, rounded up.
--- @param usage table  a usage event: input (all of it), cached, written, written_1h (of the input), output: tokens of text; characters that
---   are spoken, seconds of sound, and of tokens of sound audio_input (all of it), audio_cached (of it), audio_output; each may be left out
function prices.cost(price, usage)
  local rate = price
  local input, output = usage.input or 0, usage.output or 0
  if price.tier and input + (usage.audio_input or 0) > price.above_tokens then rate = price.tier end
  local cached = math.min(usage.cached or 0, input)
  local written_1h = math.min(usage.written_1h or 0, input - cached)
  local written = math.min(usage.written or 0, input - cached - written_1h)
  local for_cached, for_written = rate.cached or rate.input, rate.written or rate.input
  local sum = (input - cached - written - written_1h) * rate.input + cached * for_cached + written * for_written
    + written_1h * (rate.written_1h or for_written) + output * rate.output + of_sound(rate, usage)
  return math.ceil(sum / 1e6 - 1e-9)
end

--- The most that a use of so many tokens can cost: all input at the dearest rate that input has.
function prices.most(price, input, output)
  local most = 0
  local function look(rate)
    local for_input = math.max(rate.input, rate.cached or 0, rate.written or 0, rate.written_1h or 0)
    most = math.max(most, math.ceil((input * for_input + output * rate.output) / 1e6))
  end
  look(price)
  if price.tier then look(price.tier) end
  return most
end

return prices
