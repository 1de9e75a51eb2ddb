-- SPDX-License-Identifier: Apache-2.0
--- A bundle's own tests: busted's words, simulate{} and hook(). Loaded with the first spec of a VM, which a live cell never runs.
---
--- core    as in flow.lua, and here() -> file, line of the innermost frame of the tenant
--- answer  what a verb gave back, as a state would see it
--- load    a file of the bundle, run once
--- Returns the globals of files in spec/, and what runs one of them.
local core, answer, load = ...
local type, pairs, ipairs, error, pcall, setmetatable, select = type, pairs, ipairs, error, pcall, setmetatable, select
local tostring, match, find, sub, gsub, concat, abs = tostring, string.match, string.find, string.sub, string.gsub, table.concat, math.abs

local SHOWN_MOST, DEPTH_MOST, ITEMS_MOST, TEXT_MOST = 600, 6, 40, 4000

-- Values as text -----------------------------------------------------------------------------------------------------------

local function shown(value, depth)
  depth = depth or 0
  if type(value) == "string" then
    local text = #value > SHOWN_MOST and sub(value, 1, SHOWN_MOST) .. "..." or value
    return '"' .. gsub(gsub(text, '[\\"]', "\\%0"), "%c", function(c) return c == "\n" and "\\n" or "?" end) .. '"'
  elseif type(value) ~= "table" then
    return tostring(value)
  elseif depth >= DEPTH_MOST then
    return "{ ... }"
  end
  local parts, n = {}, 0
  for key, item in pairs(value) do
    n = n + 1
    if n > ITEMS_MOST then
      parts[n] = "..."
      break
    end
    local text = shown(item, depth + 1)
    if type(key) == "string" and match(key, "^[%a_][%w_]*$") then text = key .. " = " .. text
    elseif key ~= n then text = "[" .. shown(key, depth + 1) .. "] = " .. text end
    parts[n] = text
  end
  if n == 0 then return "{}" end
  local text = "{ " .. concat(parts, ", ") .. " }"
  return #text > SHOWN_MOST and sub(text, 1, SHOWN_MOST) .. " ..." or text
end

-- Where two values differ first: path, expected, actual. Nothing when they are the same.
local function difference(expected, actual, path, seen)
  if expected == actual then return nil end
  if type(expected) ~= "table" or type(actual) ~= "table" then return path, expected, actual end
  if seen[expected] == actual then return nil end
  seen[expected] = actual
  local function step(key)
    if type(key) == "string" and match(key, "^[%a_][%w_]*$") then return path .. "." .. key end
    return path .. "[" .. shown(key) .. "]"
  end
  for key, item in pairs(expected) do
    local where, a, b = difference(item, actual[key], step(key), seen)
    if where then return where, a, b end
  end
  for key, item in pairs(actual) do
    if expected[key] == nil then return step(key), nil, item end
  end
end

-- assert ---------------------------------------------------------------------------------------------------------------------

local function fail(text)
  local file, line = core.here()
  error((file and file .. ":" .. line .. ": " or "") .. sub(text, 1, TEXT_MOST), 0)
end

-- Each: whether it holds, what to say when it does not, and what to say when it does and should not.
local checks = {}

function checks.equal(expected, actual)
  return expected == actual, "expected " .. shown(expected) .. ", got " .. shown(actual)
    .. (type(expected) == "table" and type(actual) == "table" and " (another table; assert.same compares what is in them)" or ""),
    "expected anything but " .. shown(expected)
end

function checks.same(expected, actual)
  local where, a, b = difference(expected, actual, "", {})
  local text = where and ("expected " .. shown(expected) .. "\n     got " .. shown(actual))
  if where and where ~= "" then text = text .. "\n      at " .. where .. ": expected " .. shown(a) .. ", got " .. shown(b) end
  return not where, text, "expected anything but " .. shown(expected)
end

checks["true"] = function(value) return value == true, "expected true, got " .. shown(value), "expected anything but true" end
checks["false"] = function(value) return value == false, "expected false, got " .. shown(value), "expected anything but false" end
checks["nil"] = function(value) return value == nil, "expected nil, got " .. shown(value), "expected anything but nil" end
function checks.truthy(value) return not not value, "expected a true value, got " .. shown(value), "expected nil or false, got " .. shown(value) end
function checks.falsy(value) return not value, "expected nil or false, got " .. shown(value), "expected a true value, got " .. shown(value) end

for _, kind in ipairs { "table", "string", "number", "boolean", "function" } do
  checks[kind] = function(value)
    return type(value) == kind, "expected a " .. kind .. ", got " .. shown(value), "expected anything but a " .. kind .. ", got " .. shown(value)
  end
end

function checks.near(expected, actual, tolerance)
  local close = type(actual) == "number" and abs(expected - actual) <= (tolerance or 0)
  return close, "expected " .. shown(expected) .. " within " .. shown(tolerance) .. ", got " .. shown(actual),
    "expected nothing within " .. shown(tolerance) .. " of " .. shown(expected) .. ", got " .. shown(actual)
end

function checks.matches(pattern, text)
  local found = type(text) == "string" and find(text, pattern) ~= nil
  return found, "expected a match of " .. shown(pattern) .. ", got " .. shown(text), "expected no match of " .. shown(pattern) .. ", got " .. shown(text)
end

-- An error's own text, without its place.
local function bare(err)
  return type(err) == "string" and (match(err, "^[%w_%./%-]+:%d+: (.*)$") or err) or err
end

