-- SPDX-License-Identifier: Apache-2.0
--- A request as one text that is the same for the same request: names sorted, lengths before texts, line ends and outer space made
--- alike. What only steers the provider's own cache is left out. Pure.
local json = require "core.json"

local canonical = {}

local DEPTH = 64

local write

local function write_text(out, text)
  out[#out + 1] = #text .. ":"
  out[#out + 1] = text
end

local function write_table(out, value, depth)
  if json.is_array(value) or #value > 0 then
    out[#out + 1] = "["
    for i = 1, #value do write(out, value[i], depth) end
    out[#out + 1] = "]"
    return
  end
  local names = {}
  for name in pairs(value) do names[#names + 1] = tostring(name) end
  table.sort(names)
  out[#out + 1] = "{"
  for _, name in ipairs(names) do
    write_text(out, name)
    local member = value[name]
    if member == nil then member = value[tonumber(name)] end
    write(out, member, depth)
  end
  out[#out + 1] = "}"
end

write = function(out, value, depth)
  local kind = type(value)
  if kind == "table" then
    if depth >= DEPTH then error("a request of more than 64 levels", 0) end
    write_table(out, value, depth + 1)
  elseif kind == "string" then
    write_text(out, value)
  elseif kind == "number" then
    out[#out + 1] = ("n%.17g;"):format(value)
  elseif kind == "nil" or value == json.null then
    out[#out + 1] = "-"
  else
    out[#out + 1] = tostring(value) .. ";"
  end
end

--- Any value of JSON as text. Raises for one of more than 64 levels.
function canonical.text(value)
  local out = {}
  write(out, value, 0)
  return table.concat(out)
end

local function normal(text)
  if type(text) ~= "string" then return text end
  text = text:gsub("\r\n?", "\n")
  if not text:find("%S") then return "" end
  return (text:match("^%s*(.*%S)"))
end

local FIELDS = { "tools", "tool_choice", "parallel_tools", "schema", "max_tokens", "temperature", "top_p", "stop", "seed", "effort", "extras" }

--- @param request table  canonical request (ai.request)
--- @param without_last boolean|nil  leave the text of the last message out
function canonical.request(request, without_last)
  local kept = { system = normal(request.system), messages = json.array{} }
  for i, message in ipairs(request.messages) do
    local last = without_last and i == #request.messages
    kept.messages[i] = { role = message.role, text = not last and normal(message.text) or nil, tool_calls = message.tool_calls,
      tool_call_id = message.tool_call_id, is_error = message.is_error }
  end
  for _, name in ipairs(FIELDS) do kept[name] = request[name] end
  return canonical.text(kept)
end

return canonical
