-- SPDX-License-Identifier: Apache-2.0
--- The clock of something, part.clock, that begins anew whenever it is set: fn() after ms, and nothing of what it was set to before.
local timer = require "core.timer"

return function(part, ms, fn)
  if part.clock then part.clock:cancel() end
  part.clock = timer.after(ms, fn)
end
