-- SPDX-License-Identifier: Apache-2.0
-- tries: pcall within pcall without end
-- known from: own
-- expect: error protected calls
local function f() local ok, e = pcall(f) if not ok then error(e, 0) end end f()
return {}
