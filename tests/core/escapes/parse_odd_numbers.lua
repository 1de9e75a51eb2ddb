-- SPDX-License-Identifier: Apache-2.0
-- tries: numbers that are none
-- known from: own
-- expect: refused 
return 0x, 1e, 1e+, 0x1p, 1..2, 1.2.3
