-- SPDX-License-Identifier: Apache-2.0
--- Errors as OpenAI's clients read them: { error: { message, type, param, code } }. The class that a client raises comes from the status.
local json = require "core.json"
local problem = require "lib.problem"

local errors = {}

local TYPES = { [401] = "authentication_error", [403] = "permission_error", [429] = "rate_limit_error" }
-- Where their name for a thing is another than ours.
local CODES = {
  bad_key = "invalid_api_key", no_credentials = "invalid_api_key", bad_authorization = "invalid_api_key", bad_token = "invalid_api_key",
  too_many_requests = "rate_limit_exceeded", provider_rate = "rate_limit_exceeded", provider_quota = "insufficient_quota", budget_spent = "insufficient_quota",
  budget_held = "rate_limit_exceeded",
}

--- The error object of a problem.
function errors.object(p)
  local code = CODES[p.code] or p.code
  local kind = code == "insufficient_quota" and code or TYPES[p.status] or (p.status >= 500 and "server_error") or "invalid_request_error"
  return { message = p.detail, type = kind, param = p.fields.param or json.null, code = code }
end

--- The whole answer for a problem; the router's `refusal` of these routes.
function errors.response(p, _path, trace)
  local headers = { ["Content-Type"] = "application/json", ["Cache-Control"] = "no-store", ["X-Request-Id"] = "req_" .. trace }
  for name, value in pairs(p.fields.headers or {}) do headers[name] = value end
  return { status = p.status, headers = headers, body = json.encode{ error = errors.object(p) } }
end

--- Raises that a field of the body is not right.
--- @param param string|nil  which, in their spelling: "messages[2].content"
function errors.refuse(param, detail, code)
  problem.raise(400, code or "invalid_value", detail, { param = param })
end

return errors
