-- SPDX-License-Identifier: Apache-2.0
--- What a client of the HTTP API is told when no model answered: one problem for each class of failure.
--- A provider's words on keys and accounts go to the log and the attempts, not to the client.
local problem = require "lib.problem"

local refusal = {}

-- class = { status, code, detail, again }: again is whether another try of the client's, after those that were made here, has sense.
local OF = {
  auth = { 502, "provider_refused_key", "The provider does not take the key that is kept for it. Whoever runs this tenant must give another.", false },
  quota = { 429, "provider_quota", "The account at the provider has no money or quota left.", false },
  budget = { 429, "budget_spent", "The budget for AI is spent. It begins anew with its next period, or when it is raised.", false },
  budget_held = { 429, "budget_held", "Requests under way hold what is left of the budget. Try again in some seconds.", true },
  rate = { 429, "provider_rate", "All providers that may be asked are at their rate limit. Try again later.", true },
  overload = { 503, "provider_overloaded", "The providers that may be asked are overloaded. Try again later.", true },
  too_long = { 400, "context_length_exceeded", "The conversation is longer than the model can read. Send less of it.", false },
  refused = { 400, "content_refused", "The provider declines to work on this content.", false },
  bad_request = { 400, "bad_ai_request", "The request cannot be asked of a model.", false },
  not_found = { 404, "model_not_found", "The provider does not know this model, or this key may not use it.", false },
  timeout = { 504, "provider_timeout", "No provider answered in time.", true },
  network = { 502, "provider_unreachable", "No provider could be reached.", true },
  server = { 502, "provider_failed", "The providers that may be asked failed.", true },
  protocol = { 502, "provider_unreadable", "What the provider answered cannot be read, or broke off.", true },
  no_provider = { 503, "no_provider", "No provider is configured for this, or none of them may be asked just now.", false },
  cancelled = { 409, "cancelled", "The request was cancelled before it was answered.", false },
}

-- Of these the text says what to change: it is ours, or a provider's on the client's own request.
local TOLD = { bad_request = true, budget = true, no_provider = true }

--- The problem for what ai.chat or ai.embed gave as its error: { class, text, retry_after_s }.
function refusal.of(err)
  local held = err.class == "budget" and err.code == "held"
  local said = held and OF.budget_held or OF[err.class] or OF.server
  local detail = said[3]
  if TOLD[err.class] and type(err.text) == "string" and err.text ~= "" then
    detail = err.text:gsub("^%l", string.upper)
    if not detail:find("[%.!?]$") then detail = detail .. "." end
  end
  local headers = { ["X-Should-Retry"] = said[4] and "true" or "false" }
  if said[4] then
    local wait_s = tonumber(err.retry_after_s)
    if not wait_s and (held or err.class == "rate" or err.class == "overload") then wait_s = 1 end
    if wait_s and wait_s == wait_s and wait_s >= 0 and wait_s < 1e7 then headers["Retry-After"] = ("%d"):format(math.ceil(wait_s)) end
  end
  return problem.new(said[1], said[2], detail, { headers = headers })
end

return refusal
