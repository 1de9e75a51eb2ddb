-- SPDX-License-Identifier: Apache-2.0
-- tries: an error that is a table, raised uncaught just where the stack ends
-- known from: own
-- expect: error deep
local function down(n, what) if n <= 0 then return what and what() or 1 end return 1 + down(n - 1, what) end
local most, least = 65000, 0
while most - least > 1 do -- the deepest that just fits
  local n = math.floor((most + least) / 2)
  if pcall(down, n) then least = n else most = n end
end

local function raise() error({ text = "deep" }) end
for n = least, least - 30, -1 do
  local _, e = pcall(down, n, raise)
  if type(e) == "table" then least = n break end
end
down(least, raise)
