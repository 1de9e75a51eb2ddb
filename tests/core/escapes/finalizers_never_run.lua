-- ends: done
-- SPDX-License-Identifier: Apache-2.0
setmetatable({}, { __gc = function() while true do end end, __mode = "kv" }) for i = 1, 1e5 do local _ = {} end
return {}
