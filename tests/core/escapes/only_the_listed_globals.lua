-- SPDX-License-Identifier: Apache-2.0
-- tries: find a global that nobody meant to give
-- known from: luanti#10162
-- expect: ok
local known = { _G = 1, _VERSION = 1, assert = 1, bit = 1, error = 1, getmetatable = 1, ipairs = 1, math = 1, next = 1, os = 1, pairs = 1,
  pcall = 1, rawequal = 1, rawget = 1, rawset = 1, require = 1, select = 1, setmetatable = 1, string = 1, table = 1, tonumber = 1,
  tostring = 1, type = 1, unpack = 1, xpcall = 1 }
for name in next, _G do assert(known[name], name) end
return {}
