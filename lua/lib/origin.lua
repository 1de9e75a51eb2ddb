-- SPDX-License-Identifier: Apache-2.0
--- Which web pages may use a browser's cookie here: our own, and those of http.origins.
local config = require "core.config"

local origin = {}

local function listed(text)
  for _, allowed in ipairs(config.http and config.http.origins or {}) do
    if allowed == text then return true end
  end
  return false
end

--- Does this Origin header name the host the request came to, or one of http.origins?
function origin.is_ours(request)
  local text = request.headers.origin
  if not text then return false end
  local host = text:match("^https?://([^/]+)$")
  return (host ~= nil and host == request.headers.host) or listed(text)
end

--- CORS fields for the answer: only for origins of the configuration.
function origin.fields(request)
  local text = request.headers.origin
  if not text or not listed(text) then return nil end
  return {
    ["Access-Control-Allow-Origin"] = text,
    ["Access-Control-Allow-Credentials"] = "true",
    ["Access-Control-Expose-Headers"] = "ETag, Location, Retry-After, traceparent, Idempotent-Replayed",
    Vary = "Origin",
  }
end

return origin
