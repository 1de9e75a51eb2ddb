-- SPDX-License-Identifier: Apache-2.0
--- The people of a tenant: admins, supervisors and agents. Rows are in `user`; a public id is "us_...".
local audit = require "audit"
local crypto = require "core.crypto"
local ids = require "lib.ids"
local pii = require "lib.pii"
local problem = require "lib.problem"
local revoked = require "auth.revoked"
local store = require "agents.store"
local time = require "lib.time"

local agents = {}

agents.roles = { "admin", "supervisor", "agent" }

local function opened(tenant, row)
  return {
    row = row.id, id = ids.encode("us", row.id), role = row.role, status = row.status, version = row.version,
    email = pii.open(tenant, "user.email", row.email), name = pii.open(tenant, "user.name", row.name),
    password_hash = row.password_hash, created_at = time.rfc3339(row.created_at), updated_at = time.rfc3339(row.updated_at),
  }
end

--- A user by row id or public id; nil when there is none.
function agents.get(tenant, ref)
  local id = type(ref) == "number" and ref or ids.decode("us", ref)
  local row = id and store.get(tenant.db, id)
  return row and opened(tenant, row)
end

--- A user by e-mail; nil when there is none.
function agents.by_email(tenant, email)
  local row = store.by_email(tenant.db, pii.hash(tenant, "email", pii.normal_email(email)))
  return row and opened(tenant, row)
end

--- How the platform finds an e-mail's tenants, without knowing the e-mail.
function agents.login_hash(email)
  return pii.hash(pii.platform, "login", pii.normal_email(email))
end

local function hashed(password)
  local hash, err = crypto.password_hash(password)
  if not hash then
    problem.raise(503, "busy", "Too many passwords are being checked right now. Try again in a few seconds.", { headers = { ["Retry-After"] = "2" }, cause = err and err.code })
  end
  return hash
end
agents.hash_password = hashed

--- Before and after agents.add, outside of its transaction: how a log-in finds the new user.
function agents.announce(tenant, email)
  store.announce_login(agents.login_hash(email), tenant.id)
end
function agents.link(tenant, email, id)
  store.link_login(agents.login_hash(email), tenant.id, id)
end

--- Adds a user in a transaction of the tenant. fields: { email, name, role, password_hash }. Raises 409 when the e-mail is taken.
function agents.add(tenant, tx, fields, actor, trace)
  local email = pii.normal_email(fields.email)
  local id = store.insert(tx, {
    email = pii.seal(tenant, "user.email", email), email_hash = pii.hash(tenant, "email", email),
    name = pii.seal(tenant, "user.name", fields.name), password_hash = fields.password_hash, role = fields.role,
  })
  if not id then problem.raise(409, "email_taken", "Somebody with this e-mail is here already.", { errors = { { pointer = "#/email", detail = "is taken" } } }) end
  local public = ids.encode("us", id)
  audit.record(tx, { actor = actor, action = "user.create", subject = public, fields = { role = fields.role }, trace = trace })
  audit.event(tx, { type = "user.created", subject = public, data = { role = fields.role }, trace = trace })
  return id
end

--- The first admin of a tenant that is being made: added, or given this password.
function agents.ensure_admin(tenant, email, password, actor)
  local hash = hashed(password)
  agents.announce(tenant, email)
  local id = audit.transaction(tenant, function(tx)
    local row = store.by_email(tx, pii.hash(tenant, "email", pii.normal_email(email)))
    if not row then
      return agents.add(tenant, tx, { email = email, role = "admin", password_hash = hash }, actor)
    end
    store.update(tx, row.id, { name = row.name, password_hash = hash, role = "admin", status = "active" })
    return row.id
  end)
  agents.link(tenant, email, id)
end

--- Changes a user in a transaction: changes may hold name, role, status, password_hash. Raises problems.
--- @param wanted_version number|nil  of If-Match
function agents.change(tenant, tx, id, changes, wanted_version, actor, trace)
  local row = store.hold(tx, id)
  if not row then problem.raise(404, "agent_not_found", "There is no such user.") end
  if wanted_version and row.version ~= wanted_version then
    problem.raise(412, "changed", "Somebody has changed this user meanwhile. Read it again and repeat your change.")
  end
  local role, status = changes.role or row.role, changes.status or row.status
  local was_admin = row.role == "admin" and row.status == "active"
  if was_admin and (role ~= "admin" or status ~= "active") and store.other_admins(tx, id) == 0 then
    problem.raise(409, "last_admin", "This is the last active admin. Make another one first.")
  end
  store.update(tx, id, {
    name = changes.name == nil and row.name or pii.seal(tenant, "user.name", changes.name or nil),
    password_hash = changes.password_hash or row.password_hash, role = role, status = status,
  })
  local names = {}
  for name in pairs(changes) do names[#names + 1] = name == "password_hash" and "password" or name end
  table.sort(names)
  local public = ids.encode("us", id)
  audit.record(tx, { actor = actor, action = "user.update", subject = public, fields = names, trace = trace })
  audit.event(tx, { type = "user.updated", subject = public, data = { fields = names, role = role, status = status }, trace = trace })
  local access_changed = role ~= row.role or status ~= row.status or changes.password_hash ~= nil
  return access_changed
end

--- Ends what a user has open, in all workers; after a change of role, status or password.
function agents.revoke(tenant, id)
  revoked.logins(tenant, ids.encode("us", id), id)
end

--- Is this user somebody a lead or call can be given to? In a transaction; raises problems with the pointer.
function agents.check_assignable(tx, public_id, pointer)
  local id = ids.decode("us", public_id)
  local row = id and store.hold_shared(tx, id)
  if not row then
    problem.raise(422, "agent_not_found", "There is no such agent. GET /agents lists them.", { errors = { { pointer = pointer, detail = "is not the id of an agent" } } })
  end
  if row.status ~= "active" then
    problem.raise(422, "agent_inactive", "This agent is not active. Choose another or activate it first.", { errors = { { pointer = pointer, detail = "is not active" } } })
  end
  return id
end

--- May a lead be given to this user, as a transaction sees him? The same question without a problem.
function agents.is_assignable(tx, public_id)
  local id = ids.decode("us", public_id)
  local row = id and store.hold_shared(tx, id)
  return row ~= nil and row.status == "active"
end

local ASSIGNABLE_MAX = 200

--- Those to whom a lead may be given: list of { id, name, role }, the first 200 of them.
function agents.assignable(tenant)
  local list = {}
  for i, row in ipairs(store.list(tenant.db, 0, ASSIGNABLE_MAX, nil, "active")) do
    list[i] = { id = ids.encode("us", row.id), name = pii.open(tenant, "user.name", row.name), role = row.role }
  end
  return list
end

--- A page of users after a row id.
function agents.list(tenant, after, limit, role, status)
  local rows = store.list(tenant.db, after, limit, role, status)
  for i, row in ipairs(rows) do rows[i] = opened(tenant, row) end
  return rows
end

return agents
