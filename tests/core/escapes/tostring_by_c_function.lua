-- SPDX-License-Identifier: Apache-2.0
-- tries: __tostring that is a function in C
-- known from: own
-- expect: error __tostring must be
tostring(setmetatable({}, { __tostring = rawget }))
return {}
