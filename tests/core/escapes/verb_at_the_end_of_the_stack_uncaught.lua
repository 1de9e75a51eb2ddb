-- SPDX-License-Identifier: Apache-2.0
-- tries: the same, uncaught
-- known from: own
-- expect: error stack overflow
-- states: a
local flow = require "flow"
return flow.define {
  start = "a",
  a = function(call)
    local function down(n, what) if n <= 0 then return what and what() or 1 end return 1 + down(n - 1, what) end
    local most, least = 65000, 0
    while most - least > 1 do -- the deepest that just fits
      local n = math.floor((most + least) / 2)
      if pcall(down, n) then least = n else most = n end
    end
    local function ask() local x = call:ask "x" return x and 1 end
    for n = least - 40, least do
      if not pcall(down, n, ask) then down(n, ask) end
    end
  end,
}
