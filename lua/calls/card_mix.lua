-- SPDX-License-Identifier: Apache-2.0
--- Digits that a caller presses and says in turn, of which one card's number may be made. No clock and no I/O: the time is given.
local redact = require "ai.guard.redact"

local card_mix = {}

local FOLLOW_MS = 15000  -- as in calls.transcript: a number is told in groups
local MOST = 40          -- digits

--- Adds digits to what was pressed and said before; what is too old goes first. A new one where there is none.
--- @param mix table|nil     { text, keys, voice = in it are such, at_ms = of the last }
--- @param how string        "keys" or "voice"
--- @return table, boolean   the mix; is a card's number in it, of both?
function card_mix.add(mix, how, digits, now)
  if not mix or now - mix.at_ms > FOLLOW_MS then mix = { text = "" } end
  mix.text, mix.at_ms, mix[how] = (mix.text .. digits):sub(-MOST), now, true
  return mix, mix.keys and mix.voice and redact.keys(mix.text) == true or false
end

return card_mix
