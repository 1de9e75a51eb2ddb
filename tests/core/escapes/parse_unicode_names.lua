-- SPDX-License-Identifier: Apache-2.0
-- tries: names of bytes above 127 that look alike
-- known from: trojan source
-- expect: ok 2
local а, a = 1, 2
return a
