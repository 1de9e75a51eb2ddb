-- SPDX-License-Identifier: Apache-2.0
-- tries: load the ffi library by writing a number (0xffULL)
-- known from: LuaJIT's lexer, which loads ffi on demand
-- expect: refused is no number here
local x = 0xffULL
return tostring(x)
