-- SPDX-License-Identifier: Apache-2.0
-- tries: reach the registry
-- known from: every host that opens debug
-- expect: error attempt to index
for k, v in pairs(debug.getregistry()) do if type(v) == "table" then debug.setmetatable(v, nil) end end
debug.setmetatable(0, { __index = function() return 1 end })
debug.sethook()
