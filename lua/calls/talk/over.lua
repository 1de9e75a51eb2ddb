-- SPDX-License-Identifier: Apache-2.0
--- A conversation is over, whoever has led it: what was being said is written, everything is let go of, and the world is told.
---
--- A conversation has { call, world, is_over, write_open(self): writes what was being said by both, let_go(self, keep_sound), sum_up(self, why) of
---   calls.talk.summary }
local log = require "core.log"

local over = {}

--- Ends it without telling the world. What cannot be written does not keep the rest from being let go of.
--- @param keep_sound boolean|nil  the call is another worker's now, who goes on after the last finished turn: nothing is written, and what is being heard goes on
function over.close(talk, keep_sound)
  if talk.is_over then return end
  talk.is_over = true
  if not keep_sound then
    local ok, err = pcall(talk.write_open, talk)
    if not ok then log.error("converse.not_written", { call = talk.call.id, text = tostring(err) }) end
  end
  talk:let_go(keep_sound)
end

--- Ends it, and tells the world.
--- @param result table  { wants_human, why } | { failed = text }; what else is told of it is added
function over.finish(talk, result)
  if talk.is_over then return end
  over.close(talk)
  for name, value in pairs(talk:sum_up(result.why)) do result[name] = value end
  talk.world.over(result)
end

return over
