-- SPDX-License-Identifier: Apache-2.0
--- A write that may be sent twice: the answer is stored in the transaction of its effect, under the client's key.
--- A repeat with the same body gets the stored answer; with another body it is refused. Answers may hold personal
--- values, so they are sealed. Failed writes are not kept: they rolled back, and may be tried again.
local crypto = require "core.crypto"
local fault = require "core.fault"
local json = require "core.json"
local pii = require "lib.pii"
local problem = require "lib.problem"
local store = require "lib.idempotency.store"
local time = require "lib.time"

local idempotency = {}

idempotency.KEEP_S = 24 * 3600

local Replay = {}

--- Checks the header; nil when there is none.
function idempotency.key(request)
  local key = request.headers["idempotency-key"]
  if not key then return nil end
  if #key < 1 or #key > 255 or key:find("[^\33-\126]") then
    problem.raise(400, "bad_idempotency_key", "Idempotency-Key must be 1 to 255 visible ASCII characters, for instance a UUID.")
  end
  return key
end

--- @param tenant table  tenant record or pii.platform
--- @param name string  its schema
--- @param who string  whose key it is: two users may choose the same one
function idempotency.plan(tenant, name, who, key, request)
  return {
    tenant = tenant,
    name = name,
    hash = crypto.sha256(who .. "\0" .. key),
    fingerprint = crypto.sha256(table.concat({ request.method, request.path, request.query or "", crypto.sha256(request.body or "") }, "\0")),
  }
end

local function reused()
  problem.raise(422, "idempotency_key_reused", "This Idempotency-Key was used for a different request. Use a new key for a new request.")
end

--- The first answer under the key: status, body, headers; nil when there is none. For what acts before its transaction.
function idempotency.first(plan)
  local stored = store.get(plan.name, plan.hash)
  if not stored or not stored.status then return nil end
  if stored.fingerprint ~= plan.fingerprint then reused() end
  local answer = json.decode(pii.open(plan.tenant, "idempotency.response", stored.response))
  local replayed = answer.headers or {}
  replayed["Idempotent-Replayed"] = "true"
  return stored.status, answer.body, replayed
end

--- Runs fn(tx) -> status, body, headers in one transaction (begun by `begin(fn)`) with the key.
function idempotency.run(plan, begin, fn)
  local ok, status, body, headers = pcall(begin, function(tx)
    if not store.take(tx, plan.hash, plan.fingerprint, time.now()) then error(Replay, 0) end
    fault.point("idempotency.key_taken")
    local status, body, headers = fn(tx)
    fault.point("idempotency.effect_done")
    -- The body as the bytes that are sent: an empty list must not come back as an empty object.
    local bytes = type(body) == "table" and json.encode(body) or body
    local answer = json.encode({ body = bytes, headers = headers })
    store.finish(tx, plan.hash, status, pii.seal(plan.tenant, "idempotency.response", answer))
    fault.point("idempotency.answer_stored")
    return status, body, headers
  end)
  if ok then fault.point("idempotency.committed") end
  if ok then return status, body, headers end
  local raised = status
  -- What `begin` itself refuses (there is one already) may be refused because the first try has got through meanwhile.
  if raised ~= Replay and not problem.is(raised) then error(raised, 0) end
  status, body, headers = idempotency.first(plan)
  if status then return status, body, headers end
  if raised ~= Replay then error(raised, 0) end
  problem.raise(409, "in_progress", "A request with this Idempotency-Key is being worked on. Try again in a moment.", { headers = { ["Retry-After"] = "1" } })
end

--- Forgets keys older than KEEP_S, in small bites.
function idempotency.prune(name)
  local before = time.ahead(-idempotency.KEEP_S)
  for _ = 1, 100 do
    if store.prune(name, before, 500) < 500 then return end
  end
end

return idempotency
