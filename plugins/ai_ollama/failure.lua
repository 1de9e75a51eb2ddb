-- SPDX-License-Identifier: Apache-2.0
--- Ollama's errors in our few classes: a status and { "error": "text" }, or such a line in the middle of a stream.
local clock = require "core.clock"
local fields = require "ai.fields"
local json = require "core.json"
local retry_after = require "ai.retry_after"

local failure = {}

local TEXT_BYTES = 500
local CLASS_OF_STATUS = {
  [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [409] = "timeout", [413] = "too_long", [429] = "rate",
  [503] = "overload", [529] = "overload",
}
local TOO_LONG = { "context length", "context window", "too long", "exceeds maximum context" }

--- What a decoded answer or line says went wrong, or nil. Proxies in front of it put an object there.
function failure.said(decoded)
  if type(decoded) ~= "table" then return nil end
  local found = decoded.error
  if type(found) == "table" then return fields.text(found, "message") or "an error without a text" end
  return fields.text(decoded, "error")
end

local function class_of(text, status)
  if status == nil or status == 400 or status == 500 then
    local lower = text:lower()
    for _, words in ipairs(TOO_LONG) do
      if lower:find(words, 1, true) then return "too_long" end
    end
  end
  if status == nil or status < 300 or (status >= 500 and not CLASS_OF_STATUS[status]) then return "server" end
  return CLASS_OF_STATUS[status] or (status >= 400 and "bad_request") or "protocol"
end

--- An error event for what a line in the stream says.
function failure.event(said)
  return { type = "error", class = class_of(said), text = fields.line(said, TEXT_BYTES) }
end

--- The id that a proxy gave the request, or nil: Ollama has none.
function failure.request_id(headers)
  local id = fields.header(headers, "x-request-id")
  return id and fields.line(id, 200)
end

--- What an answer that is none says.
--- @param now_s number  for a Retry-After that is a date; the clock's, unless given
--- @return table  { class, text, status, request_id, retry_after_s, should_retry = what the provider said of it: true, false or nil,
---   key_refused = true where it is the key itself that is no good }
function failure.of(status, headers, body, now_s)
  local said = failure.said((json.decode(body or ""))) or ("the provider answered with status %d"):format(status)
  return {
    class = class_of(said, status), text = fields.line(said, TEXT_BYTES), status = status, request_id = failure.request_id(headers),
    retry_after_s = retry_after.seconds(headers, now_s or clock.wall_us() / 1e6), should_retry = retry_after.wanted(headers),
    key_refused = status == 401 or nil,
  }
end

--- The same as the error event of a whole answer.
function failure.as_event(found)
  return { type = "error", class = found.class, text = found.text, request_id = found.request_id, retry_after_s = found.retry_after_s,
    should_retry = found.should_retry, key_refused = found.key_refused }
end

--- An answer that cannot be read.
function failure.unreadable(headers, what)
  return { class = "protocol", text = what, request_id = failure.request_id(headers) }
end

return failure
