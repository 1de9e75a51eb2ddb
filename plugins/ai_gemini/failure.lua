-- SPDX-License-Identifier: Apache-2.0
--- Gemini's errors in our few classes. Form: google.rpc.Status as { error = { code, message, status, details } } (googleapis/python-genai, errors.py);
--- a stream's may be the only element of a list. Details are told apart by "@type": ErrorInfo (reason), QuotaFailure, RetryInfo (retryDelay).
local clock = require "core.clock"
local fields = require "ai.fields"
local json = require "core.json"
local retry_after = require "ai.retry_after"

local failure = {}

local TEXT_BYTES, ID_BYTES = 500, 200

local CLASS_OF_CODE = {
  [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [429] = "rate",
  [499] = "server", [503] = "overload",
}
local CLASS_OF_STATUS = {
  INVALID_ARGUMENT = "bad_request", FAILED_PRECONDITION = "bad_request", OUT_OF_RANGE = "bad_request", UNAUTHENTICATED = "auth", PERMISSION_DENIED = "auth",
  NOT_FOUND = "not_found", RESOURCE_EXHAUSTED = "rate", UNAVAILABLE = "overload", DEADLINE_EXCEEDED = "server", ABORTED = "timeout", INTERNAL = "server",
  CANCELLED = "server", UNKNOWN = "server", UNIMPLEMENTED = "bad_request",
}
-- A wrong key is a bad request here; only the details say so.
local BAD_KEY = { API_KEY_INVALID = true, API_KEY_EXPIRED = true, API_KEY_SERVICE_BLOCKED = true, API_KEY_HTTP_REFERRER_BLOCKED = true, API_KEY_IP_ADDRESS_BLOCKED = true,
  CREDENTIALS_MISSING = true, ACCESS_TOKEN_EXPIRED = true, CONSUMER_INVALID = true, CONSUMER_SUSPENDED = true }
-- Of these the key itself is no good; the others are of an address, a service or a moment.
local DEAD_KEY = { API_KEY_INVALID = true, API_KEY_EXPIRED = true, CONSUMER_SUSPENDED = true }
local NO_MONEY = { BILLING_DISABLED = true, SPENDING_LIMIT_EXCEEDED = true }
-- Every 429 advises to look at "plan and billing details", so that says nothing.
local WORDS = {
  bad_request = {
    { "api key not valid", "auth" }, { "api key expired", "auth" }, { "exceeds the maximum number of tokens", "too_long" }, { "token count exceeds", "too_long" },
    { "request payload size exceeds", "too_long" }, { "enable billing", "quota" },
  },
  rate = { { "credits are depleted", "quota" }, { "spending cap", "quota" }, { "spend cap", "quota" } },
}

--- The error object in a decoded answer or chunk, or nil.
function failure.object(decoded)
  if type(decoded) ~= "table" then return nil end
  local found = decoded.error
  if found == nil and type(decoded[1]) == "table" then found = decoded[1].error end
  return type(found) == "table" and found or nil
end

-- The first detail of a kind, or an empty object.
local function detail(object, kind)
  for _, one in ipairs(fields.object(object, "details")) do
    local found = fields.text(one, "@type")
    if found and found:sub(-#kind - 1) == "." .. kind then return one end
  end
  return {}
end

local function class_of(status, object)
  local reason = fields.text(detail(object, "ErrorInfo"), "reason") or ""
  if BAD_KEY[reason] then return "auth" end
  if NO_MONEY[reason] then return "quota" end
  local class
  if not status or status < 300 then
    -- In a stream that began well.
    class = CLASS_OF_STATUS[fields.text(object, "status") or ""]
    status = fields.count(object, "code") or 500
  end
  class = class or CLASS_OF_CODE[status] or (status >= 500 and "server") or (status >= 400 and "bad_request") or "protocol"
  local text = (fields.text(object, "message") or ""):lower()
  for _, pair in ipairs(WORDS[class] or {}) do
    if text:find(pair[1], 1, true) then return pair[2] end
  end
  return class
end

-- Is the key refused for good? A 403 (PERMISSION_DENIED) may be one model, one address or one request.
local function refuses_key(status, object)
  if class_of(status, object) ~= "auth" then return nil end
  if not status or status < 300 then status = fields.text(object, "status") == "UNAUTHENTICATED" and 401 or fields.count(object, "code") end
  if status == 401 or DEAD_KEY[fields.text(detail(object, "ErrorInfo"), "reason") or ""] then return true end
  local text = (fields.text(object, "message") or ""):lower()
  return text:find("api key not valid", 1, true) ~= nil or text:find("api key expired", 1, true) ~= nil or nil
end

-- google.protobuf.Duration as JSON writes it: "37s", "0.250s".
local function retry_delay_s(object)
  local text = fields.text(detail(object, "RetryInfo"), "retryDelay")
  local number = text and text:match("^(%d+%.?%d*)s$")
  return number and retry_after.seconds({ ["retry-after"] = number }, 0) or nil
end

local function text_of(object, otherwise)
  return fields.line(fields.text(object, "message") or fields.text(object, "status") or otherwise, TEXT_BYTES)
end

--- The id by which the request is known, where a proxy or the server gives one.
function failure.request_id(headers)
  local id = fields.header(headers, "x-goog-request-id") or fields.header(headers, "x-request-id")
  return type(id) == "string" and fields.line(id, ID_BYTES) or nil
end

--- An error of a stream, as an event.
--- @param object table  as failure.object() gives it
function failure.event(object)
  return {
    type = "error", class = class_of(nil, object), text = text_of(object, "the provider broke off the answer with an error"), code = fields.text(object, "status"),
    retry_after_s = retry_delay_s(object), key_refused = refuses_key(nil, object),
  }
end

--- What an answer with a status that is not 2xx means.
--- @param now_s number|nil  seconds since 1970, for a Retry-After that is a date; the clock's, unless given
--- @return table  { class, text, code, status, request_id, retry_after_s, should_retry = true, false or nil where the provider does not say,
---   key_refused = true where it is the key itself that is no good }
function failure.of(status, headers, body, now_s)
  local object = failure.object((json.decode(body or ""))) or {}
  return {
    class = class_of(status, object), status = status, text = text_of(object, ("the provider answered with status %d"):format(status)),
    code = fields.text(detail(object, "ErrorInfo"), "reason") or fields.text(object, "status"), request_id = failure.request_id(headers),
    -- RetryInfo is of this quota; a header may come from whoever stands between.
    retry_after_s = retry_delay_s(object) or retry_after.seconds(headers, now_s or clock.wall_us() / 1e6), should_retry = retry_after.wanted(headers),
    key_refused = refuses_key(status, object),
  }
end

return failure
