-- SPDX-License-Identifier: Apache-2.0
--- What the caller has pressed in a call: kept until somebody takes it, written before it acts, and no more of it than may be written.
--- A part of calls.call: methods of a call.
local card_parts = require "calls.card_parts"
local cards = require "calls.cards"
local fault = require "core.fault"
local journal = require "flow.journal"
local metrics = require "core.metrics"
local redact = require "ai.guard.redact"

local pressed = {}

local DIGITS_MOST = 128  -- keys that nothing has asked for yet; all are written again with each

--- What scripts had gathered is of a card's number, as is known now: the fields of the record that are to be written again for it.
function pressed.make_secret(call, gathers)
  local fields = {}
  if not gathers then return fields end
  fields.keys = cards.kept(call)
  for _, one in ipairs(gathers) do
    local given = call.history:make_secret(one.visit, one.n) or one.entry.done and one.entry.ok and one.entry.value
    if type(given) == "string" and not one.entry.secret then card_parts.note(call, given) end
    one.entry.secret = true
    if one.visit == call.visit and call.journal.entries[one.n] == one.entry then
      fields[("j%d.%d"):format(one.visit, one.n)] = journal.kept(one.entry)
    end
  end
  if call.card_parts then
    call.history:mask(function(value) return card_parts.masked(call, value) end)
    fields.head = call:head()
  end
  return fields
end

--- @param ms number|nil  for how long it was pressed
function pressed:on_digit(digit, ms)
  if self.over or self.gone_why then return end
  local fields = self:make_secret(cards.pressed(self, digit, ms))
  if #self.digits >= DIGITS_MOST then
    if next(fields) then self:keep(fields) end
    return
  end
  metrics.count("call_digits_total", nil, 1, "keys heard")
  self.digits[#self.digits + 1] = digit
  -- Written before it acts: an acknowledged digit is never lost.
  fields.digits = self:digits_kept()
  if self.frozen then fields.head = self:head() end
  self:keep(fields)
  fault.point("call.digit_written")
  if self.talk then return self.talk:on_digit(digit) end
  self:happen("digit", digit)
end

function pressed:take_digit()
  local digit = table.remove(self.digits, 1)
  if #self.digits == 0 then cards.taken(self) end
  return digit
end

--- The keys as they may be written: those of a secret are not, nor what is a card's number or may become one.
function pressed:digits_kept()
  local text = table.concat(self.digits)
  return not self.secret and not cards.is_pressed(self) and not redact.keys(text) and text or ""
end

--- Into fields of the record: the keys that nobody has taken, and of those that were taken what may become a card's number.
function pressed:keep_keys(fields)
  fields.digits, fields.keys = self:digits_kept(), cards.kept(self)
  return fields
end

return pressed
