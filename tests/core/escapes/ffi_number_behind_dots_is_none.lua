-- SPDX-License-Identifier: Apache-2.0
-- tries: names behind a number behind dots, which are no part of it
-- known from: own, by LuaJIT's lexer against ours
-- expect: ok x23y25
local total, mi = 9, 5
return "x"..0xe+total.."y"..0x1e-mi
