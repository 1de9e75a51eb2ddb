-- SPDX-License-Identifier: Apache-2.0
--- What a tenant's script finds as its globals: an allow-list, with everything replaced that LuaJIT does without a bound,
--- without a stack check or differently from one run to the next. Called once per VM with LuaJIT's own globals and our C
--- functions; returns the new globals.
---
--- Functions that call the tenant's functions are Lua, never C: so they can be interrupted and cannot overflow the C stack.
--- "return core.x(...)" as a tail call lets an error point at the caller.
local raw, core = ...

local type, select, next, rawget, raw_pcall = raw.type, raw.select, raw.next, raw.rawget, raw.pcall
local raw_tostring, raw_format, raw_getmetatable = raw.tostring, raw.string.format, raw.getmetatable
local huge, byte, sub, tonumber = raw.math.huge, raw.string.byte, raw.string.sub, raw.tonumber
local raise, enter, leave, step, concat = core.raise, core.enter, core.leave, core.step, core.concat
local text_max = core.text_max

local G = {}

local function pick(from, names)
  local to = {}
  for name in raw.string.gmatch(names, "%S+") do to[name] = from[name] end
  return to
end

for _, name in raw.ipairs { "assert", "error", "ipairs", "next", "rawequal", "rawget", "rawset", "select", "setmetatable",
  "tonumber", "type" } do
  G[name] = raw[name]
end
G._G = G
G._VERSION = "Lua 5.1"
G.unpack = core.unpack
G.bit = pick(raw.bit, "tobit tohex bnot band bor bxor lshift rshift arshift rol ror bswap")
G.math = pick(raw.math, "abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min modf pi "
  .. "pow rad sin sinh sqrt tan tanh")
G.math.random = core.random

--- Only tables have a metatable to see.
function G.getmetatable(value)
  if type(value) == "table" then return raw_getmetatable(value) end
  return nil
end

--- Without addresses: they would tell where memory lies.
local function tostring(...)
  local value = ...
  local kind = type(value)
  if kind == "table" then
    local convert = core.meta(value, "__tostring")
    if convert == nil then return "table" end
    if type(convert) ~= "function" or core.is_c(convert) then raise("__tostring must be a function of the script") end
    local text = convert(value)
    if type(text) ~= "string" then raise("__tostring must return a string") end
    return text
  elseif kind == "function" or kind == "thread" or kind == "userdata" then
    return kind
  elseif select("#", ...) == 0 then
    raise("bad argument #1 to 'tostring' (value expected)")
  end
  return raw_tostring(value)
end
G.tostring = tostring

--- Tables in an order that is the same in every run: a flow that is resumed in another process must ask for the same verbs.
--- Keys that appear while it walks are not visited.
function G.pairs(list)
  if type(list) ~= "table" then raise("bad argument #1 to 'pairs' (table expected, got " .. type(list) .. ")") end
  local keys = core.keys(list)
  if not keys then return next, list, nil end
  local i = 0
  return function()
    while true do
      i = i + 1
      local key = keys[i]
      if key == nil then return nil end
      local value = rawget(list, key)
      if value ~= nil then return key, value end
    end
  end, list, nil
end

-- Protected calls. As Lua functions each level has its stack check, which LuaJIT's own pcall lacks.

local function finish(level, ...)
  leave(level)
  return ...
end

local function pcall(f, ...)
  return finish(enter(), raw_pcall(f, ...))
end

--- The handler runs after the call has been left, so that it can be interrupted too; it sees no traceback.
local function handled(handler, ok, ...)
  if ok then return true, ... end
  local _, result = pcall(handler, (...))
  return false, result
end

function G.pcall(...)
  if select("#", ...) == 0 then raise("bad argument #1 to 'pcall' (value expected)") end
  return pcall(...)
end

function G.xpcall(f, handler, ...)
  return handled(handler, pcall(f, ...))
end

-- Strings. The table is edited in place: it is what ("x"):rep finds.

local string = raw.string
local kept = pick(string, "byte char len lower reverse sub upper")
for name in raw.pairs(string) do string[name] = nil end
for name, f in raw.pairs(kept) do string[name] = f end
string.find, string.match, string.rep = core.find, core.match, core.rep
G.string = string

local function has_objects(...)
  for i = 1, select("#", ...) do
    local kind = type((select(i, ...)))
    if kind == "table" or kind == "function" then return true end
  end
  return false
end

local function texts(n, value, ...)
  if n == 0 then return end
  local kind = type(value)
  if kind == "table" or kind == "function" then value = tostring(value) end
  return value, texts(n - 1, ...)
end

local function format(form, ...)
  core.format_check(form, ...)
  return raw_format(form, ...)
end

local function check_text(value, position, name)
  if type(value) == "string" then return value end
  if type(value) == "number" then return raw_tostring(value) end
  raise("bad argument #" .. position .. " to '" .. name .. "' (string expected, got " .. type(value) .. ")")
