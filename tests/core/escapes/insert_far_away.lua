-- SPDX-License-Identifier: Apache-2.0
-- tries: table.insert at -2^31: fourteen seconds in LuaJIT
-- known from: a fuzzer of ours
-- expect: error position out of bounds
-- 14 seconds in LuaJIT's own table.insert.
table.insert({ 1, 2, 3 }, -2 ^ 31, 1)
return {}
