-- SPDX-License-Identifier: Apache-2.0
-- Random calls of the built-ins that were replaced: run by LuaJIT's own and by ours, and compared (alike_test.c). Returns
-- function(kind, seed, count) -> a line for each call: what was called, and what came of it, errors too.
--
-- Where we differ on purpose is not asked for: NUL in a pattern (LuaJIT ends it there), % at the end of a replacement (LuaJIT puts
-- a NUL there), table.insert beyond the end or before 1 (we raise), numbers of 2^31 and more (LuaJIT takes them for negative), the
-- order of what a comparison calls equal, results and lists beyond their caps, and errors on arguments, of which only the argument's
-- number is compared.
local state
local function below(n) -- the same everywhere: exact in doubles
  state = state * 16807 % 2147483647
  return state % n
end
local function one_of(list) return list[below(#list) + 1] end
local function some(list, most)
  local parts = {}
  for i = 1, below(most + 1) do parts[i] = one_of(list) end
  return table.concat(parts)
end

local letters = { "a", "b", "a", "b", "c", "A", "1", "2", " ", "(", ")", "%", ".", "-", "\0", "\255", "\n", "[", "]", "^" }
local noise = { "a", "b", "%", "(", ")", "[", "]", "^", "$", "*", "+", "-", "?", ".", "%1", "%f", "%b", "1", "\255", "%z", "%g", " " }
local singles = { "a", "b", "c", ".", "%a", "%d", "%s", "%w", "%p", "%A", "%S", "%z", "%Z", "%x", "%u", "%l", "%c", "%g", "%(", "%%", "%.", "[ab]", "[^a]", "[a-c]",
  "[%a-]", "[]]", "[^]]", "[a-]", "[%]b]", "[%z\1-a]", "[c-a]", "[%w%-]", "]", "-", "\255", "$" }
local repeats = { "", "", "", "*", "+", "-", "?" }
local others = { "()", "%1", "%2", "%b()", "%bab", "%baa", "%f[%a]", "%f[^%a]", "%f[%z]", "(", ")" }

local function group(depth)
  local parts = {}
  for i = 1, below(4) do
    local what = below(10)
    if what == 0 then
      parts[i] = one_of(others)
    elseif what <= 2 and depth < 3 then
      parts[i] = "(" .. group(depth + 1) .. ")"
    else
      parts[i] = one_of(singles) .. one_of(repeats)
    end
  end
  return table.concat(parts)
end

local function pattern()
  if below(4) == 0 then return some(noise, 8) end
  return (below(6) == 0 and "^" or "") .. group(0) .. (below(6) == 0 and "$" or "")
end

local function position()
  local what = below(8)
  if what == 0 then return nil end
  if what == 1 then return (below(61) - 30) / 4 end
  if what == 2 then return tostring(below(9) - 4) end
  return below(25) - 12
end

local function shown(value)
  local kind = type(value)
  if kind == "string" then return (value:gsub("[%c\128-\255\\]", function(c) return ("\\%03d"):format(c:byte()) end)) end
  if kind == "table" then
    local parts = {}
    for i = 1, 12 do parts[i] = shown(value[i]) end
    return "{" .. table.concat(parts, ",") .. "}"
  end
  return tostring(value)
end

local function line(name, arguments, n, ok, ...)
  local parts = { name }
  for i = 1, n do parts[#parts + 1] = type(arguments[i]) == "function" and "fn" or shown(arguments[i]) end
  parts[#parts + 1] = ok and "->" or "raises"
  for i = 1, select("#", ...) do
    local value = select(i, ...)
    if not ok then value = tostring(value):gsub("^alike%.lua:%d+: ", ""):gsub("bad argument #(%d) to '[%w?]+' %(.*", "bad argument #%1") end
    parts[#parts + 1] = ok and type(value):sub(1, 1) .. ":" .. shown(value) or shown(value)
  end
  return table.concat(parts, " | ")
end

local kinds = {}

function kinds.find() return "find", string.find, 4, { some(letters, 14), pattern(), position(), below(6) == 0 or nil } end

function kinds.match() return "match", string.match, 3, { some(letters, 14), pattern(), position() } end

local function all_matches(text, p)
  local found = {}
  for a, b, c in text:gmatch(p) do
    found[#found + 1] = tostring(a) .. "/" .. tostring(b) .. "/" .. tostring(c)
    if #found > 40 then break end
  end
  return table.concat(found, ";")
end
function kinds.gmatch() return "gmatch", all_matches, 2, { some(letters, 14), pattern() } end

local replacements = { "", "x", "<%0>", "%1", "%2%1", "%%", "%a", "a%1b" }
function kinds.gsub()
  local what = below(6)
  local repl
  if what <= 2 then
    repl = one_of(replacements)
  elseif what == 3 then
    repl = below(100)
  elseif what == 4 then
    repl = { a = "A", b = false, ab = 7, [1] = "one", [2] = true, c = {}, [""] = "-" }
    if below(2) == 0 then repl[2], repl.c = nil, nil end
  else
    local give = one_of{ "same", "none", "number", "no", "table" }
    repl = function(...)
      if give == "same" then return select("#", ...) .. tostring((...)) .. tostring((select(2, ...))) end
      if give == "none" then return end
      if give == "number" then return 1.5 end
      if give == "no" then return false end
      return {}
    end
  end
  local limit
  if below(3) == 0 then limit = one_of{ 0, 1, 2, 3, -1, 1.5, 2.9, "2", 100 } end
  return "gsub", string.gsub, 4, { some(letters, 14), pattern(), repl, limit }
end

local numbers = { 0, 1, -1, 0.5, -2.25, 1e15, 1e100, -1e-5, 255, 65, 2147483647, 1 / 0, -1 / 0 }
local whole = { 0, 1, -1, 7, 255, 65, -4096, 2147483647 }
local function directive()
  local kind = one_of{ "d", "i", "u", "c", "x", "X", "o", "e", "E", "f", "g", "G", "a", "q", "s", "s", "s", "%" }
  if kind == "%" then return "%%" end
  local flags = kind == "q" and "" or some({ "-", "+", " ", "0", "#", "", "" }, 2) .. one_of{ "", "", "3", "12", "99", "100" } .. one_of{ "", "", ".2", ".0", ".", ".20" }
  local value
  if kind == "s" or kind == "q" then
    value = one_of{ some(letters, 8), "a\rb\nc\0d\"e\\", "", some(letters, 3) }
    if kind == "s" and below(4) == 0 then value = one_of{ true, false, 1.5, 12 } end
  elseif kind == "c" then
    value = below(256)
  elseif kind:find("[diuxXo]") then
    value = one_of(whole)
  else
    value = one_of(numbers)
  end
  return "%" .. flags .. kind, value
end
function kinds.format()
  local forms, values = {}, {}
  for _ = 1, below(4) do
    local form, value = directive()
    forms[#forms + 1] = form .. some(letters, 2):gsub("%%", "")
    if value ~= nil then values[#values + 1] = value end
  end
  if below(12) == 0 then values[#values] = nil end
  local arguments = { table.concat(forms), unpack(values) }
  return "format", string.format, #arguments, arguments
end

function kinds.rep()
  return "rep", string.rep, 3, { some(letters, 3), one_of{ 0, 1, 2, 3, -1, 2.7, 0.5, "2", 10, 0 / 0 }, one_of{ "", ",", "ab", "\0" } }
end

local function list()
  local items = {}
  for i = 1, below(7) do items[i] = below(3) == 0 and below(100) or some(letters, 3) end
  return items
end
function kinds.concat()
  local items = list()
  if below(6) == 0 then items[below(7) + 1] = one_of{ true, {}, false } end
  return "concat", table.concat, 4, { items, one_of{ "", ", ", 7 }, one_of{ 1, 2, 0, -1, 3.9, "2" }, one_of{ #items, #items, 1, 0, 5, 2.5 } }
end

local function inserted(items, ...)
  table.insert(items, ...)
  return items, #items
end
function kinds.insert()
  local items = list()
  if below(3) == 0 then return "insert", inserted, 2, { items, "new" } end
  return "insert", inserted, 3, { items, 1 + below(#items + 1) + one_of{ 0, 0, below(4) / 4 }, "new" }
end

-- Where LuaJIT keeps whole numbers apart (not on x86-64) it takes 1 for 1.5; ours is the same on every machine.
local counts_on = { 1, 2, 3 }
table.remove(counts_on, 1.5)
local fractions = counts_on[2] == 2 and { 1.5, 2.25, 3.5, 3.999, 0.5, 6.5, "2.5" } or { 1 }

local function removed(items, ...)
  local n, value = select("#", table.remove(items, ...)), nil
  return n, value, items
end
function kinds.remove()
  return "remove", removed, 2, { list(), one_of{ 1, 2, 3, 7, 0, -1, "2", one_of(fractions) } }
end
local function last_removed(items) return table.remove(items), items end
function kinds.pop() return "pop", last_removed, 1, { list() } end

function kinds.unpack()
  return "unpack", unpack, 3, { list(), one_of{ 1, 2, 0, -2, 3.5, "2" }, one_of{ 0, 3, 7, 1, -5, 2.5 } }
end

local function sorted(items, before)
  table.sort(items, before)
  return items
end
function kinds.sort()
  local items, what = {}, below(4)
  for i = 1, below(12) do items[i] = what == 0 and some(letters, 4) or (below(400) - 200) / 4 end
  if what == 3 then
    local seen, once = {}, {}
    for _, item in ipairs(items) do
      if not seen[item] then once[#once + 1] = item end
      seen[item] = true
    end
    return "sort down", sorted, 2, { once, function(a, b) return a > b end }
  end
  return "sort", sorted, 1, { items }
end

local texts = { "0x10", "1e3", " 12 ", "z", "", "1.5", "-7", "0x", "1 2" }
function kinds.tostring()
  local object = setmetatable({}, { __tostring = function() return "me" end })
  return "tostring", tostring, 1, { one_of{ 1.5, -0.25, 1e300, 2 ^ 53, true, false, "x", object } }
end
function kinds.tonumber() return "tonumber", tonumber, 2, { one_of(texts), one_of{ 10, 16, 36, 2 } } end

local function call(name, fn, n, arguments) return line(name, arguments, n, pcall(fn, unpack(arguments, 1, n))) end

return function(kind, seed, count)
  local lines = {}
  state = seed
  for i = 1, count do lines[i] = call(kinds[kind]()) end
  return table.concat(lines, "\n")
end
