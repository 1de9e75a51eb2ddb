-- SPDX-License-Identifier: Apache-2.0
--- W3C trace context: every request and call has a trace id from its first moment.
local clock = require "core.clock"
local crypto = require "core.crypto"
local log = require "core.log"

local trace = {}

local IDS = 24 * 2  -- digits that a request needs: trace and span
local digits, used = "", 0

-- Random digits are asked for many at once: the generator costs as much for few as for many. Nobody relies on their being secret.
local function fresh()
  if used == #digits then
    digits, used = crypto.hex(crypto.random(24 * 40)), 0
  end
  used = used + IDS
  return digits:sub(used - IDS + 1, used)
end

--- Goes on with the caller's trace when its header is well formed, else starts one.
--- @return table  { id = 32 hex, span = 16 hex, parent = 16 hex or nil, flags = 2 hex }
function trace.from(header)
  local random = fresh()
  local span = random:sub(1, 16)
  if header then
    local version, id, parent, flags, rest = header:match("^(%x%x)%-(%x+)%-(%x+)%-(%x%x)(.*)$")
    local known = version and version ~= "ff" and (rest == "" or (version ~= "00" and rest:sub(1, 1) == "-"))
    -- Capitals are not allowed by the standard, and all zeros mean "invalid".
    if known and #id == 32 and #parent == 16 and not header:sub(1, 55):find("%u") and id:find("[^0]") and parent:find("[^0]") then
      return { id = id, span = span, parent = parent, flags = flags }
    end
  end
  return { id = random:sub(17), span = span, flags = "01" }
end

--- The header for answers and for requests we make.
function trace.header(t)
  return "00-" .. t.id .. "-" .. t.span .. "-" .. t.flags
end

--- Begins a span below another: a part of a request or a call that takes its own time.
--- @param parent table|nil  a trace as above; nil begins one
function trace.span(parent, name)
  local random = fresh()
  return { id = parent and parent.id or random:sub(17), span = random:sub(1, 16), parent = parent and parent.span, flags = parent and parent.flags or "01",
    name = name, began_ms = clock.mono_ms() }
end

--- Ends a span: it becomes a line of the log, { trace, span, parent, name, ms } with the fields given.
function trace.ended(span, fields)
  fields.trace, fields.span, fields.parent, fields.name = span.id, span.span, span.parent, span.name
  fields.ms = fields.ms or clock.mono_ms() - span.began_ms
  log.info("span", fields)
end

return trace
