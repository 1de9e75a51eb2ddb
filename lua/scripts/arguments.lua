-- SPDX-License-Identifier: Apache-2.0
--- Checks what a script gave to a verb against its declaration in the gate's table, and says in a line what is wrong.
local names = require "lib.names"
local text_of = require "lib.text"

local arguments = {}

local function kind_of(value)
  local kind = type(value)
  if kind == "number" and value == math.floor(value) then return "integer" end
  return kind
end

local check_value, check_fields

local function copy_of(set)
  local copy = {}
  for name, value in pairs(set) do copy[name] = value end
  return copy
end

-- A list of texts, whichever they are.
local function check_texts(where, texts, value)
  if #value < (texts.min or 0) then return nil, ("%s must hold at least %d text%s"):format(where, texts.min, texts.min == 1 and "" or "s") end
  if #value > texts.max then return nil, ("%s may hold at most %d texts, it has %d"):format(where, texts.max, #value) end
  for key, item in pairs(value) do
    if type(key) ~= "number" or type(item) ~= "string" or #item > texts.bytes then
      return nil, ("%s must be a list of texts of at most %d bytes"):format(where, texts.bytes)
    end
    if texts.said and not text_of.has_words(item) then return nil, ("%s must be a list of texts that can be said"):format(where) end
  end
  return value
end

local function is_place_in(key, list) return type(key) == "number" and key % 1 == 0 and key >= 1 and key <= #list end

-- The tables of a list that may hold such: each with a name of its own.
local function check_own(where, own, value, taken)
  local count = 0
  for _, name in ipairs(own.reserved or {}) do taken[name] = true end
  for i, item in ipairs(value) do
    if type(item) == "table" then
      local checked, problem = check_fields(("%s[%d]"):format(where, i), own, item)
      if problem then return problem end
      if taken[checked.name] then return ("%s[%d].name is '%s', which there is already"):format(where, i, checked.name) end
      taken[checked.name], value[i], count = true, checked, count + 1
    end
  end
  if count > own.max then return ("%s may hold at most %d of your own, it has %d"):format(where, own.max, count) end
end

