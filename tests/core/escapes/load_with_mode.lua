-- SPDX-License-Identifier: Apache-2.0
-- tries: load with the mode b and an environment
-- known from: luanti, OpenResty
-- expect: ok yes
assert(not pcall(function() return load("\27LJ", "x", "b", {}) end))
assert(not pcall(function() return load(function() return nil end) end))
return "yes"
