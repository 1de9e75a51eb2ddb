-- SPDX-License-Identifier: Apache-2.0
-- tries: a result of a gigabyte out of one table.concat
-- known from: Garry's Mod (StarfallEx#1907)
-- expect: error longer than
-- 1980 MB in LuaJIT's own table.concat.
local t, s = {}, ("x"):rep(1000000) for i = 1, 1000 do t[i] = s end table.concat(t)
return {}
