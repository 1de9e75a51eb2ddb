-- SPDX-License-Identifier: Apache-2.0
-- tries: hear on a second descriptor of the cell
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: killed
local ffi = require "ffi"
ffi.cdef [[
int dup2(int from, int to);
]]
if ffi.C.dup2(0, 9) >= 0 or ffi.C.dup2(3, 9) >= 0 then return "escaped" end
