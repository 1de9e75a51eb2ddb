-- SPDX-License-Identifier: Apache-2.0
--- What an answer that is none says, in the classes of the language models' adapters: by the provider's own word where it has one for it,
--- else by the status.
local clock = require "core.clock"
local fields = require "ai.fields"
local retry_after = require "ai.retry_after"

local failure = {}

local TEXT_BYTES = 500

local CLASS_OF_STATUS = {
  [401] = "auth", [402] = "quota", [403] = "auth", [404] = "not_found", [408] = "timeout", [413] = "too_long", [429] = "rate", [503] = "overload", [529] = "overload",
}

--- The class of a status.
function failure.class(status)
  if CLASS_OF_STATUS[status] then return CLASS_OF_STATUS[status] end
  if status >= 500 and status <= 599 then return "server" end
  return status >= 400 and status <= 499 and "bad_request" or "protocol"
end

--- @param found table  { class, text, code }: what the body says, all of it optional
function failure.of(status, headers, found)
  local class = found.class or failure.class(status)
  return {
    type = "error", class = class, text = fields.line(found.text or ("the provider answered with status %d"):format(status), TEXT_BYTES), code = found.code, status = status,
    retry_after_s = retry_after.seconds(headers, clock.wall_us() / 1e6), key_refused = status == 401 or nil,
  }
end

return failure
