-- SPDX-License-Identifier: Apache-2.0
--- What all requests to OpenAI, or to who speaks like it, have in common.
local json = require "core.json"

local http = {}

local BASE = "https://api.openai.com/v1"

--- A request for the orchestrator's HTTP client.
--- @param target table  its url is the base, with the version: "https://api.openai.com/v1" unless given
--- @param framing string  "sse" or "json"
function http.request(target, path, body, framing)
  local own = target.flags or {}
  return {
    method = "POST", url = (target.url or BASE):gsub("/+$", "") .. path, framing = framing, body = json.encode(body),
    headers = {
      ["content-type"] = "application/json", accept = framing == "sse" and "text/event-stream" or "application/json",
      authorization = target.key and "Bearer " .. target.key or nil,
      ["openai-organization"] = own.organization, ["openai-project"] = own.project,
    },
  }
end

--- Puts the caller's own fields into a body, last. They may not change whom the request is for and how it is answered,
--- for that is what was priced and what is read.
function http.add_extras(body, extras)
  for name, value in pairs(extras or {}) do
    if name ~= "model" and name ~= "stream" then body[name] = value end
  end
end

return http
