-- SPDX-License-Identifier: Apache-2.0
-- tries: go on behind pcall when memory is out
-- known from: OpenComputers#211
-- expect: memory
while true do pcall(function() local t = {} while true do t[#t + 1] = { t } end end) end
return {}
