-- SPDX-License-Identifier: Apache-2.0
--- A simulated call as people read it. Pure: results and callers in, lines out.
local render = {}

local WIDTH = 110

local function printable(text) return (text:gsub("[%z\1-\8\11-\31\127]", "?"):gsub("[\n\t]", " ")) end

-- A value as Lua source, short.
local function value_text(value, most)
  local text
  if type(value) == "string" then
    text = '"' .. printable(value):gsub('"', '\\"') .. '"'
  elseif type(value) == "table" then
    local parts, keys, listed = {}, {}, {}
    for i, item in ipairs(value) do
      parts[i] = value_text(item)
      listed[i] = true
    end
    for key in pairs(value) do
      if not listed[key] then keys[#keys + 1] = key end
    end
    table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
    for _, key in ipairs(keys) do
      local name = type(key) == "string" and key:match("^[%a_][%w_]*$") or "[" .. value_text(key) .. "]"
      parts[#parts + 1] = name .. " = " .. value_text(value[key])
    end
    text = #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
  elseif type(value) == "number" and value ~= math.floor(value) then
    text = ("%.14g"):format(value)
  else
    text = tostring(value)
  end
  if most and #text > most then text = text:sub(1, math.max(1, most - 3)) .. "..." end
  return text
end
render.value = value_text

local function time_text(ms) return ("%d:%04.1f"):format(math.floor(ms / 60000), ms % 60000 / 1000) end

local function call_text(step)
  if step.hook then return ("hook %s%s"):format(step.hook, value_text(step.input)) end
  local parts = {}
  for i = 1, #step.args do parts[i] = value_text(step.args[i]) end
  local text = table.concat(parts, ", ")
  if #parts == 1 and text:match('^["{]') then return step.verb .. (text:sub(1, 1) == "{" and text or " " .. text) end
  return step.verb .. "(" .. text .. ")"
end

-- What the platform does without the hook, in short.
local function without(step) return step.fallback:match("^[^;]*") end

local function outcome_text(step)
  if step.error and step.hook then return "failed (" .. step.error.code .. "), so " .. without(step) end
  if step.error then return step.error.code .. (step.error.code ~= "gone" and ": " .. printable(step.error.text) or "") end
  if step.result == nil then return step.fallback and "nil, so " .. without(step) or "nil" end
  return value_text(step.result, 44)
end

--- "flows/main.lua:12", or the file alone where nobody knows the line.
function render.place(at) return at.line and ("%s:%d"):format(at.file, at.line) or at.file end

--- The lines of a call: time, what was asked and what came of it, by state.
--- @return table  list of text
function render.call(result)
  local lines, state = {}, nil
  for _, step in ipairs(result.trace) do
    if step.state ~= state then
      state = step.state
      lines[#lines + 1] = "        " .. state
    end
    local text = call_text(step)
    local outcome = outcome_text(step)
    local room = math.max(40, WIDTH - 16 - #outcome)
    if #text > room then text = text:sub(1, math.max(20, room - 3)) .. "..." end
    lines[#lines + 1] = ("%7s   %s -> %s%s"):format(time_text(step.at_ms), text, outcome, step.used_us and ("   (%d us)"):format(step.used_us) or "")
  end
  for _, err in ipairs(result.errors) do
    lines[#lines + 1] = ("        ! %s%s%s"):format(err.file and render.place(err) .. ": " or "", printable(err.text),
      err.state and (" (in state %s)"):format(err.state) or "")
  end
  lines[#lines + 1] = ("%7s   %s%s"):format(time_text(result.seconds * 1000), result.outcome,
    result.hangup_by and ", hung up by the " .. result.hangup_by or result.reason and ": " .. printable(result.reason) or "")
  return lines
end

--- A caller as it is written in a spec: simulate{ ... }.
function render.caller(given)
  local parts, names = {}, {}
  for name in pairs(given) do if name ~= "steps" then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = name .. " = " .. value_text(given[name]) end
  local steps = {}
  for i, step in ipairs(given.steps or {}) do steps[i] = value_text(step) end
  if #steps > 0 then parts[#parts + 1] = "steps = { " .. table.concat(steps, ", ") .. " }" end
  return "simulate{" .. (#parts > 0 and " " .. table.concat(parts, ", ") .. " " or "") .. "}"
end

return render
