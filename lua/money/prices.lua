-- SPDX-License-Identifier: Apache-2.0
--- What AI models and minutes cost: by the operator's live rules, the shipped ones where those say nothing.
local hooks = require "scripts.hooks"
local operator = require "scripts.operator"
local rules = require "money.rules"
local scripts = require "scripts"

local prices = {}

-- name -> { hash, value }: the last ones, which hold on while newer ones cannot be read.
local kept = {}

-- The version in whose words this is, and the words: value, hash | nil, nil.
local function current(name)
  local last = kept[name]
  if not last then scripts.wait_for_shipped() end
  local ok, hash = pcall(hooks.version, operator.tenant, name)
  if not ok or not hash then
    if last then return last.value, last.hash end
    return nil
  end
  if last and last.hash == hash then return last.value, hash end
  local value, by = hooks.call(operator.tenant, name, {}, hash)
  if not value and not last then
    value, by = hooks.call(operator.tenant, name, {}, operator.shipped().hash)
  end
  if value then
    last = { value = value, hash = by }
    kept[name] = last
  end
  if last then return last.value, last.hash end
end

--- The prices: what money.rules.prices declares, and the hash of the version they are from; nil when they cannot be read.
function prices.list() return current("prices") end

--- The plans likewise.
function prices.plans() return current("plans") end

local function away() return nil, { code = "away", text = "the prices cannot be read just now" } end

--- What a use of a model costs: { micros, currency, version = hash of the rules that priced it, exact = false when by the price
--- of "*" }; nil, err with code "unknown" (no price for the model) or "away". May wait.
--- @param usage table  as money.rules.cost takes it
function prices.cost(model, usage)
  local list, hash = prices.list()
  if not list then return away() end
  local micros, exact = rules.cost(list, model, usage)
  if not micros then return nil, { code = "unknown", text = ("there is no price for the model '%s'"):format(model) } end
  return { micros = micros, currency = list.currency, version = hash, exact = exact }
end

return prices
