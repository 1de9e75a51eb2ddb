-- SPDX-License-Identifier: Apache-2.0
--- What scripts were given of a card's number in groups, and with it: known by keyed hashes only, so that it is masked in what is kept of a call's
--- states (calls.history) where a script has put it into call.data or handed it on, alone or behind one another. Kept with the call, for its data
--- goes with it; the number as a whole is found by itself.
local crypto = require "core.crypto"
local json = require "core.json"
local leaves = require "lib.leaves"

local card_parts = {}

local LEAST = 3   -- digits: fewer are a number like any other
local LONGEST = 24
local MOST = 450  -- hashes: of 19 digits, expiry and check number, figure by figure, with one of them said again

local function hash_of(call, digits)
  return crypto.hex(crypto.hmac(call.tenant.key, "card-part\0" .. digits)):sub(1, 16)
end

--- Notes what one gather gave, behind what was noted before.
function card_parts.note(call, text)
  local digits, ends = text:gsub("%D", ""), {}
  call.card_parts = call.card_parts or json.array{}
  for _, before in ipairs(call.card_part_ends or {}) do ends[#ends + 1] = before .. digits end
  ends[#ends + 1] = digits
  for _, one in ipairs(ends) do
    if #one >= LEAST and #call.card_parts < MOST then table.insert(call.card_parts, hash_of(call, one)) end
  end
  while ends[1] and #ends[1] > LONGEST do table.remove(ends, 1) end
  call.card_part_ends = ends  -- what was noted, from each beginning on; in memory only
end

--- A value as JSON knows them, with "[CARD]" where it holds nothing but such a part; what has none comes back as it is.
function card_parts.masked(call, value)
  if not call.card_parts then return value end
  local known = {}
  for _, hash in ipairs(call.card_parts) do known[hash] = true end
  return leaves.changed(value, function(leaf)
    local text = type(leaf) == "string" and leaf or type(leaf) == "number" and leaf >= 0 and leaf < 1e15 and leaf % 1 == 0 and ("%.0f"):format(leaf) or ""
    if #text > 40 or not text:find("^%d[%d %-]*$") then return leaf end
    return known[hash_of(call, (text:gsub("%D", "")))] and "[CARD]" or leaf
  end)
end

return card_parts
