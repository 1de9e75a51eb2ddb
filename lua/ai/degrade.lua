-- SPDX-License-Identifier: Apache-2.0
--- What is said when no model answers: a kept answer of up to a day ago, then a sentence of the knowledge base, then a human.
--- "human" is an answer without a word: whoever leads the call puts it through, by the call's fallback.
local answerer = require "ai.local"
local cache = require "ai.cache"
local json = require "core.json"

local degrade = {}

-- The request's own fault, or nobody waits any more.
local NO_USE = { bad_request = true, refused = true, cancelled = true }

local function has_local(found)
  for _, target in ipairs(found.targets) do
    if target.kind == "local" then return true end
  end
  return false
end

local function to_human(said)
  return { text = said or "", tool_calls = json.array{}, reason = "end", degraded = "human", cache = "off", attempts = {},
    usage = { input = 0, cached = 0, written = 0, written_1h = 0, output = 0, reasoning = 0 } }
end

local function from_papers(job, human)
  local ok, answer = pcall(answerer.answer, job.tenant, job.given, { passages = job.options.passages, version = job.options.bundle })
  -- That it does not know is what a human need not hear from us first.
  if not ok or not answer or (human and not answer.known) then return nil end
  answer.degraded, answer.cache = "local", "off"
  return answer
end

--- The answer in place of a failure, or nil when the failure is to be told. May wait.
--- @param job table  of ai.chat: tenant, given = the request as it was asked, request = guarded, cache = options of ai.cache, policy, purpose, found, options
--- @param err table  { class, said }
function degrade.answer(job, err)
  if NO_USE[err.class] then return nil end
  local wanted, human = job.policy.degrade, job.policy.degrade and job.purpose == "call"
  -- Half an answer was heard: another one behind it would be two.
  if err.said then return human and to_human(err.said) or nil end
  local answer = wanted and cache.stale(job.tenant, job.request, job.cache)
  if answer then return answer end
  if wanted or has_local(job.found) then answer = from_papers(job, human) end
  return answer or (human and to_human()) or nil
end

return degrade
