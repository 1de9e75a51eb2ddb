-- SPDX-License-Identifier: Apache-2.0
--- Claude's errors in our few classes. Form: { type = "error", error = { type, message, details }, request_id }, the same in an answer's body and in
--- a stream's `error` event; types as in the anthropic package (types/shared) and its documentation of errors.
local clock = require "core.clock"
local fields = require "ai.fields"
local json = require "core.json"
local retry_after = require "ai.retry_after"

local failure = {}

local TEXT_BYTES, ID_BYTES = 500, 200

local CLASS_OF_TYPE = {
  invalid_request_error = "bad_request", authentication_error = "auth", permission_error = "auth", billing_error = "quota", not_found_error = "not_found",
  request_too_large = "too_long", rate_limit_error = "rate", overloaded_error = "overload", api_error = "server", timeout_error = "server",
  conflict_error = "timeout",
}
local CLASS_OF_STATUS = {
  [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [429] = "rate",
  [503] = "overload", [529] = "overload",
}
-- invalid_request_error says everything from a wrong field to an empty purse; only the words tell them apart.
local WORDS = {
  { "prompt is too long", "too_long" }, { "exceed context limit", "too_long" }, { "exceeds the context window", "too_long" },
  { "credit balance is too low", "quota" }, { "usage limits", "quota" }, { "spend limit", "quota" }, { "spending limit", "quota" },
  { "content filtering policy", "refused" },
}

local function class_of_words(text)
  text = text:lower()
  for _, pair in ipairs(WORDS) do
    if text:find(pair[1], 1, true) then return pair[2] end
  end
end

local function class_of(status, object)
  local kind = fields.text(object, "type")
  -- The month's money is spent: a 429 that no waiting lifts, and which has no retry-after.
  local code = fields.text(fields.object(object, "details"), "error_code") or ""
  if code:find("spend_limit", 1, true) then return "quota" end
  local class
  -- In a stream there is no status; from a gateway there may be no type.
  if status then
    class = CLASS_OF_STATUS[status]
    if not class and status >= 500 then class = "server" end
    if not class and status >= 400 then class = "bad_request" end
    class = class or "protocol"
    if class == "server" and kind == "overloaded_error" then class = "overload" end
  else
    class = CLASS_OF_TYPE[kind or ""] or "server"
  end
  if class == "bad_request" or class == "rate" then return class_of_words(fields.text(object, "message") or "") or class end
  return class
end

-- Is it the key itself that is no good, whoever asks for whatever? permission_error (403) may be one model or one request.
local function refuses_key(status, object)
  return status == 401 or fields.text(object, "type") == "authentication_error" or nil
end

--- The id by which the provider finds the request again, or nil.
local function request_id(headers, decoded)
  local id = fields.header(headers, "request-id") or fields.text(decoded, "request_id")
  return type(id) == "string" and fields.line(id, ID_BYTES) or nil
end
failure.request_id = request_id

--- An error of a stream, as an event.
--- @param decoded table  the data of an `error` event
function failure.event(decoded)
  local object = fields.object(decoded, "error")
  local text = fields.text(object, "message") or fields.text(object, "type") or "the provider broke off the answer with an error"
  return {
    type = "error", class = class_of(nil, object), text = fields.line(text, TEXT_BYTES), code = fields.text(object, "type"), request_id = request_id({}, decoded),
    key_refused = refuses_key(nil, object),
  }
end

--- What an answer with a status that is not 2xx means.
--- @param now_s number|nil  seconds since 1970, for a Retry-After that is a date; the clock's, unless given
--- @return table  { class, text, code, status, request_id, retry_after_s, should_retry = true, false or nil where the provider does not say,
---   key_refused = true where it is the key itself that is no good }
function failure.of(status, headers, body, now_s)
  local decoded = json.decode(body or "")
  local object = fields.object(decoded, "error")
  local details = fields.text(fields.object(object, "details"), "error_code")
  return {
    class = class_of(status, object), status = status, code = details or fields.text(object, "type"),
    text = fields.line(fields.text(object, "message") or ("the provider answered with status %d"):format(status), TEXT_BYTES),
    request_id = request_id(headers, decoded), retry_after_s = retry_after.seconds(headers, now_s or clock.wall_us() / 1e6),
    should_retry = retry_after.wanted(headers), key_refused = refuses_key(status, object),
  }
end

return failure
