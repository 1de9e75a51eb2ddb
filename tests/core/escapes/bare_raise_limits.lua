-- SPDX-License-Identifier: Apache-2.0
-- tries: lift its own limits
-- known from: own
-- expect: error the bundle has no file ffi.lua
-- bare: lean
local ffi = require "ffi"
ffi.cdef [[
struct lim { unsigned long now, most; };
int setrlimit(int what, const struct lim *l);
]]
local l = ffi.new("struct lim", { 1024, 4096 })
if ffi.C.setrlimit(7, l) == 0 then return "escaped" end
