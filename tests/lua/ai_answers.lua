-- SPDX-License-Identifier: Apache-2.0
--- What the specs of the AI adapters share: reads answers through an adapter, and looks for what is in the events.
local json = require "core.json"

local answers = {}

--- All events of a stream of data, given event by event.
--- @param list table  texts, or tables, which are encoded; a table { name, data } is a named event
function answers.stream(adapter, target, list)
  local reader, events = adapter.reader(target), {}
  local function add(found)
    for _, event in ipairs(found) do events[#events + 1] = event end
  end
  for _, one in ipairs(list) do
    local name, data = false, one
    if type(one) == "table" and #one == 2 then name, data = one[1], one[2] end
    add(reader:feed(name, type(data) == "table" and json.encode(data) or data))
  end
  add(reader:finish())
  return events
end

--- The events of one type.
function answers.of(events, type)
  local found = {}
  for _, event in ipairs(events) do
    if event.type == type then found[#found + 1] = event end
  end
  return found
end

--- The first event of a type, or nil.
function answers.first(events, type) return answers.of(events, type)[1] end

--- The text that was said.
function answers.text(events)
  local texts = {}
  for i, event in ipairs(answers.of(events, "text")) do texts[i] = event.text end
  return table.concat(texts)
end

--- The types of the events in their order.
function answers.types(events)
  local types = {}
  for i, event in ipairs(events) do types[i] = event.type end
  return table.concat(types, " ")
end

--- Reads a stream in which one event was spoilt: cut at each byte, and each byte made another. Nothing may raise, and each reading
--- has to end in exactly one `end` or `error`, after which nothing comes.
--- @param list table  as for stream
--- @return number  how many readings there were
function answers.spoil(adapter, target, list)
  local readings = 0
  local function read(spoilt)
    readings = readings + 1
    local events, ends = answers.stream(adapter, target, spoilt), 0
    for i, event in ipairs(events) do
      if event.type == "end" or event.type == "error" then
        ends = ends + 1
        if i ~= #events then return error("something follows the last event: " .. answers.types(events)) end
      end
    end
    if ends ~= 1 then error("the events have no end: " .. answers.types(events)) end
  end
  for i, one in ipairs(list) do
    local named = type(one) == "table" and #one == 2
    local data = named and one[2] or one
    local text = type(data) == "table" and json.encode(data) or data
    for at = 1, #text do
      for _, with in ipairs{ text:sub(1, at - 1), text:sub(1, at - 1) .. "9" .. text:sub(at + 1), text:sub(1, at - 1) .. "\255" .. text:sub(at + 1) } do
        local spoilt = {}
        for j, other in ipairs(list) do spoilt[j] = other end
        spoilt[i] = named and { one[1], with } or with
        read(spoilt)
      end
    end
  end
  return readings
end

return answers
