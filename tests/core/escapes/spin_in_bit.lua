-- SPDX-License-Identifier: Apache-2.0
-- tries: spin in bit operations with odd numbers
-- known from: Redis CVE-2024-31449
-- expect: cpu
while true do
  for _, n in ipairs { 0, -1, 2 ^ 31, -2 ^ 31, 2 ^ 53, 1e300, 1 / 0, 0 / 0 } do
    bit.tohex(n, -2 ^ 31) bit.tohex(n, n) bit.lshift(n, n) bit.rol(n, n) bit.bswap(n) bit.bor(n, n, n)
  end
end
