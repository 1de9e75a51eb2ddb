-- SPDX-License-Identifier: Apache-2.0
--- Numbers as IEEE 754 single precision, little-endian: how embeddings travel in base64.
local crypto = require "core.crypto"

local float32 = {}

local abs, band, char, floor, frexp, rshift = math.abs, bit.band, string.char, math.floor, math.frexp, bit.rshift
local LIMIT = 2 ^ 128

--- Four bytes, rounded to nearest; what is too large becomes infinite, as a cast in C does.
function float32.bytes(value)
  if value == 0 then return "\0\0\0\0" end
  local sign = value < 0 and 128 or 0
  value = abs(value)
  if value >= LIMIT or value ~= value then return char(0, 0, 128, 127 + sign) end
  local mantissa, exponent = frexp(value)
  local biased = exponent + 126
  local whole
  if biased >= 1 then
    whole = floor(mantissa * 0x1000000 + 0.5)
    if whole == 0x1000000 then whole, biased = 0x800000, biased + 1 end
    if biased >= 255 then whole, biased = 0x800000, 255 end
    whole = whole - 0x800000
  else
    whole, biased = floor(mantissa * 2 ^ math.max(0, 23 + biased) + 0.5), 0  -- below the smallest normal number bits are lost
  end
  local bits = biased * 0x800000 + whole
  return char(band(bits, 255), band(rshift(bits, 8), 255), band(rshift(bits, 16), 255), rshift(bits, 24) + sign)
end

--- A vector as base64 of float32.
function float32.base64(vector)
  local bytes = {}
  for i, value in ipairs(vector) do bytes[i] = float32.bytes(value) end
  return crypto.b64(table.concat(bytes))
end

return float32
