-- SPDX-License-Identifier: Apache-2.0
--- Public ids: opaque text outside, BIGINT inside. "ld_2x8k9q0v3mz"
--- The number is scrambled (so that neighbours do not look like neighbours and counts cannot be read off)
--- and ends with a check character that also depends on the prefix: a user's id is never taken for a lead's.
--- This is no secret: what protects a row is the tenant's schema and the role, not its id.
--- Nearly each request reads or writes one, so the digits are written out: loops with a call for each took a third of the
--- instructions of a read.
local bit = require "bit"

local ids = {}

local bxor, byte, char = bit.bxor, string.byte, string.char

local alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  -- Crockford's base 32, lower case
local value_of, code_of = {}, {}
for i = 1, #alphabet do value_of[alphabet:byte(i)], code_of[i - 1] = i - 1, alphabet:byte(i) end

local DIGITS = 10
local HALF = 2 ^ 25  -- a number is two halves of 25 bits

-- One step of a Feistel network; four of them scramble, and the same in the other order give the number back. Products stay
-- below 2^52, so they are exact (64-bit cdata would say this shorter, but LuaJIT 2.1.0-beta3 compiles such code wrongly).
local function mix(half, round, factor)
  local n = (half + round) * factor / 65536
  return (n - n % 1) % HALF
end

local function scramble(n)
  local right = n % HALF
  local left = (n - right) / HALF
  left, right = right, bxor(left, mix(right, 1, 0x2545f49))
  left, right = right, bxor(left, mix(right, 2, 0x14f6cdd))
  left, right = right, bxor(left, mix(right, 3, 0x39b4c5f))
  return right, bxor(left, mix(right, 4, 0x1d6a3b1))
end

local function unscramble(left, right)
  left, right = bxor(right, mix(left, 4, 0x1d6a3b1)), left
  left, right = bxor(right, mix(left, 3, 0x39b4c5f)), left
  left, right = bxor(right, mix(left, 2, 0x14f6cdd)), left
  left, right = bxor(right, mix(left, 1, 0x2545f49)), left
  return left * HALF + right
end

local prefix_sums = {}

local function sum_of_prefix(prefix)
  local sum = 0
  for i = 1, #prefix do sum = sum * 7 + prefix:byte(i) end
  prefix_sums[prefix] = sum
  return sum
end

-- Odd weights: modulo 32 no single wrong character can go unseen.
local function check_value(prefix, a, b, c, d, e, f, g, h, i, j)
  return ((prefix_sums[prefix] or sum_of_prefix(prefix)) + a * 3 + b * 5 + c * 7 + d * 9 + e * 11 + f * 13 + g * 15 + h * 17 + i * 19 + j * 21) % 32
end

-- The five digits of a half.
local function digits(half)
  local e = half % 32
  half = (half - e) / 32
  local d = half % 32
  half = (half - d) / 32
  local c = half % 32
  half = (half - c) / 32
  local b = half % 32
  return (half - b) / 32, b, c, d, e
end

--- @param prefix string  two small letters
--- @param n number  a row's id, from 1
function ids.encode(prefix, n)
  assert(n >= 1 and n < HALF * HALF and n % 1 == 0, "a row's id")
  local left, right = scramble(n)
  local a, b, c, d, e = digits(left)
  local f, g, h, i, j = digits(right)
  return prefix .. "_" .. char(code_of[a], code_of[b], code_of[c], code_of[d], code_of[e], code_of[f], code_of[g], code_of[h], code_of[i], code_of[j],
    code_of[check_value(prefix, a, b, c, d, e, f, g, h, i, j)])
end

--- The row's id, or nil when the text is not an id of that kind.
function ids.decode(prefix, text)
  if type(text) ~= "string" or #text ~= #prefix + 2 + DIGITS or text:sub(1, #prefix + 1) ~= prefix .. "_" then return nil end
  local a, b, c, d, e, f, g, h, i, j, check = byte(text, #prefix + 2, -1)
  a, b, c, d, e = value_of[a], value_of[b], value_of[c], value_of[d], value_of[e]
  f, g, h, i, j = value_of[f], value_of[g], value_of[h], value_of[i], value_of[j]
  if not (a and b and c and d and e and f and g and h and i and j) then return nil end
  if value_of[check] ~= check_value(prefix, a, b, c, d, e, f, g, h, i, j) then return nil end
  local n = unscramble((((a * 32 + b) * 32 + c) * 32 + d) * 32 + e, (((f * 32 + g) * 32 + h) * 32 + i) * 32 + j)
  return n > 0 and n or nil
end

return ids
