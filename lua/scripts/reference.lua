-- SPDX-License-Identifier: Apache-2.0
--- The script reference, from the gate's table: as a table (JSON, for the page) and as Markdown.
local gate = require "scripts.gate"
local guide = require "scripts.guide"
local hooks = require "scripts.hooks.reference"
local json = require "core.json"
local names = require "lib.names"

local reference = {}

--- What a value may be, in words.
local function form(declared)
  if declared.items and not declared.items[1] then return ("list of at most %d tables"):format(declared.own.max) end
  if declared.items then
    return 'list of "' .. table.concat(declared.items, '", "') .. '"' .. (declared.own and (", and at most %d tables of your own"):format(declared.own.max) or "")
  end
  if declared.texts then return ("list of at most %d strings of at most %d bytes"):format(declared.texts.max, declared.texts.bytes) end
  if declared.enum then return '"' .. table.concat(declared.enum, '", "') .. '"' end
  if declared.type == "string" and declared.max then return ("string of at most %d byte%s"):format(declared.max, declared.max == 1 and "" or "s") end
  local unit = declared.unit and " " .. declared.unit or ""
  if declared.min then return ("%s, %g to %g%s"):format(declared.type, declared.min, declared.max, unit) end
  return declared.type .. (unit ~= "" and "," .. unit or "")
end

-- Those of a table within a table stand behind it, as limit.turns; of the tables in a list, as tools[].name; of whatever name, as parameters.*.
local function fields(declared, prefix, list)
  list = list or json.array()
  prefix = prefix or ""
  for _, name in ipairs(names(declared)) do
    local field = declared[name]
    list[#list + 1] = { name = prefix .. name, type = field.type, form = form(field), default = field.default, doc = field.doc, min = field.min, max = field.max,
                        enum = field.enum, permission = field.permission }
    if field.fields then fields(field.fields, prefix .. name .. ".", list) end
    if field.own then fields(field.own.fields, prefix .. name .. "[].", list) end
    if field.each then fields(field.each.fields, prefix .. name .. ".*.", list) end
  end
  return list
end

