-- SPDX-License-Identifier: Apache-2.0
-- tries: a result of 16 MB out of string.rep, by the method
-- known from: mesecons#380
-- expect: error longer than
local s = ("x"):rep(16 * 1024 * 1024)
return {}