end

function string.format(form, ...)
  form = check_text(form, 1, "format")
  local n = select("#", ...)
  if n > 200 then raise("string.format of more than 200 values") end
  if has_objects(...) then return format(form, texts(n, ...)) end
  core.format_check(form, ...)
  return raw_format(form, ...)
end

function string.gmatch(text, pattern)
  text, pattern = check_text(text, 1, "gmatch"), check_text(pattern, 2, "gmatch")
  local at = 1
  local function advance(first, last, ...)
    if not first then
      at = #text + 2
      return
    end
    at = last >= first and last + 1 or first + 1
    return ...
  end
  return function()
    if at > #text + 1 then return end
    return advance(step(text, pattern, at, false))
  end
end

--- One match handed to the replacement: first, last and what stands in its place.
local function replaced(text, replacement, first, last, ...)
  if not first then return nil end
  local value
  if type(replacement) == "table" then value = replacement[(...)] else value = replacement(...) end
  if not value then return first, last, sub(text, first, last) end
  if type(value) == "number" then return first, last, raw_tostring(value) end
  if type(value) ~= "string" then raise("invalid replacement value (a " .. type(value) .. ")") end
  return first, last, value
end

local PARTS = 4095  -- so many are joined: a text of a MiB has three million, and is no reason to hold them all

local function gsub_by(text, pattern, replacement, limit)
  local joined, parts, n, count, size, at = {}, {}, 0, 0, 0, 1
  local anchored, by_key = byte(pattern) == 94, type(replacement) == "table" -- ^
  local function add(part)
    n, size = n + 1, size + #part
    parts[n] = part
    if size > text_max then raise("the result of string.gsub is longer than " .. text_max .. " bytes") end
    if n < PARTS then return end
    joined[#joined + 1] = concat(parts, "", 1, n)
    n = 0
  end
  while count + 1 <= limit do -- 1.5 is one
    local first, last, value = replaced(text, replacement, step(text, pattern, at, true, by_key))
    if not first then break end
    count = count + 1
    local upto = first
    if last < first then upto = first + 1 end -- an empty match: the character behind it goes along
    add(sub(text, at, first - 1))
    add(value)
    add(sub(text, first, upto - 1))
    at = last < first and upto or last + 1
    if anchored or (last < first and first > #text) then break end
  end
  add(sub(text, at))
  joined[#joined + 1] = concat(parts, "", 1, n)
  return concat(joined), count
end

function string.gsub(text, pattern, replacement, limit)
  local kind = type(replacement)
  if kind == "string" or kind == "number" then return core.gsub(text, pattern, replacement, limit) end
  if kind ~= "function" and kind ~= "table" then
    raise("bad argument #3 to 'gsub' (string/function/table expected, got " .. kind .. ")")
  end
  text, pattern = check_text(text, 1, "gsub"), check_text(pattern, 2, "gsub")
  if limit == nil then return gsub_by(text, pattern, replacement, huge) end
  local most = tonumber(limit)
  if not most then raise("bad argument #4 to 'gsub' (number expected, got " .. type(limit) .. ")") end
  return gsub_by(text, pattern, replacement, most)
end

-- Lists.

--- a < b; what cannot be compared is raised where the script called, not here.
local function less(a, b)
  local of_a, of_b = type(a), type(b)
  if of_a == of_b and (of_a == "number" or of_a == "string") then return a < b end
  if core.meta(a, "__lt") ~= nil or core.meta(b, "__lt") ~= nil then return a < b end
  raise(of_a == of_b and "attempt to compare two " .. of_a .. " values" or "attempt to compare " .. of_a .. " with " .. of_b)
end

--- Merge sort: stable, and n log n even when the order makes no sense. The list changes only when all is done.
local function sort(list, before)
  local n, from, to, width = #list, {}, {}, 1
  for i = 1, n do from[i] = list[i] end
  while width < n do
    for low = 1, n, 2 * width do
      local middle, high = low + width, low + 2 * width
      if middle > n + 1 then middle = n + 1 end
      if high > n + 1 then high = n + 1 end
      local i, j = low, middle
      for k = low, high - 1 do
        if i < middle and (j >= high or not before(from[j], from[i])) then
          to[k] = from[i]
          i = i + 1
        else
          to[k] = from[j]
          j = j + 1
        end
      end
    end
    from, to, width = to, from, 2 * width
  end
  for i = 1, n do list[i] = from[i] end
end

G.table = { concat = concat, insert = core.insert, remove = core.remove, maxn = raw.table.maxn }

function G.table.sort(list, before)
  if type(list) ~= "table" then raise("bad argument #1 to 'sort' (table expected, got " .. type(list) .. ")") end
  if before ~= nil and type(before) ~= "function" then
    raise("bad argument #2 to 'sort' (function expected, got " .. type(before) .. ")")
  end
  if before == nil and core.sort(list) then return end
  sort(list, before or less)
end

return G
