-- SPDX-License-Identifier: Apache-2.0
--- For specs of adapters: wire texts cut into pieces, framed as the host's client frames them, and fed to a reader.
local ai_wire = {}

--- Server-sent events out of pieces of bytes: push(bytes) -> list of { name or false, data }.
local function sse()
  local rest, name, data = "", false, {}
  return function(bytes)
    rest = rest .. bytes
    local found = {}
    while true do
      local line, after = rest:match("^([^\n]*)\n()")
      if not line then return found end
      rest, line = rest:sub(after), line:gsub("\r$", "")
      local field, value = line:match("^(%a+): ?(.*)$")
      if field == "event" then name = value
      elseif field == "data" then data[#data + 1] = value
      elseif line == "" then
        if #data > 0 then found[#found + 1] = { name, table.concat(data, "\n") } end
        name, data = false, {}
      end
    end
  end
end

--- All events of a stream that came in these pieces and then ended.
function ai_wire.read(adapter, pieces, target)
  local push, reader, events = sse(), adapter.reader(target or {}), {}
  local function take(list)
    for _, event in ipairs(list) do events[#events + 1] = event end
  end
  for _, piece in ipairs(pieces) do
    for _, frame in ipairs(push(piece)) do take(reader:feed(frame[1], frame[2])) end
  end
  take(reader:finish())
  return events
end

--- The events of a kind.
function ai_wire.of_type(events, kind)
  local found = {}
  for _, event in ipairs(events) do
    if event.type == kind then found[#found + 1] = event end
  end
  return found
end

--- The last event, which ends every answer, well or not.
function ai_wire.last(events)
  return events[#events]
end

--- What was said.
function ai_wire.text(events)
  local texts = {}
  for _, event in ipairs(ai_wire.of_type(events, "text")) do texts[#texts + 1] = event.text end
  return table.concat(texts)
end

--- The usage that counts: the last one.
function ai_wire.usage(events)
  local all = ai_wire.of_type(events, "usage")
  return all[#all]
end

return ai_wire
