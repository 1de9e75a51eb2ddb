-- SPDX-License-Identifier: Apache-2.0
--- Runs the specs inside the host: parley run tests/lua/run.lua [SPEC...]. Prints TAP.
local file = require "core.file"
local root = require("core.worker").root
package.path = root .. "/tests/lua/?.lua;" .. package.path
require("lib.migrate").root = root .. "/schema"

local specs = { ... }
if #specs == 0 then
  for _, name in ipairs(assert(file.list(root .. "/tests/lua"))) do
    if name:match("_spec%.lua$") then specs[#specs + 1] = root .. "/tests/lua/" .. name end
  end
  table.sort(specs)
end
_G.arg = { [0] = "busted", "--output=TAP", unpack(specs) }
require "busted.runner"({ standalone = false })
