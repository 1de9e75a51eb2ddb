-- ends: memory
-- SPDX-License-Identifier: Apache-2.0
local t = {} while true do t[#t + 1] = function() return t end end
return {}
