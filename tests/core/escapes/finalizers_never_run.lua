-- SPDX-License-Identifier: Apache-2.0
-- tries: __gc of a table, which would run with hooks off
-- known from: trAInsported#121
-- expect: ok
setmetatable({}, { __gc = function() while true do end end, __mode = "kv" }) for i = 1, 1e5 do local _ = {} end
return {}
