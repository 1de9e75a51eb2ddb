-- SPDX-License-Identifier: Apache-2.0
--- OpenAI's errors in our few classes: by the code where there is one, for 429 is both "slow down" and "the money is spent", and 400 both a
--- mistake and a prompt too long. Servers that only speak its language put numbers or nothing at all there, so words of the text count too.
local clock = require "core.clock"
local fields = require "ai.fields"
local json = require "core.json"
local retry_after = require "ai.retry_after"

local failure = {}

local TEXT_BYTES = 500

local CLASS_OF_CODE = {
  insufficient_quota = "quota", billing_hard_limit_reached = "quota", billing_not_active = "quota", quota_exceeded = "quota",
  context_length_exceeded = "too_long", string_above_max_length = "too_long", request_too_large = "too_long",
  invalid_api_key = "auth", account_deactivated = "auth", authentication_error = "auth", permission_error = "auth",
  model_not_found = "not_found", not_found_error = "not_found",
  content_filter = "refused", content_policy_violation = "refused", invalid_prompt = "refused", bio_policy = "refused", cyber_policy = "refused",
  rate_limit_exceeded = "rate", rate_limit_error = "rate", requests = "rate", tokens = "rate",
  slow_down = "overload", overloaded_error = "overload", engine_overloaded = "overload", service_unavailable = "overload",
  server_error = "server", internal_error = "server", internal_server_error = "server", api_error = "server",
  timeout = "timeout", request_timeout = "timeout",
  data_residency_mismatch = "bad_request", invalid_request_error = "bad_request",
}
local CLASS_OF_STATUS = {
  [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [429] = "rate",
  [503] = "overload", [529] = "overload",
}
-- The key itself is no good, whoever asks for whatever. (403 may be one model, one address or one request.)
local BAD_KEY = { invalid_api_key = true, account_deactivated = true, authentication_error = true }
-- As vLLM, llama.cpp and their like say it, with 400 and no code.
local TOO_LONG = { "maximum context length", "context length exceeded", "context window", "exceeds the available context size", "prompt is too long" }

local function words_class(text)
  text = text:lower()
  for _, words in ipairs(TOO_LONG) do
    if text:find(words, 1, true) then return "too_long" end
  end
end

local function status_class(status)
  if CLASS_OF_STATUS[status] then return CLASS_OF_STATUS[status] end
  if status >= 500 and status <= 599 then return "server" end
  if status >= 400 and status <= 499 then return "bad_request" end
  return "protocol"
end

--- The class of an error object.
--- @param object table   { message, type, param, code }, any of them of any type
--- @param status number  of the answer, or nil in a stream
function failure.class(object, status)
  local code, kind = fields.text(object, "code"), fields.text(object, "type")
  -- A type is said for many codes (429's may be insufficient_quota alone), so it counts only where the status says less.
  if code and CLASS_OF_CODE[code] then return CLASS_OF_CODE[code] end
  if kind and CLASS_OF_CODE[kind] == "quota" then return "quota" end
  -- An error in an answer that began well says its status itself, or not at all.
  if status == nil or status < 300 then status = tonumber(object.code) or tonumber(object.status) end
  local said = status and status_class(status)
  if said == "bad_request" or said == nil then
    local long = words_class(fields.text(object, "message") or "")
    if long then return long end
  end
  return said or (kind and CLASS_OF_CODE[kind]) or "server"
end

-- Is the key refused for good?
local function refuses_key(object, status)
  if failure.class(object, status) ~= "auth" then return nil end
  if status == nil or status < 300 then status = tonumber(object.code) or tonumber(object.status) end
  local code = fields.text(object, "code")
  return status == 401 or BAD_KEY[code or fields.text(object, "type") or ""] or nil
end

--- The error object within a decoded answer or event, or nil: an object, or only its text; with some servers the answer is the object.
function failure.object(decoded)
  local found = type(decoded) == "table" and decoded.error
  if type(found) == "table" then return found end
  if type(found) == "string" and found ~= "" then return { message = found } end
  if fields.text(decoded, "object") == "error" then return decoded end
  return nil
end

--- The text of an error object, fit for a log.
function failure.text(object, otherwise)
  local text = fields.text(object, "message") or fields.text(object, "code") or fields.text(object, "type") or otherwise
  return fields.line(text, TEXT_BYTES)
end

--- An error event for an error object in a stream. It has no status, so the class is the code's.
function failure.event(object)
  return { type = "error", class = failure.class(object), text = failure.text(object, "the provider reported an error in the stream"), code = fields.text(object, "code"),
    key_refused = refuses_key(object) }
end

--- The id by which the provider finds a request again, or nil.
function failure.request_id(headers)
  local id = fields.header(headers, "x-request-id") or fields.header(headers, "request-id")
  return id and fields.line(id, 200)
end

--- What an answer that is none says.
--- @param now_s number  for a Retry-After that is a date; the clock's, unless given
--- @return table  { class, text, code, status, request_id, retry_after_s, should_retry = what the provider said of it: true, false or nil,
---   key_refused = true where it is the key itself that is no good }
function failure.of(status, headers, body, now_s)
  local decoded = json.decode(body or "")
  -- FastAPI's servers put the same fields at the top, or a text into "detail".
  local object = failure.object(decoded) or (type(decoded) == "table" and (decoded.message or decoded.code) and decoded)
    or { message = fields.text(decoded, "detail") }
  return {
    class = failure.class(object, status), text = failure.text(object, ("the provider answered with status %d"):format(status)), status = status,
    code = fields.text(object, "code") or fields.text(object, "type"), request_id = failure.request_id(headers),
    retry_after_s = retry_after.seconds(headers, now_s or clock.wall_us() / 1e6), should_retry = retry_after.wanted(headers),
    key_refused = refuses_key(object, status),
  }
end

--- The same as the error event of a whole answer.
function failure.as_event(found)
  return { type = "error", class = found.class, text = found.text, code = found.code, request_id = found.request_id, retry_after_s = found.retry_after_s,
    should_retry = found.should_retry, key_refused = found.key_refused }
end

--- An answer that cannot be read.
function failure.unreadable(headers, what)
  return { class = "protocol", text = what, request_id = failure.request_id(headers) }
end

return failure