function checks.error(fn, expected)
  if type(fn) ~= "function" then fail("assert.has_error takes a function that is to fail") end
  local ok, err = pcall(fn)
  if ok then return false, "expected an error, but there was none" end
  local text = "expected the error " .. shown(expected) .. ", got " .. shown(err)
  if expected == nil then return true, text, "expected no error, got " .. shown(err) end
  return difference(expected, err, "", {}) == nil or difference(expected, bare(err), "", {}) == nil, text, "expected anything but the error " .. shown(expected)
end

function checks.error_matches(fn, pattern)
  local ok, err = pcall(fn)
  if ok then return false, "expected an error, but there was none" end
  return find(tostring(err), pattern) ~= nil, "expected an error that matches " .. shown(pattern) .. ", got " .. shown(err),
    "expected no error that matches " .. shown(pattern) .. ", got " .. shown(err)
end

local also = { equals = "equal", errors = "error", match = "matches", is_true = "true" }
local arguments = { equal = 2, same = 2, near = 3, matches = 2, error = 2, error_matches = 2 }
local glue = { is = 1, are = 1, has = 1, have = 1, was = 1, were = 1, does = 1, a = 1, an = 1, ["not"] = -1, no = -1 }

-- assert.is_not_nil, assert.are.same, assert.has_no.errors: words that only please the ear, words that turn it round, and a check.
local words
local function lookup(name, holds)
  local word = name
  while true do
    if glue[word] then return words(holds == (glue[word] == 1)) end
    local head, rest = match(word, "^(%l+)_(.+)$")
    if not (head and glue[head]) then break end
    holds, word = holds == (glue[head] == 1), rest
  end
  word = also[word] or word
  local check = checks[word]
  if not check then core.raise("assert." .. name .. " is not known; see same, equal, is_true, is_nil, truthy, matches, has_error") end
  return function(...)
    local ok, text, otherwise = check(...)
    if ok == holds then return ... end
    local note = select((arguments[word] or 1) + 1, ...)
    fail((note ~= nil and tostring(note) .. ": " or "") .. (holds and text or otherwise))
  end
end

function words(holds)
  return setmetatable({}, {
    __index = function(_, name) return lookup(tostring(name), holds) end,
    __call = function(_, value, text, ...)
      if value then return value, text, ... end
      if type(text) == "table" then error(text, 0) end
      fail(text == nil and "assertion failed!" or tostring(text))
    end,
    __metatable = false,
  })
end

-- describe and it --------------------------------------------------------------------------------------------------------------

local collected = {}  -- path -> its tests
local tests, block    -- of the file that is being loaded

local function inside(word)
  if not tests then core.raise(word .. " stands in a file of spec/, not in a test") end
end

local function describe(name, fn)
  inside("describe")
  if type(fn) ~= "function" then core.raise("describe takes a name and a function") end
  local outer = block
  block = { name = outer.name and outer.name .. " " .. tostring(name) or tostring(name), outer = outer, before = {}, after = {} }
  fn()
  block = outer
end

local function it(name, fn)
  inside("it")
  if type(fn) ~= "function" then core.raise("it takes a name and a function") end
  local file, line = core.here()
  tests[#tests + 1] = { name = block.name and block.name .. " " .. tostring(name) or tostring(name), fn = fn, block = block, file = file, line = line }
end

local function before_each(fn)
  inside("before_each")
  block.before[#block.before + 1] = fn
end

local function after_each(fn)
  inside("after_each")
  block.after[#block.after + 1] = fn
end

local function prepare(of)
  if of.outer then prepare(of.outer) end
  for _, fn in ipairs(of.before) do fn() end
end

-- What after_each asks for is done also when the test has failed; the first error counts.
local function clean(of)
  local failure
  while of do
    for _, fn in ipairs(of.after) do
      local ok, err = pcall(fn)
      if not ok then failure = failure or { err } end
    end
    of = of.outer
  end
  return failure
end

local function attempt(test)
  core.state(test.fn)
  local ok, err = pcall(function()
    prepare(test.block)
    test.fn()
  end)
  local failure = clean(test.block)
  if ok and failure then ok, err = false, failure[1] end
  if ok then return true end
  if type(err) == "table" and type(err.text) == "string" then err = err.text end
  if type(err) ~= "string" then err = "the error is " .. shown(err) end
  local file, line, text = match(err, "^([%w_%./%-]+):(%d+): (.*)$")
  return false, sub(text or err, 1, TEXT_MOST), file or test.file, line and line + 0 or test.line
end

local function simulate(caller)
  local result, err = answer("simulate", core.verb("simulate", caller))
  if not result then core.raise("simulate: " .. err.text) end
  return result
end

--- What a hook of the bundle gives for an input; nil, { kind, text, file, line } when it fails.
local function hook(name, input)
  return answer("hook", core.verb("hook", name, input))
end

local globals = setmetatable({
  describe = describe, it = it, before_each = before_each, after_each = after_each, simulate = simulate, hook = hook, assert = words(true),
}, { __index = _G, __metatable = false })

--- Runs the tests of a file, from number first on, whose names hold filter. Each is told as it begins and as it ends.
local function run(path, first, filter)
  if not collected[path] then
    tests, block = {}, { before = {}, after = {} }
    local mine = tests
    local ok, err = pcall(load, path)
    tests = nil
    if not ok then error(err, 0) end
    collected[path] = mine
  end
  for i, test in ipairs(collected[path]) do
    if i >= first and (not filter or find(test.name, filter, 1, true)) then
      answer("testing", core.verb("testing", i, test.name, test.file, test.line))
      answer("tested", core.verb("tested", i, attempt(test)))
    end
  end
end

return globals, run
