-- SPDX-License-Identifier: Apache-2.0
--- Times in their three forms: microseconds since 1970 (us), SQL text in UTC, RFC 3339.
local clock = require "core.clock"

local time = {}

--- "2026-11-22 10:00:00.000123"
function time.sql(us)
  local text = clock.rfc3339(us)
  return text:sub(1, 10) .. " " .. text:sub(12, -2)
end

--- Now, as SQL text. All times in rows come from here, so that one clock orders them.
function time.now()
  return time.sql(clock.wall_us())
end

--- Now plus seconds, as SQL text.
function time.ahead(seconds)
  return time.sql(clock.wall_us() + math.floor(seconds * 1e6))
end

--- SQL text to RFC 3339; nil stays nil.
function time.rfc3339(text)
  if text == nil then return nil end
  return text:sub(1, 10) .. "T" .. text:sub(12) .. "Z"
end

--- SQL text to microseconds.
function time.us(text)
  return clock.parse(time.rfc3339(text))
end

--- RFC 3339 with any offset to SQL text; nil when it is not a time.
function time.from_rfc3339(text)
  local us = clock.parse(text)
  return us and time.sql(us) or nil
end

return time
