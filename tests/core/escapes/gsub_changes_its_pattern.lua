-- SPDX-License-Identifier: Apache-2.0
-- tries: a replacement function that changes the string table meanwhile
-- known from: isaac-racing-client#51
-- expect: ok yes
local out = ("abc"):gsub(".", function(c)
  string.sub, string.gsub, string.byte, table.concat, rawget = nil
  return c .. c
end)
assert(out == "aabbcc")
return "yes"