-- A list of texts, each of them known and there once; and of tables, where it may hold those.
local function check_items(where, declaration, given)
  local known, list, seen, value = {}, {}, {}, {}
  for _, item in ipairs(declaration.items) do known[item] = true end
  for i, item in ipairs(given) do value[i] = item end
  local problem = declaration.own and check_own(where, declaration.own, value, copy_of(known))
  if problem then return nil, problem end
  for key, item in pairs(given) do
    if not is_place_in(key, given) then return nil, ("%s must be a list%s"):format(where, declaration.items[1] and (" such as { %q }"):format(declaration.items[1]) or " of tables") end
    if not known[item] and not (declaration.own and type(item) == "table") then
      local shown = type(item) == "string" and "'" .. item:sub(1, 64) .. "'" or tostring(item)
      return nil, ("%s holds %s; it takes %s"):format(where, shown, declaration.items[1] and table.concat(declaration.items, ", ") or "tables")
    end
  end
  for _, item in ipairs(value) do
    if not seen[item] then list[#list + 1] = item end
    seen[item] = true
  end
  return list
end

function check_fields(where, declaration, value)
  local result, others = {}, 0
  for name, field in pairs(declaration.fields) do
    local given = value[name]
    if given == nil and field.required then
      return nil, ("%s lacks %s"):format(where, name)
    elseif given == nil and field.fields then
      result[name] = check_fields(where, field, {})
    elseif given == nil then
      result[name] = field.default
    else
      local checked, problem = check_value(where .. "." .. name, field, given)
      if problem then return nil, problem end
      result[name] = checked
    end
  end
  for name, given in pairs(value) do
    if declaration.fields[name] == nil then
      local form = declaration.key_form
      if not declaration.open or form and (type(name) ~= "string" or not name:match(form)) then
        local also = form and (", and keys as text, such as [\"%s\"]"):format(tostring(name):match("^%d$") or "1") or ""
        return nil, ("%s has no field %s; it takes %s%s"):format(where, type(name) == "string" and "'" .. name .. "'" or tostring(name),
          table.concat(names(declaration.fields), ", "), also)
      end
      others = others + 1
      if declaration.most and others > declaration.most then return nil, ("%s may have at most %d fields"):format(where, declaration.most) end
      if declaration.key_max and #name > declaration.key_max then return nil, ("%s: a name may have at most %d bytes"):format(where, declaration.key_max) end
      if declaration.each then
        local problem
        given, problem = check_value(where .. "." .. name, declaration.each, given)
        if problem then return nil, problem end
      end
      result[name] = given
    end
  end
  for name, field in pairs(declaration.fields) do
    local of = field.only
    if of and result[name] ~= nil and result[of.field] ~= of.value then return nil, ("%s.%s may be there only where %s is %s"):format(where, name, of.field, of.value) end
  end
  return result
end

function check_value(where, declaration, value)
  local wanted, kind = declaration.type, kind_of(value)
  if wanted == "any" then return value end
  if wanted == "function" then  -- it stays in the cell, which has seen to it that it is one
    if value ~= true then return nil, ("%s must be a function"):format(where) end
    return true
  end
  if kind ~= wanted and not (wanted == "number" and kind == "integer") then
    local article = wanted == "integer" and "an integer" or "a " .. wanted
    return nil, ("%s must be %s, not %s"):format(where, article, kind == "nil" and "nothing" or "a " .. type(value))
  end
  if wanted == "string" and declaration.max and #value > declaration.max then
    return nil, ("%s may have at most %d bytes, it has %d"):format(where, declaration.max, #value)
  end
  if (wanted == "number" or wanted == "integer") and (value ~= value
      or (declaration.min and value < declaration.min) or (declaration.max and value > declaration.max)) then
    return nil, ("%s must be between %s and %s, it is %s"):format(where, tostring(declaration.min), tostring(declaration.max), tostring(value))
  end
  if declaration.form and not value:find(declaration.form) then
    return nil, ("%s must be %s"):format(where, declaration.form_doc)
  end
  if declaration.said and not text_of.has_words(value) then return nil, ("%s must be a text that can be said"):format(where) end
  if declaration.enum then
    local found = false
    for _, allowed in ipairs(declaration.enum) do found = found or allowed == value end
    if not found then return nil, ("%s must be one of %s"):format(where, table.concat(declaration.enum, ", ")) end
  end
  if wanted == "table" and declaration.texts then return check_texts(where, declaration.texts, value) end
  if wanted == "table" then return (declaration.items and check_items or check_fields)(where, declaration, value) end
  return value
end

--- @param verb table  a row of gate.verbs
--- @return table|nil  the arguments with defaults filled in; or nil and one line for the script's author
function arguments.check(verb, args)
  local checked = {}
  for i, param in ipairs(verb.params) do
    local given = args[i]
    if given == nil and param.optional then
      given = param.type == "table" and {} or nil
    end
    if given ~= nil or not param.optional then
      local value, problem = check_value(verb.name .. ": " .. param.name, param, given)
      if problem then return nil, problem end
      checked[i] = value
    end
  end
  for i in pairs(args) do
    if type(i) ~= "number" or i > #verb.params then
      return nil, ("%s takes %d argument%s"):format(verb.name, #verb.params, #verb.params == 1 and "" or "s")
    end
  end
  return checked
end

--- Does the bundle refuse this to its own scripts? One line for the script's author, or nil.
--- @param checked table  arguments with their defaults
function arguments.refused(verb, checked, permissions)
  if permissions[verb.permission] == false then
    return ("%s: needs the permission %s, which bundle.lua refuses (permissions.%s = false)"):format(verb.name, verb.permission, verb.permission)
  end
  for i, param in ipairs(verb.params) do
    for name, field in pairs(param.fields or {}) do
      if permissions[field.permission] == false and checked[i][name] == true then
        return ("%s: %s.%s needs the permission %s, which bundle.lua refuses; write %s = false"):format(verb.name, param.name, name,
          field.permission, name)
      end
    end
  end
end

return arguments