-- What a script gives: without what only the cell does.
local function params_of(verb)
  local list = {}
  for _, param in ipairs(verb.params) do
    if not param.inner then list[#list + 1] = param end
  end
  return list
end

local function verb_view(verb)
  local params, given, errors = json.array(), {}, json.array()
  for i, param in ipairs(params_of(verb)) do
    given[i] = param.optional and "[" .. param.name .. "]" or param.name
    params[i] = { name = param.name, type = param.type, form = form(param), optional = param.optional or false, doc = param.doc,
                  min = param.min, max = param.max, keys = param.keys, fields = param.fields and fields(param.fields) or nil }
  end
  for i, err in ipairs(verb.errors) do errors[i] = { code = err.code, doc = err.doc, remedy = err.remedy } end
  return {
    name = verb.name, group = verb.group, signature = ("call:%s(%s)"):format(verb.name, table.concat(given, ", ")), doc = verb.doc,
    params = params, errors = errors, example = verb.example, resume = verb.resume, resume_doc = gate.resumes[verb.resume],
    result = { type = verb.result.type, form = form(verb.result), doc = verb.result.doc, fields = verb.result.fields and fields(verb.result.fields) or nil },
    cost = verb.cost, permission = verb.permission, timeout = verb.timeout, sound = verb.sound or false, always = verb.always or false,
  }
end

--- The whole reference: { title, before, properties, groups = { { id, title, doc, verbs } }, hooks, behind }; before, hooks and
--- behind are lists of sections.
function reference.table()
  local groups, properties = {}, {}
  for i, group in ipairs(gate.groups) do
    local verbs = json.array()
    for _, verb in ipairs(gate.verbs) do
      if verb.group == group.id then verbs[#verbs + 1] = verb_view(verb) end
    end
    groups[i] = { id = group.id, title = group.title, doc = group.doc, verbs = verbs }
  end
  for i, property in ipairs(gate.properties) do
    properties[i] = { name = property.name, form = form(property), optional = property.optional or false, doc = property.doc }
  end
  return { title = "Script reference", before = guide.before(), properties = properties, groups = groups, hooks = hooks.sections(), behind = guide.behind() }
end

-- Markdown -----------------------------------------------------------------------------------------------------------------

local function bar(text) return (text:gsub("|", "\\|")) end

local function table_lines(line, head, rows)
  line("")
  line("| " .. table.concat(head, " | ") .. " |")
  line("|" .. ("---|"):rep(#head))
  for _, row in ipairs(rows) do
    local cells = {}
    for i, text in ipairs(row) do cells[i] = bar(text) end
    line("| " .. table.concat(cells, " | ") .. " |")
  end
end

local function code_lines(line, code)
  line("")
  line("```lua")
  line((code:gsub("\n$", "")))
  line("```")
end

local function section_lines(line, section)
  line("")
  line("## " .. section.title)
  for _, block in ipairs(section.blocks) do
    if block.text then
      line("")
      line(block.text)
    elseif block.code then
      code_lines(line, block.code)
    else
      table_lines(line, block.head, block.rows)
    end
  end
end

local function field_rows(list, optional)
  local rows = {}
  for i, field in ipairs(list) do
    rows[i] = { ("`%s`"):format(field.name), field.form, field.doc .. (field.permission and (" (permission `%s`)"):format(field.permission) or "") }
    if optional then
      local default = field.default
      table.insert(rows[i], 3, default == nil and "" or type(default) == "string" and ("`%q`"):format(default) or ("`%s`"):format(tostring(default)))
    end
  end
  return rows
end

local function error_rows(errors)
  local rows = {}
  for i, err in ipairs(errors) do rows[i] = { ("`%s`"):format(err.code), err.doc, err.remedy } end
  return rows
end

local function verb_lines(line, verb)
  line("")
  line("### " .. verb.signature)
  line("")
  line(verb.doc)
  code_lines(line, verb.example)
  for _, param in ipairs(verb.params) do
    line("")
    line(("`%s`: %s%s. %s."):format(param.name, param.form, param.optional and ", may be left out" or "", param.doc:gsub("^%l", string.upper)))
    if param.keys then line(param.keys) end
    if param.fields and #param.fields > 0 then table_lines(line, { "field", "form", "default", "meaning" }, field_rows(param.fields, true)) end
  end
  line("")
  line(verb.result.type == "never" and ("Does not return: %s."):format(verb.result.doc) or ("Returns %s: %s."):format(verb.result.form, verb.result.doc))
  if verb.result.fields then table_lines(line, { "field", "form", "meaning" }, field_rows(verb.result.fields)) end
  if not verb.always then
    line("")
    line(("Or `nil, err`%s."):format(#verb.errors > 0 and ", with these codes and those of every verb (see Errors)" or ", with the codes of every verb (see Errors)"))
  end
  if #verb.errors > 0 then table_lines(line, { "err.code", "meaning", "what to do" }, error_rows(verb.errors)) end
  line("")
  line(("Takes %d of the quota and at most %d s. %sAfter a crash (%s): %s%s"):format(verb.cost, verb.timeout,
    verb.permission and ("Needs the permission `%s`. "):format(verb.permission) or "", verb.resume, verb.resume_doc,
    verb.sound and " Answers a ringing call." or ""))
end

function reference.markdown()
  local out = {}
  local function line(text) out[#out + 1] = text end
  local whole = reference.table()
  line("# " .. whole.title)
  for _, section in ipairs(whole.before) do section_lines(line, section) end
  line("")
  line("## The call object")
  local rows = {}
  for i, property in ipairs(whole.properties) do rows[i] = { ("`call.%s`"):format(property.name), property.form .. (property.optional and " or nil" or ""), property.doc } end
  table_lines(line, { "field", "form", "meaning" }, rows)
  for _, group in ipairs(whole.groups) do
    line("")
    line("## " .. group.title)
    line("")
    line(group.doc)
    for _, verb in ipairs(group.verbs) do verb_lines(line, verb) end
  end
  for _, section in ipairs(whole.hooks) do section_lines(line, section) end
  for _, section in ipairs(whole.behind) do section_lines(line, section) end
  return table.concat(out, "\n") .. "\n"
end

return reference
