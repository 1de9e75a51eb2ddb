-- SPDX-License-Identifier: Apache-2.0
--- A card's number that is pressed, key by key (calls.cards). A part of calls.cards: what there is of it is call.card_keys.
local clock = require "core.clock"
local recordings = require "calls.recordings"
local redact = require "ai.guard.redact"
local restart = require "lib.restart"

local card_keys = {}

local FOLLOW_MS = 15000     -- as in calls.transcript: a number is told in groups
local TAIL_MS = 1000        -- behind the last sign: the sound of a key comes behind the word of it, and some say aloud what they press
local FEW = 4               -- fewer keys that a verb has taken are written: most are a menu's
local KEYED_MS = 70000      -- nobody presses one number for longer
local KEYS = 60             -- that are remembered
local MANY = 12             -- digits that may be most of a number
local MOST, MOST_WITHIN = 19, 16  -- digits of a card, alone and among other digits

local function end_keys(call)
  local keys = call.card_keys
  call.card_keys = nil
  if not keys then return end
  if keys.clock then keys.clock:cancel() end
  recordings.free(call, "keys")
  recordings.resume(call, "keys")
end

local function silence_keys(call, keys, since_ms)
  recordings.pause(call, "keys", since_ms)
  recordings.free(call, "keys")
  restart(keys, TAIL_MS, function()
    recordings.resume(call, "keys")
    restart(keys, FOLLOW_MS - TAIL_MS, function() end_keys(call) end)
  end)
end

-- The oldest key with which a card's number may begin that has not come to its end: as redact.keys finds them.
local function first_of(keys)
  local now, count = clock.mono_ms(), #keys.text
  for i = 1, count do
    local begins = i == 1 and count < MOST and keys.text:find("^[1-9]") or count - i + 1 < MOST_WITHIN and keys.text:find("^[2-6]", i)
    if begins and now - keys.began[i] <= KEYED_MS then return i end
  end
end

