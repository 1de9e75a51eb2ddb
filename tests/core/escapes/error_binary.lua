-- SPDX-License-Identifier: Apache-2.0
-- tries: an error text with NUL and bytes that are no UTF-8
-- known from: own
-- expect: error a b
error("a\0b\255", 0)
return {}
