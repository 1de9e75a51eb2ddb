-- SPDX-License-Identifier: Apache-2.0
--- Keys that the caller presses while a realtime model leads: they break off what is said, and are told to the model in words.
--- A part of calls.talk.live: each function takes its conversation.
local clocks = require "calls.talk.live.clocks"
local floor = require "calls.talk.live.floor"
local keeping = require "calls.talk.live.keeping"
local outgoing = require "calls.talk.live.outgoing"
local turns = require "voice.turns"

local keys = {}

local KEYS, BETWEEN_MS = 64, turns.defaults.between_ms

local function send_keys(self)
  clocks.stop(self, "keys")
  if self.lost then return end
  local pressed = table.concat(self.keys)
  local text = outgoing.keys(self, pressed)
  self.keys, self.awaits = {}, true
  local turn = self.exchanges:typed(text, self.world.now())
  turn.keys = pressed
  self.session:text(text)
  keeping.ask_rule(self, turn)
end

--- A key.
function keys.pressed(self, digit)
  self.pressed = self.pressed + 1
  if #self.keys >= KEYS then return end
  floor.interrupt(self, true)
  if #self.keys == 0 then outgoing.keys_begin(self) end
  if digit ~= "#" or #self.keys == 0 then self.keys[#self.keys + 1] = digit end
  if digit == "#" then return send_keys(self) end
  clocks.after(self, "keys", BETWEEN_MS, send_keys)
end

return keys