local function hold_keys(call, keys)
  local first = first_of(keys)
  keys.since_ms = first and keys.began[math.max(first, keys.out + 1)]
  if not keys.since_ms then return recordings.free(call, "keys") end
  recordings.hold(call, "keys", keys.since_ms, function() return #keys.text - first + 1 >= MANY end)
end

local function add_key(keys, digit, began_ms)
  keys.text = (keys.text .. digit):sub(-KEYS)
  table.insert(keys.began, began_ms)
  if #keys.began > KEYS then
    table.remove(keys.began, 1)
    keys.out = math.max(0, keys.out - 1)
  end
end

--- A key was pressed.
--- @param ms number|nil      for how long
--- @param is_mixed boolean    with what was said before it, it makes a card's number whole (calls.card_mix)
--- @return table|nil  when it is the last of a card's number: what was gathered of it before, as card_keys.gathered was told
function card_keys.pressed(call, digit, ms, is_mixed)
  local keys, began_ms = call.card_keys, clock.mono_ms() - (ms or 0)
  if not keys then
    keys = { text = "", began = {}, out = 0, gathers = {}, card = call.card_follow and true }
    call.card_keys = keys
  end
  add_key(keys, digit, began_ms)
  local is_whole = not keys.whole and (is_mixed or redact.keys(keys.text) == true)
  if is_whole then keys.whole = true end
  if keys.card then
    silence_keys(call, keys, began_ms)
  elseif is_whole then
    keys.card = true
    silence_keys(call, keys, keys.since_ms or began_ms)
  else
    hold_keys(call, keys)
    restart(keys, FOLLOW_MS, function() end_keys(call) end)
  end
  return is_whole and keys.gathers or nil
end

--- A script is given keys.
--- @param gather table  visit, n, entry (of the journal)
--- @return boolean  are they of a card's number, or told with it?
function card_keys.gathered(call, gather)
  local keys = call.card_keys
  if keys then
    table.insert(keys.gathers, gather)
    if #keys.gathers > KEYS then table.remove(keys.gathers, 1) end
    if gather.entry.secret then keys.unkept = true end
  end
  return keys ~= nil and keys.card == true or call.card_follow ~= nil
end

--- The caller has gone. What was gathered of what may be most of a number, or nil.
function card_keys.left(call)
  local keys = call.card_keys
  local first = keys and not keys.whole and first_of(keys)
  return first and #keys.text - first + 1 >= MANY and keys.gathers or nil
end

-- Keys that no script has been given yet: they are in the record by themselves, or must not be.
local function untaken(call)
  local count = 0
  for _, digit in ipairs(call.digits) do
    if digit:find("%d") then count = count + 1 end
  end
  return count
end

--- What the call's record is to have of what is pressed, false for nothing. Of a number that is whole, that it is one: { at_us, card }. Of what may become
--- one, as far as scripts were given it, until that is known: { at_us, card, text, ages_ms = of each key, gathers = list of { visit, n } }; what was
--- gathered in secret is not in it.
function card_keys.kept(call)
  local keys = call.card_keys
  if not keys then return false end
  local kept = { at_us = clock.wall_us(), card = keys.card or nil }
  local count = #keys.text - untaken(call)
  if keys.whole or keys.unkept or count <= 0 then return kept.card and kept or false end
  local now = clock.mono_ms()
  kept.text, kept.ages_ms, kept.gathers = keys.text:sub(1, count), {}, {}
  for i = 1, count do kept.ages_ms[i] = math.floor(now - keys.began[i]) end
  for i, one in ipairs(keys.gathers) do kept.gathers[i] = { one.visit, one.n } end
  return kept
end

--- Goes on where the worker before was.
--- @param kept table|false|nil  of card_keys.kept
function card_keys.restore(call, kept)
  if not kept then return end
  local now, since_ms = clock.mono_ms(), math.max(0, (clock.wall_us() - kept.at_us) / 1000)
  local text = kept.text or ""
  if since_ms + (kept.ages_ms and kept.ages_ms[#text] or 0) > KEYED_MS then return end
  local keys = { text = text, began = {}, out = 0, gathers = {}, card = kept.card or call.card_follow and true, whole = text == "" or nil }
  for i = 1, #text do keys.began[i] = now - since_ms - kept.ages_ms[i] end
  for i, one in ipairs(kept.gathers or {}) do
    local visit, n = one[1], one[2]
    keys.gathers[i] = { visit = visit, n = n, entry = visit == call.visit and call.journal.entries[n] or {} }
  end
  for _, digit in ipairs(call.digits) do
    if digit:find("%d") then add_key(keys, digit, now) end
  end
  call.card_keys = keys
  if keys.card then return silence_keys(call, keys, now) end
  hold_keys(call, keys)
  restart(keys, FOLLOW_MS, function() end_keys(call) end)
end

--- May the keys that nobody has taken yet be of a card's number that is known to be one?
function card_keys.is_pressed(call) return call.card_keys ~= nil and call.card_keys.card == true end

--- A verb has taken keys, and none is left. A script may take a number key by key: they are remembered, and from a fourth one on held.
function card_keys.taken(call)
  local keys = call.card_keys
  if not keys or keys.card or #keys.text >= FEW then return end
  keys.out, keys.since_ms = #keys.text, nil
  recordings.free(call, "keys")
end

--- Digits were said that may go on with what was pressed: it is held for as long.
function card_keys.go_on(call)
  local keys = call.card_keys
  if keys and not keys.card then restart(keys, FOLLOW_MS, function() end_keys(call) end) end
end

--- What was said made a card's number whole with what was pressed: since when that is to be silent, and what was gathered of it before, as
--- card_keys.gathered was told (nil where it was whole by itself); nil where nothing of it is remembered.
function card_keys.join(call)
  local keys = call.card_keys
  if not keys then return end
  local is_whole = keys.whole
  keys.card, keys.whole = true, true
  recordings.free(call, "keys")
  return keys.since_ms or keys.began[1], not is_whole and keys.gathers or nil
end

return card_keys
