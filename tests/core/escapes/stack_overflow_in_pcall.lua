-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local function f() return 1 + f() end
for _ = 1, 20 do local ok, text = pcall(f) assert(not ok and text:find("stack overflow")) end
return {}
