-- SPDX-License-Identifier: Apache-2.0
-- tries: NUL bytes in source
-- known from: own
-- expect: ok
local s = "a\0b" assert(#s == 3)
return {}
