-- SPDX-License-Identifier: Apache-2.0
-- tries: rename a file
-- known from: every host that opens os
-- expect: error attempt to call
-- bare: killed
local _, why = os.rename("/tmp/parley_not_there", "/tmp/parley_escaped")
if why and why:find("No such file") then return "escaped" end
