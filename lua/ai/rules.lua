-- SPDX-License-Identifier: Apache-2.0
--- What providers, keys and budgets may be, and which figure of two holds. No I/O.
local rules = {}

--- Whose wire a provider may speak.
rules.kinds = { "claude", "openai_responses", "openai_chat", "gemini", "ollama", "local" }

-- Asked without a key where none is set: one's own servers.
local keyless = { openai_chat = true, ollama = true, ["local"] = true }

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
