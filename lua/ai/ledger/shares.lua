-- SPDX-License-Identifier: Apache-2.0
--- What this worker holds of the tenants' budgets: its rows of ai_share, and what they are held for.
---
---   share.held      micros that the row covers, as far as we have heard; of them
---         .reserved   for requests under way
---         .booked     spent, on its way to the database
---         .surplus    what a request beyond the budget's end did not use: nobody else's
---                     the rest is free: for requests to come
---
--- A row is never added to: what is written is all that is held at that moment, so a repeat does no harm. After a commit whose answer
--- was lost the share is `unsure`, and the next write says what is true, whichever came of it: until then it counts for us as the
--- smaller one, for others it may be the larger. The value is true if all that was written before has been heard of. Therefore who
--- writes has his turn from before the lock until his transaction's end is known:
---
---   local turn = share:turn()
---   local ok = pcall(db.transaction, name, turn:guarded(function(tx)
---     turn:enter(tx)              -- shares and sums stand still from here
---     turn:put(tx, share:claim())
---   end))
---   turn:over(ok)
---
--- It is ours for a minute from when it was written. Then what was free of it may be another's, and only what requests under way and
--- those that wait to be written cost is written anew.
local clock = require "core.clock"
local crypto = require "core.crypto"
local promise = require "lib.promise"
local store = require "ai.ledger.store"
local time = require "lib.time"
local worker = require "core.worker"

local shares = {}

-- The end of a lease is another's to see, whose clock may be some seconds ahead of ours.
local LEASE_S, SLACK_S = 60, 5
local MOST_MICROS = 2 ^ 53

local Share, Turn = {}, {}
Share.__index, Turn.__index = Share, Turn

local all = {}  -- tenant id -> share

-- Names that are many's: programs of the command line.
local common = { [""] = true, ["command line"] = true, unnamed = true }
local alone = "alone-" .. crypto.hex(crypto.random(8))

--- Under which name this worker's rows stand: nobody else's, for who writes a row writes all of it.
function shares.owner() return common[worker.owner] and alone or worker.owner end

--- The share of a tenant, or nil; all of them by the tenants' ids.
function shares.known(tenant_id) return all[tenant_id] end
function shares.all() return all end

--- The same; an empty one where there is none. make() gives what its user keeps with it.
function shares.of(tenant, make)
  local share = all[tenant.id]
  if not share then
    share = setmetatable({ held = 0, reserved = 0, booked = 0, surplus = 0, open = 0, unsure = false, written_ms = clock.mono_ms(), entered = nil }, Share)
    for name, value in pairs(make()) do share[name] = value end
    all[tenant.id] = share
  end
  share.tenant = tenant
  return share
end

--- Forgets a share of which nothing is held, reserved, booked or unsure, and for which nobody waits (`open`). Was it one? Two of a tenant would
--- write over each other's row.
function shares.drop(id)
  local share = all[id]
  if share.held ~= 0 or share.reserved ~= 0 or share.booked ~= 0 or share.open ~= 0 or share.unsure or share.entered then return false end
  all[id] = nil
  return true
end

--- What is held and for nothing yet; below zero where more was spent than was held.
function Share:free() return self.held - self.reserved - self.booked - self.surplus end

function Share:has_lapsed() return clock.mono_ms() - self.written_ms >= (LEASE_S - SLACK_S) * 1000 end

--- The same as far as it may be reserved from.
function Share:usable()
  local free = self:free()
  return free > 0 and self:has_lapsed() and 0 or free
end

--- Lets go of what is not needed, and of at most so much of what is free it keeps hold: returns what is held now. In a turn.
function Share:claim(keep)
  local kept = math.max(0, math.min(self:usable(), keep or math.huge))
  self.held, self.surplus = self.reserved + self.booked + kept, 0
  return self.held
end

--- A turn at the row; it begins with enter.
function Share:turn() return setmetatable({ share = self, ended = nil, micros = nil, at_ms = nil }, Turn) end

local function leave(turn)
  local share = turn.share
  if share.entered ~= turn then return end
  share.entered = nil
  turn.ended:give()
end

--- fn for a transaction that may run it again: what failed is rolled back, so nobody needs to wait for it while it gets a connection anew.
function Turn:guarded(fn)
  return function(tx)
    local ok, a, b = pcall(fn, tx)
    if ok then return a, b end
    leave(self)
    error(a, 0)
  end
end

--- Waits until it is this one's turn and nobody else moves sums and shares.
function Turn:enter(tx)
  local share = self.share
  while share.entered and share.entered ~= self do share.entered.ended:wait() end
  if not share.entered then share.entered, self.ended = self, promise.new() end
  self.micros = nil
  store.hold_shares(tx)
end

--- Writes the row: so much is held from now on.
function Turn:put(tx, micros)
  self.micros, self.at_ms = micros, clock.mono_ms()
  store.put_share(tx, shares.owner(), math.min(micros, MOST_MICROS), time.ahead(LEASE_S))
end

--- The transaction has ended, and was committed as far as we know: ok.
function Turn:over(ok)
  local share = self.share
  if self.micros then
    share.unsure = not ok
    if ok then share.held, share.written_ms = self.micros, self.at_ms end
  end
  leave(self)
end

return shares
