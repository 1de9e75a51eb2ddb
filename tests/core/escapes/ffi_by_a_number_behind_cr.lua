-- SPDX-License-Identifier: Apache-2.0
-- tries: the same, behind a comment that ends with a carriage return
-- known from: own
-- expect: refused is no number here
-- a commentlocal x = 1LL
return 1
