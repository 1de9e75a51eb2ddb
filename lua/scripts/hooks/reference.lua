-- SPDX-License-Identifier: Apache-2.0
--- The part of the script reference that is about hooks, written from their table.
local rules = require "scripts.hooks.rules"

local reference = {}

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- What a hook may give, in words.
local function shape(declared)
  if declared.enum then return table.concat(declared.enum, " \\| ") end
  local text = declared.type
  if declared.minimum and declared.maximum then text = ("%s, %s to %s"):format(text, tostring(declared.minimum), tostring(declared.maximum)) end
  if declared.maxLength then text = ("%s, at most %d characters"):format(text, declared.maxLength) end
  if declared.maxItems then text = ("list of at most %d: %s"):format(declared.maxItems, shape(declared.items)) end
  return text
end

local function table_of(line, title, rows)
  line("")
  line(title)
  line("")
  line("| field | form | meaning |")
  line("|---|---|---|")
  for _, row in ipairs(rows) do line(("| `%s` | %s | %s |"):format(row[1], row[2], row[3] or "")) end
end

function reference.markdown()
  local out = {}
  local function line(text) out[#out + 1] = text end
  line("# Hooks")
  line("")
  line("A file beside `bundle.lua` may decide more than flows do. It returns one function, or a table of functions by the names below. "
    .. "A hook is given a table and asks for nothing: no verb works in it, and the time is in its input. It has 50 ms of CPU and "
    .. rules.list[1].ms .. " ms in all; where there is none, it returns nil, fails or is late, the platform goes on without it. Every hook is given "
    .. "`now` (" .. rules.common.now.doc .. ") and `seed` (" .. rules.common.seed.doc .. ").")
  for _, hook in ipairs(rules.list) do
    line("")
    line(("## %s: %s%s"):format(hook.file, hook.name, hook.whose == "operator" and " (the operator's bundle)" or ""))
    line("")
    line(hook.doc)
    line("")
    line("Without it: " .. hook.without .. ".")
    line("")
    line("```lua") line(hook.example) line("```")
    local rows = {}
    for i, name in ipairs(sorted(hook.input)) do rows[i] = { name, hook.input[name].type, hook.input[name].doc } end
    if #rows > 0 then table_of(line, "Its input:", rows) end
    if hook.output.properties then
      rows = {}
      for i, name in ipairs(sorted(hook.output.properties)) do
        rows[i] = { name, shape(hook.output.properties[name]), hook.output.properties[name].description }
      end
      table_of(line, "It gives:", rows)
    else
      line("")
      line("It gives: " .. shape(hook.output) .. ".")
    end
  end
  line("")
  return table.concat(out, "\n")
end

return reference
