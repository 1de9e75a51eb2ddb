-- SPDX-License-Identifier: Apache-2.0
-- tries: write a file
-- known from: every host that opens io
-- expect: error attempt to index
-- bare: lean
local f = io.open("/tmp/parley_escaped", "w")
if f then f:write("x") f:close() return "escaped" end
