-- SPDX-License-Identifier: Apache-2.0
-- tries: pcall as the __call of its own argument, which crashes LuaJIT
-- known from: LuaJIT#1048
-- expect: ok
-- With LuaJIT's own pcall this is a SIGSEGV.
for _ = 1, 200 do pcall(setmetatable({}, { __call = pcall })) end
pcall(function() setmetatable({}, { __call = pcall })() end)
pcall(function() setmetatable({}, { __call = xpcall })() end)
return {}
