-- SPDX-License-Identifier: Apache-2.0
--- Public ids: opaque text outside, BIGINT inside. "ld_2x8k9q0v3mz"
--- The number is scrambled (so that neighbours do not look like neighbours and counts cannot be read off)
--- and ends with a check character that also depends on the prefix: a user's id is never taken for a lead's.
--- This is no secret: what protects a row is the tenant's schema and the role, not its id.
local bit = require "bit"
local ffi = require "ffi"

local ids = {}

local alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  -- Crockford's base 32, lower case
local value_of = {}
for i = 1, #alphabet do value_of[alphabet:byte(i)] = i - 1 end

local uint64 = ffi.typeof("uint64_t")
local BITS, DIGITS = 50, 10
local MASK = bit.lshift(uint64(1), BITS) - 1
local FACTOR = uint64(0x2545f4914f6cdULL)

-- The inverse of an odd number modulo 2^50, by Newton: each round doubles the bits that are right.
local function inverse_of(odd)
  local x = odd
  for _ = 1, 6 do x = x * (2 - odd * x) end
  return bit.band(x, MASK)
end
local INVERSE = inverse_of(FACTOR)

local function scramble(n)
  local x = bit.band(uint64(n) * FACTOR, MASK)
  x = bit.bxor(x, bit.rshift(x, 25))
  return bit.band(x * FACTOR, MASK)
end

local function unscramble(x)
  x = bit.band(x * INVERSE, MASK)
  x = bit.bxor(x, bit.rshift(x, 25))
  return bit.band(x * INVERSE, MASK)
end

local function check_value(prefix, digits)
  local sum = 7
  local text = prefix .. digits
  for i = 1, #text do sum = (sum * 33 + text:byte(i)) % 1021 end
  return sum % 32
end

--- @param prefix string  two small letters
--- @param n number  a row's id, from 1
function ids.encode(prefix, n)
  local x = scramble(n)
  local digits = {}
  for i = DIGITS, 1, -1 do
    local value = tonumber(bit.band(x, 31))
    digits[i] = alphabet:sub(value + 1, value + 1)
    x = bit.rshift(x, 5)
  end
  local text = table.concat(digits)
  local check = check_value(prefix, text)
  return prefix .. "_" .. text .. alphabet:sub(check + 1, check + 1)
end

--- The row's id, or nil when the text is not an id of that kind.
function ids.decode(prefix, text)
  if type(text) ~= "string" or #text ~= #prefix + 2 + DIGITS or text:sub(1, #prefix + 1) ~= prefix .. "_" then return nil end
  local digits = text:sub(#prefix + 2, -2)
  local x = uint64(0)
  for i = 1, DIGITS do
    local value = value_of[digits:byte(i)]
    if not value then return nil end
    x = bit.bor(bit.lshift(x, 5), uint64(value))
  end
  if value_of[text:byte(-1)] ~= check_value(prefix, digits) then return nil end
  local n = tonumber(unscramble(x))
  return n > 0 and n or nil
end

return ids
