-- SPDX-License-Identifier: Apache-2.0
--- Public ids: opaque text outside, BIGINT inside. "ld_2x8k9q0v3mz"
--- The number is scrambled (so that neighbours do not look like neighbours and counts cannot be read off)
--- and ends with a check character that also depends on the prefix: a user's id is never taken for a lead's.
--- This is no secret: what protects a row is the tenant's schema and the role, not its id.
local bit = require "bit"

local ids = {}

local alphabet = "0123456789abcdefghjkmnpqrstvwxyz"  -- Crockford's base 32, lower case
local value_of = {}
for i = 1, #alphabet do value_of[alphabet:byte(i)] = i - 1 end

local DIGITS = 10
local HALF = 2 ^ 25  -- a number is two halves of 25 bits

-- Four rounds of a Feistel network: turned round, the same steps give the number back. Products stay below 2^52, so they
-- are exact (64-bit cdata would say this shorter, but LuaJIT 2.1.0-beta3 compiles such code wrongly).
local factors = { 0x2545f49, 0x14f6cdd, 0x39b4c5f, 0x1d6a3b1 }

local function mix(half, round)
  return math.floor((half + round) * factors[round] / 65536) % HALF
end

local function scramble(n)
  local left, right = math.floor(n / HALF), n % HALF
  for round = 1, 4 do left, right = right, bit.bxor(left, mix(right, round)) end
  return left, right
end

local function unscramble(left, right)
  for round = 4, 1, -1 do left, right = bit.bxor(right, mix(left, round)), left end
  return left * HALF + right
end

-- Odd weights: modulo 32 no single wrong character can go unseen.
local function check_value(prefix, digits)
  local sum = 0
  for i = 1, #prefix do sum = sum * 7 + prefix:byte(i) end
  for i = 1, #digits do sum = sum + (value_of[digits:byte(i)] or 0) * (2 * i + 1) end
  return sum % 32
end

--- @param prefix string  two small letters
--- @param n number  a row's id, from 1
function ids.encode(prefix, n)
  assert(n >= 1 and n < HALF * HALF and n % 1 == 0, "a row's id")
  local left, right = scramble(n)
  local digits = {}
  for i = 5, 1, -1 do
    digits[i] = alphabet:sub(left % 32 + 1, left % 32 + 1)
    digits[i + 5] = alphabet:sub(right % 32 + 1, right % 32 + 1)
    left, right = math.floor(left / 32), math.floor(right / 32)
  end
  local text = table.concat(digits)
  local check = check_value(prefix, text)
  return prefix .. "_" .. text .. alphabet:sub(check + 1, check + 1)
end

--- The row's id, or nil when the text is not an id of that kind.
function ids.decode(prefix, text)
  if type(text) ~= "string" or #text ~= #prefix + 2 + DIGITS or text:sub(1, #prefix + 1) ~= prefix .. "_" then return nil end
  local digits = text:sub(#prefix + 2, -2)
  local left, right = 0, 0
  for i = 1, 5 do
    local l, r = value_of[digits:byte(i)], value_of[digits:byte(i + 5)]
    if not l or not r then return nil end
    left, right = left * 32 + l, right * 32 + r
  end
  if value_of[text:byte(-1)] ~= check_value(prefix, digits) then return nil end
  local n = unscramble(left, right)
  return n > 0 and n or nil
end

return ids
