-- SPDX-License-Identifier: Apache-2.0
-- tries: remove a file
-- known from: every host that opens os
-- expect: error attempt to call
-- bare: killed
local _, why = os.remove("/tmp/parley_not_there")
if why and why:find("No such file") then return "escaped" end
