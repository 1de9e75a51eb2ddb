-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
setmetatable({}, { __call = function() while true do end end })()
return {}
