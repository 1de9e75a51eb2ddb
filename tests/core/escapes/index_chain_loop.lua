-- SPDX-License-Identifier: Apache-2.0
-- tries: __index and __newindex in a circle
-- known from: own
-- expect: ok
local a, b = {}, {}
setmetatable(a, { __index = b, __newindex = b }) setmetatable(b, { __index = a, __newindex = a })
assert(not pcall(function() return a.x end)) assert(not pcall(function() a.x = 1 end))
return {}
