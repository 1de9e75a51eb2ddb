-- SPDX-License-Identifier: Apache-2.0
--- The script reference, written from the gate's table.
local gate = require "scripts.gate"

local reference = {}

local function shape(field)
  local text = field.type
  if field.enum then text = table.concat(field.enum, " \\| ") end
  if field.min or field.max then
    text = ("%s, %s to %s"):format(text, tostring(field.min or 0), tostring(field.max or "any"))
    if field.type == "string" then text = ("string, at most %d bytes"):format(field.max) end
  end
  return text
end

local function sorted(map)
  local names = {}
  for name in pairs(map) do names[#names + 1] = name end
  table.sort(names)
  return names
end

function reference.markdown()
  local out = { "# Script reference", "",
    "Every verb of the call object. A mistake of the script raises an error; the world's failure returns `nil, err` "
    .. "with `err.code` and `err.text`. A state that was interrupted is run again from its beginning: verbs that were done return "
    .. "their recorded result.", "" }
  local function line(text) out[#out + 1] = text end
  for _, verb in ipairs(gate.verbs) do
    local names = {}
    for i, param in ipairs(verb.params) do names[i] = param.optional and "[" .. param.name .. "]" or param.name end
    line(("## call:%s(%s)"):format(verb.name, table.concat(names, ", ")))
    line("")
    line(verb.doc)
    if verb.result then line("") line("Returns " .. verb.result .. ".") end
    line("")
    line("After a crash: " .. verb.resume .. ".")
    line("")
    line("```lua") line(verb.example) line("```")
    for _, param in ipairs(verb.params) do
      line("")
      line(("`%s`: %s%s%s"):format(param.name, param.type, param.optional and ", optional" or "", param.doc and ". " .. param.doc or ""))
      if param.fields and next(param.fields) then
        line("")
        line("| field | form | default | meaning |")
        line("|---|---|---|---|")
        for _, name in ipairs(sorted(param.fields)) do
          local field = param.fields[name]
          line(("| `%s` | %s | %s | %s |"):format(name, shape(field), field.default == nil and "" or tostring(field.default), field.doc or ""))
        end
        if param.keys then line("") line(param.keys) end
      end
    end
    line("")
  end
  return table.concat(out, "\n")
end

return reference
