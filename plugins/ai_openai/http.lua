-- SPDX-License-Identifier: Apache-2.0
--- What all requests to OpenAI, or to who speaks like it, have in common.
local extras = require "ai.extras"
local json = require "core.json"

local http = {}

local BASE = "https://api.openai.com/v1"

local known = setmetatable({}, { __mode = "k" })  -- target -> path and framing -> url and headers: a target is the same table until something is changed

local function addressed(target, path, framing)
  local of = known[target]
  if not of then
    of = {}
    known[target] = of
  end
  local name = framing .. path
  local found = of[name]
  if not found then
    local own = target.flags or {}
    found = {
      url = (target.url or BASE):gsub("/+$", "") .. path,
      headers = {
        ["content-type"] = "application/json", accept = framing == "sse" and "text/event-stream" or "application/json",
        authorization = target.key and target.key ~= "" and "Bearer " .. target.key or nil,  -- none for one's own server
        ["openai-organization"] = own.organization, ["openai-project"] = own.project,
      },
    }
    of[name] = found
  end
  return found
end

--- A request for the orchestrator's HTTP client.
--- @param target table  its url is the base, with the version: "https://api.openai.com/v1" unless given
--- @param framing string  "sse" or "json"
function http.request(target, path, body, framing)
  local to = addressed(target, path, framing)
  return { method = "POST", url = to.url, framing = framing, body = json.encode(body), headers = to.headers }
end

-- What was guarded, what was priced, and what the answer is read by; and nothing is kept at the provider, where one key serves many.
local KEPT = {
  model = true, messages = true, input = true, instructions = true, stream = true, stream_options = true, n = true, background = true, store = true,
  max_tokens = true, max_completion_tokens = true, max_output_tokens = true, previous_response_id = true, conversation = true, prompt = true,
}

--- Puts the caller's own fields into a body, last.
function http.add_extras(body, own)
  extras.put(body, own, KEPT)
end

return http
