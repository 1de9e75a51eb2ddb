-- SPDX-License-Identifier: Apache-2.0
-- tries: catch the end again and again, in handlers of handlers
-- known from: OpenComputers#211
-- expect: cpu
local function again() return xpcall(again, again) end
while true do pcall(again) end
