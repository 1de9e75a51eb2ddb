-- SPDX-License-Identifier: Apache-2.0
--- The part of the script reference that is about hooks, from their table: sections as those of scripts.guide.
local names = require "lib.names"
local rules = require "scripts.hooks.rules"

local reference = {}

--- What a hook may give, in words.
local function shape(declared)
  if declared.enum then return table.concat(declared.enum, ", ") end
  local text = declared.type
  if declared.minimum and declared.maximum then text = ("%s, %s to %s"):format(text, tostring(declared.minimum), tostring(declared.maximum)) end
  if declared.maxLength then text = ("%s, at most %d characters"):format(text, declared.maxLength) end
  if declared.maxItems then text = ("list of at most %d: %s"):format(declared.maxItems, shape(declared.items)) end
  return text
end

local function fields(title, rows)
  return { head = { title, "form", "meaning" }, rows = rows }
end

local function section_of(hook)
  local blocks = {
    { text = hook.doc }, { text = "Without it: " .. hook.without .. "." },
    { file = hook.file, code = hook.example .. "\n" },
  }
  local rows = {}
  for i, name in ipairs(names(hook.input)) do rows[i] = { ("`%s`"):format(name), hook.input[name].type, hook.input[name].doc } end
  if #rows > 0 then blocks[#blocks + 1] = fields("is given", rows) end
  if hook.output.properties then
    rows = {}
    for i, name in ipairs(names(hook.output.properties)) do
      local declared = hook.output.properties[name]
      rows[i] = { ("`%s`"):format(name), shape(declared), declared.description or "" }
    end
    blocks[#blocks + 1] = fields("gives", rows)
  else
    blocks[#blocks + 1] = { text = "It gives: " .. shape(hook.output) .. "." }
  end
  return {
    id = "hook-" .. hook.name, blocks = blocks,
    title = ("%s: %s%s"):format(hook.file, hook.name, hook.whose == "operator" and " (the operator's bundle)" or ""),
  }
end

--- What hooks are, and one section for each.
function reference.sections()
  local common = rules.common
  local sections = { { id = "hooks", title = "Hooks", blocks = { { text =
    "A file beside `bundle.lua` may decide more than flows do. It returns one function, or a table of functions by the names below. "
    .. "A hook is given a table and asks for nothing: no verb works in it, and the time is in its input. It has 50 ms of CPU and "
    .. rules.list[1].ms .. " ms in all; where there is none, it returns nil, fails or is late, the platform goes on without it. Every hook is given "
    .. "`now` (" .. common.now.doc .. ") and `seed` (" .. common.seed.doc .. ")." } } } }
  for _, hook in ipairs(rules.list) do sections[#sections + 1] = section_of(hook) end
  return sections
end

return reference
