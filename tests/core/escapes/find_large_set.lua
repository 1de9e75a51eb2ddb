-- SPDX-License-Identifier: Apache-2.0
-- tries: a set of 100,000 characters against 100,000
-- known from: own
-- expect: ok
pcall(string.find, ("a"):rep(100000), "[" .. ("b"):rep(100000) .. "]")
return {}
