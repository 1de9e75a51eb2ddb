-- SPDX-License-Identifier: Apache-2.0
-- tries: hide a number of the ffi in a comment that is none (for LuaJIT: a..0xee, then a comment of one line)
-- known from: own, by LuaJIT's lexer against ours
-- expect: refused is no number here
local a = ""
a = a..0xee---[[
local x = 1LL
return tostring(x)
