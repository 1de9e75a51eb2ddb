-- SPDX-License-Identifier: Apache-2.0
-- tries: require a file of the host
-- known from: luanti#1606
-- expect: error the bundle has no file
-- bare: lean
if package then package.path = "/etc/?" else require "etc.passwd" end
local _, why = pcall(require, "passwd")
return why:find("unexpected symbol") and "escaped" or why:find("near") and "escaped"
