-- SPDX-License-Identifier: Apache-2.0
-- tries: poison the string table that all versions of a bundle share
-- known from: Redis CVE-2025-46818, mesecons#380
-- expect: ok yes
string.rep = function() return "poison" end
string.find = function() return 1, 1, "poison" end
setmetatable(string, { __index = function() return function() return "poison" end end })
assert(("x"):rep(3) == "poison" and ("x"):nothing() == "poison")
return "yes" -- in this VM only: what runs afterwards must not see it
