-- SPDX-License-Identifier: Apache-2.0
-- tries: load the ffi library by writing a number (2LLU)
-- known from: lint_fuzz, which found that LuaJIT takes LLU as it takes ULL
-- expect: refused is no number here
local x = 2LLU
return tostring(x)
