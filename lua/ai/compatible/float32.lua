-- SPDX-License-Identifier: Apache-2.0
--- Numbers as IEEE 754 single precision, little-endian: how embeddings travel in base64.
local crypto = require "core.crypto"

local float32 = {}

--- Four bytes, rounded to nearest; what is too large becomes infinite, as a cast in C does.
function float32.bytes(value)
  if value == 0 then return "\0\0\0\0" end
  local sign = value < 0 and 128 or 0
  local mantissa, exponent = math.frexp(math.abs(value))
  local biased = exponent + 126
  local shift = biased < 1 and math.max(0, 23 + biased) or 24  -- below the smallest normal number bits are lost
  local whole = math.floor(mantissa * 2 ^ shift + 0.5)
  if biased < 1 then
    biased = 0
  else
    if whole == 2 ^ 24 then whole, biased = 2 ^ 23, biased + 1 end
    if biased >= 255 then whole, biased = 2 ^ 23, 255 end
    whole = whole - 2 ^ 23
  end
  local bits = biased * 2 ^ 23 + whole
  return string.char(bits % 256, math.floor(bits / 256) % 256, math.floor(bits / 65536) % 256, math.floor(bits / 2 ^ 24) + sign)
end

--- A vector as base64 of float32.
function float32.base64(vector)
  local bytes = {}
  for i, value in ipairs(vector) do bytes[i] = float32.bytes(value) end
  return crypto.b64(table.concat(bytes))
end

return float32
