-- SPDX-License-Identifier: Apache-2.0
-- tries: load the ffi library by writing a number (1e+2i)
-- known from: LuaJIT's lexer, which loads ffi on demand
-- expect: refused is no number here
local x = 1e+2i
return tostring(x)
