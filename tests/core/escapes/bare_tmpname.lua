-- SPDX-License-Identifier: Apache-2.0
-- tries: make a temporary file
-- known from: lua_tmpnam in Lua 5.1
-- expect: error attempt to call
-- bare: killed
local name = os.tmpname()
os.remove(name)
return "escaped"
