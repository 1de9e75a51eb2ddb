-- ends: done
-- SPDX-License-Identifier: Apache-2.0
-- With LuaJIT's own pcall this is a SIGSEGV.
for _ = 1, 200 do pcall(setmetatable({}, { __call = pcall })) end
pcall(function() setmetatable({}, { __call = pcall })() end)
pcall(function() setmetatable({}, { __call = xpcall })() end)
return {}
