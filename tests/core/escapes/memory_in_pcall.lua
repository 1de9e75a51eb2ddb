-- ends: memory
-- SPDX-License-Identifier: Apache-2.0
while true do pcall(function() local t = {} while true do t[#t + 1] = { t } end end) end
return {}
