-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local function deep() return 1 + deep() end
for _ = 1, 50 do xpcall(deep, deep) end
return {}
