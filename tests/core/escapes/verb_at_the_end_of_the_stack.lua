-- SPDX-License-Identifier: Apache-2.0
-- tries: wait for an answer where the stack has no room for it
-- known from: own
-- expect: ok {done=yes}
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
    local function ask() return call:ask { 1, { 2, { 3 } } } and 1 end
    for n = least - 40, least do pcall(down, n, ask) end
    call.data.done = "yes"
  end,
}
