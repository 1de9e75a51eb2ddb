-- SPDX-License-Identifier: Apache-2.0
-- tries: escapes that are none
-- known from: own
-- expect: refused 
return "\999" .. "\xzz" .. "\u{110000}"
