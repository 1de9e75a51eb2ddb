-- SPDX-License-Identifier: Apache-2.0
--- Who is asking. A password or refresh token gives a JWT of some minutes (auth.token_minutes); it is checked without asking anybody, so a
--- WebSocket upgrade can decide at once. API keys are looked up (and remembered for half a minute).
---
--- The user that authenticate() gives: { id = "us_..."|"op_..."|"pk_...", row = number, role, tenant = slug (nil: operator),
---   scopes = list for API keys, session, issued_at, expires_at }
local agents = require "agents"
local audit = require "audit"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local ids = require "lib.ids"
local json = require "core.json"
local keys = require "lib.keys"
local log = require "core.log"
local origin = require "lib.origin"
local pii = require "lib.pii"
local problem = require "lib.problem"
local ratelimit = require "lib.ratelimit"
local revoked = require "auth.revoked"
local rules = require "auth.rules"
local store = require "auth.store"
local task = require "core.task"
local tenants = require "tenants"
local time = require "lib.time"

local auth = {}

auth.SESSION_COOKIE = "parley_session"
auth.REFRESH_COOKIE = "parley_refresh"
auth.TOKEN_S = revoked.TOKEN_S
auth.REFRESH_S = (config.auth and config.auth.refresh_hours or 12) * 3600
auth.SOCKET_TOKEN_S = 60
local KEY_ID = "k1"
local MAX_TENANTS = 5
local KEY_CACHE_MS = 30000
local REFUSAL_STEP_MS = 500

local function signing_key()
  return keys.derive("jwt")
end

local function prefix_of(role, is_key)
  return is_key and "pk" or role == "platform" and "op" or "us"
end

--- A token for a user. seconds: its life, auth.token_minutes unless given. user.as_of: when his rights were read.
function auth.token(user, seconds)
  local issued = user.as_of or clock.wall_us() / 1e6  -- with its fraction: a token made after a change of rights in the same second is good
  return crypto.jwt_sign(signing_key(), KEY_ID, json.encode{
    iss = "parley", sub = user.id, tenant = user.tenant, role = user.role, sid = user.session,
    scope = user.scopes and table.concat(user.scopes, " ") or nil,
    iat = issued, exp = math.ceil(issued) + (seconds or auth.TOKEN_S), jti = crypto.hex(crypto.random(8)),
  })
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  return list
end

local function unauthorized(code, detail)
  return problem.new(401, code, detail, { headers = { ["WWW-Authenticate"] = 'Bearer realm="parley"' } })
end

-- A token whose signature was found good stays so; when it ends, and whether it was ended before, is looked at each time.
-- Kept as most write the header, so that it need not be taken apart again; other spellings of it are no further entries.
local TOKENS_KEPT = 4096
local in_headers, in_cookies = { users = {}, count = 0 }, { users = {}, count = 0 }

local function keep(cache, text, user)
  if type(user.expires_at) ~= "number" then return end
  if cache.count == TOKENS_KEPT then cache.users, cache.count = {}, 0 end
  if not cache.users[text] then cache.count = cache.count + 1 end
  cache.users[text] = user
end

local function remembered(cache, text)
  local user = cache.users[text]
  return user and user.expires_at > clock.wall_us() / 1e6 and not revoked.has(user) and user or nil
end

local function user_of_token(token)
  local text, err = crypto.jwt_verify(signing_key(), token)
  if not text then
    return nil, unauthorized("bad_token", ("The token is not valid (%s). Log in again: POST /auth/login."):format(err and err.text or "?"))
  end
  local claims = json.decode(text)
  if type(claims) ~= "table" or type(claims.sub) ~= "string" or type(claims.role) ~= "string" then
    return nil, unauthorized("bad_token", "The token is not one of ours.")
  end
  local scopes = type(claims.scope) == "string" and words(claims.scope) or nil
  local user = {
    id = claims.sub, row = ids.decode(prefix_of(claims.role, claims.sub:sub(1, 3) == "pk_"), claims.sub), role = claims.role,
    tenant = type(claims.tenant) == "string" and claims.tenant or nil, scopes = scopes,
    session = type(claims.sid) == "string" and claims.sid or nil, issued_at = claims.iat, expires_at = claims.exp,
  }
  if not user.row or (not user.tenant and user.role ~= "platform") then return nil, unauthorized("bad_token", "The token is not one of ours.") end
  if revoked.has(user) then return nil, unauthorized("logged_out", "This session has ended. Log in again: POST /auth/login.") end
  return user
end

local key_cache, key_cache_size = {}, 0

local function usable(row, secret)
  return row ~= nil and not row.revoked_at and (not row.expires_at or time.us(row.expires_at) > clock.wall_us())
    and crypto.equal(row.secret_hash, crypto.sha256(secret))
end

local function user_of_key(text, remote)
  local digest = crypto.sha256(text)
  local kept = key_cache[digest]
  if kept and kept.until_ms > clock.mono_ms() and not revoked.has(kept.user) then return kept.user end
  local public, secret = text:match("^(pk_%w+)_([%w%-_]+)$")
  local id = public and ids.decode("pk", public)
  local row = id and store.key(id)
  if not usable(row, secret) then
    local allowed, wait_s = ratelimit.take("login_address", remote or "?")
    if not allowed then
      return nil, problem.new(429, "too_many_requests", ("Too many wrong keys. Try again in %d s."):format(wait_s), { headers = { ["Retry-After"] = tostring(wait_s) } })
    end
    return nil, unauthorized("bad_key", "This API key is not valid, has ended or was revoked.")
  end
  local user = { id = public, row = row.id, role = row.role, tenant = row.slug, scopes = words(row.scopes), issued_at = clock.wall_us() / 1e6 }
  if key_cache_size > 10000 then key_cache, key_cache_size = {}, 0 end
  key_cache[digest] = { user = user, until_ms = clock.mono_ms() + KEY_CACHE_MS }
  key_cache_size = key_cache_size + 1
  if not row.last_used_at or time.us(row.last_used_at) < clock.wall_us() - 60e6 then store.touch_key(row.id, time.now()) end
  return user
end

-- text: what there is of one token, and of no other.
local function user_of_text(cache, text, token)
  local known = remembered(cache, text)
  if known then return known end
  local user, why = user_of_token(token)
  if user then keep(cache, text, user) end
  return user, why
end

local changing = { POST = true, PUT = true, PATCH = true, DELETE = true }

--- user | nil, problem. Waits only for API keys, and only when it may; a JWT is decided at once.
--- @param may_wait boolean  false for a WebSocket upgrade
function auth.authenticate(request, may_wait)
  local header = request.headers.authorization
  local known = header and remembered(in_headers, header)
  if known then return known end
  local bearer = rules.bearer(header)
  if bearer and bearer:sub(1, 3) == "pk_" then
    if not may_wait then
      return nil, unauthorized("key_needs_token", "An API key cannot open a WebSocket itself. Get a token by POST /auth/token and open it with ?access_token=.")
    end
    return user_of_key(bearer, request.remote)
  end
  if bearer then return user_of_text(in_headers, "Bearer " .. bearer, bearer) end
  if header then
    return nil, unauthorized("bad_authorization", "Send \"Authorization: Bearer\" and a token of POST /auth/login, or an API key.")
  end

  local cookie = rules.cookie(request.headers.cookie, auth.SESSION_COOKIE)
  if not cookie or cookie == "" then
    return nil, unauthorized("no_credentials", "Send \"Authorization: Bearer\" and a token of POST /auth/login, or log in with a browser.")
  end
  -- A browser sends the cookie whoever wrote the page, so what changes something must come from a page of ours.
  if (changing[request.method] or not may_wait) and not origin.is_ours(request) then
    return nil, problem.new(403, "foreign_origin", "This request came from a page that is neither ours nor in http.origins.")
  end
  return user_of_text(in_cookies, cookie, cookie)
end

local function shown(user, email, name)
  return { id = user.id, role = user.role, tenant = user.tenant or json.null, email = email, name = name or json.null }
end

local function cookies(token, refresh, secure)
  return {
    rules.set_cookie(auth.SESSION_COOKIE, token, "/", auth.TOKEN_S, secure),
    rules.set_cookie(auth.REFRESH_COOKIE, refresh, "/auth", auth.REFRESH_S, secure),
  }
end

-- A new refresh token of a family, in a transaction of the platform.
local function add_refresh(tx, family, tenant_id, user_row)
  local refresh = crypto.b64url(crypto.random(32))
  store.add_refresh(tx, crypto.sha256(refresh), family, tenant_id, user_row, time.now(), time.ahead(auth.REFRESH_S))
  return refresh
end

local function session_answer(user, refresh, email, name, request)
  local token = auth.token(user)
  return 200, { token = token, expires_in = auth.TOKEN_S, user = shown(user, email, name) },
    { ["Set-Cookie"] = cookies(token, refresh, request.secure) }
end

-- Who might be meant by an e-mail: { user, hash, tenant, email, name }.
local function candidates(email, tenant_slug)
  local hash = agents.login_hash(email)
  local list = {}
  if not tenant_slug then
    local operator = store.operator_by_email(hash)
    if operator and operator.status == "active" then
      list[1] = { user = { id = ids.encode("op", operator.id), row = operator.id, role = "platform" }, hash = operator.password_hash,
        email = pii.open(pii.platform, "operator.email", operator.email), tenant_id = 0 }
    end
  end
  for _, login in ipairs(store.logins(hash, 50)) do
    if #list < MAX_TENANTS and (not tenant_slug or login.slug == tenant_slug) then
      local tenant = tenants.get(login.slug)
      local found = tenant and (login.user_id and agents.get(tenant, login.user_id) or agents.by_email(tenant, email))
      if found and found.status == "active" and found.email == pii.normal_email(email) then
        list[#list + 1] = { user = { id = found.id, row = found.row, role = found.role, tenant = tenant.slug }, hash = found.password_hash,
          email = found.email, name = found.name, tenant = tenant, tenant_id = tenant.id }
      end
    end
  end
  return list
end

local function verified(password, hash)
  local fits, err = crypto.password_verify(password, hash)
  if fits == nil and err then
    problem.raise(503, "busy", "Too many people log in right now. Try again in a few seconds.", { headers = { ["Retry-After"] = "2" } })
  end
  return fits
end

-- By address and e-mail together the limit is low; by e-mail alone it is wide, or anybody could keep anybody from logging in.
local function attempts(remote, email_key)
  return { login_address = remote, login_email = email_key .. ":" .. remote, login_email_anywhere = email_key }
end

local function check_attempts(remote, email_key)
  for class, key in pairs(attempts(remote, email_key)) do
    local allowed, wait_s = ratelimit.take(class, key)
    if not allowed then
      problem.raise(429, "too_many_logins", ("Too many attempts to log in. Try again in %d s."):format(wait_s), { headers = { ["Retry-After"] = tostring(wait_s) } })
    end
  end
end

-- Refuses at the next full step of time: how long it took does not tell whether, and in how many tenants, the e-mail is known.
local function refuse_login(began_ms)
  task.sleep(REFUSAL_STEP_MS - (clock.mono_ms() - began_ms) % REFUSAL_STEP_MS)
  problem.raise(401, "bad_login", "E-mail and password do not fit together. Check both; the tenant too, if you named one.")
end

local function note_refusal(candidate, trace)
  local ok, err = pcall(audit.transaction, candidate.tenant, function(tx)
    audit.record(tx, { actor = "anonymous", action = "auth.refused", subject = candidate.user.id, trace = trace.id })
    return true
  end)
  if not ok then log.warn("auth.refusal_not_noted", { tenant = candidate.tenant.slug, error = tostring(err) }) end
end

-- Checking a password takes its time, in which it may have been changed: is what was checked still so? Then as of when.
local function still_so(candidate)
  local as_of = clock.wall_us() / 1e6
  if not candidate.tenant then
    local operator = store.operator(candidate.user.row)
    return operator and operator.status == "active" and operator.password_hash == candidate.hash and as_of
  end
  local found = agents.get(candidate.tenant, candidate.user.row)
  if not found or found.status ~= "active" or found.password_hash ~= candidate.hash then return false end
  candidate.user.role = found.role
  return as_of
end

--- Logs in. Every attempt costs one password check, whether the e-mail is known or not.
--- @return status, body, headers
function auth.login(request, email, password, tenant_slug, trace)
  local began_ms = clock.mono_ms()
  local remote, email_key = request.remote or "?", crypto.hex(agents.login_hash(email))
  check_attempts(remote, email_key)
  local list = candidates(email, tenant_slug)
  local fitting = {}
  for _, candidate in ipairs(list) do
    if verified(password, candidate.hash) then fitting[#fitting + 1] = candidate end
  end
  if #list == 0 then verified(password, nil) end

  if #fitting == 0 then
    for _, candidate in ipairs(list) do
      if candidate.tenant then task.spawn(note_refusal, candidate, trace) end
    end
    refuse_login(began_ms)
  end
  for class, key in pairs(attempts(remote, email_key)) do ratelimit.give_back(class, key) end
  if #fitting > 1 then
    local slugs = {}
    for _, candidate in ipairs(fitting) do slugs[#slugs + 1] = candidate.user.tenant end
    problem.raise(409, "which_tenant", "This e-mail and password fit several tenants. Send \"tenant\" too.", { tenants = json.array(slugs) })
  end

  local chosen = fitting[1]
  local family = crypto.random(16)
  chosen.user.session = crypto.hex(family)
  local refresh = db.transaction(db.platform(), function(tx)
    if not chosen.tenant then audit.platform(tx, { actor = chosen.user.id, action = "auth.login", trace = trace.id }) end
    return add_refresh(tx, family, chosen.tenant_id, chosen.user.row)
  end)
  -- Read after the refresh token is there: a change that comes now finds it, and the token is older than the change.
  chosen.user.as_of = still_so(chosen)
  if not chosen.user.as_of then
    db.transaction(db.platform(), function(tx)
      store.revoke_family(tx, family, time.now())
      return true
    end)
    refuse_login(began_ms)
  end
  if chosen.tenant then
    audit.transaction(chosen.tenant, function(tx)
      audit.record(tx, { actor = chosen.user.id, action = "auth.login", subject = chosen.user.id, trace = trace.id })
      return true
    end)
  end
  return session_answer(chosen.user, refresh, chosen.email, chosen.name, request)
end

-- The user of a refresh token as he is now; nil when he may no longer log in.
local function current_user(tenant_id, user_row)
  if tenant_id == 0 then
    local operator = store.operator(user_row)
    if not operator or operator.status ~= "active" then return nil end
    return { id = ids.encode("op", operator.id), row = operator.id, role = "platform" }, pii.open(pii.platform, "operator.email", operator.email)
  end
  local tenant = tenants.get(tenant_id)
  local found = tenant and tenant.status == "active" and agents.get(tenant, user_row)
  if not found or found.status ~= "active" then return nil end
  return { id = found.id, row = found.row, role = found.role, tenant = tenant.slug }, found.email, found.name
end

local function check_page(request)
  if request.headers.origin and not origin.is_ours(request) then
    problem.raise(403, "foreign_origin", "This request came from a page that is neither ours nor in http.origins.")
  end
end

--- Changes a refresh token for a new one and a new JWT. One that comes a second time ends all of its log-in.
function auth.refresh(request)
  check_page(request)
  local token = rules.cookie(request.headers.cookie, auth.REFRESH_COOKIE)
  if not token or token == "" then error(unauthorized("no_refresh", "There is no refresh cookie. Log in: POST /auth/login."), 0) end
  local row, verdict, refresh
  db.transaction(db.platform(), function(tx)
    row = store.hold_refresh(tx, crypto.sha256(token))
    verdict = rules.judge_refresh(row and { expires_us = time.us(row.expires_at), used_us = row.used_at and time.us(row.used_at), revoked = row.revoked_at }, clock.wall_us())
    if verdict == "renew" then
      store.use_refresh(tx, row.id, time.now())
      refresh = add_refresh(tx, row.family, row.tenant_id, row.user_id)
    elseif verdict == "stolen" then
      store.revoke_family(tx, row.family, time.now())
    end
    return true
  end)
  if verdict == "again" then
    problem.raise(409, "just_refreshed", "This session was refreshed a moment ago, by another window of yours. Go on with the newer cookie.")
  end
  if verdict == "stolen" then
    revoked.session(crypto.hex(row.family))
    log.warn("auth.refresh_reused", { tenant_id = row.tenant_id, user = row.user_id })
    error(unauthorized("refresh_reused", "This session was ended, because its refresh token came twice. Log in again."), 0)
  end
  local user, email, name
  if verdict == "renew" then user, email, name = current_user(row.tenant_id, row.user_id) end
  if not user then error(unauthorized("session_over", "The session is over. Log in again: POST /auth/login."), 0) end
  user.session = crypto.hex(row.family)
  return session_answer(user, refresh, email, name, request)
end

--- Ends the session of the cookie or token. Always succeeds.
function auth.logout(request)
  check_page(request)
  local refresh = rules.cookie(request.headers.cookie, auth.REFRESH_COOKIE)
  local token = rules.bearer(request.headers.authorization) or rules.cookie(request.headers.cookie, auth.SESSION_COOKIE)
  local user = token and token:sub(1, 3) ~= "pk_" and user_of_token(token) or nil
  local family = user and user.session and crypto.unhex(user.session)
  db.transaction(db.platform(), function(tx)
    local row = refresh and refresh ~= "" and store.hold_refresh(tx, crypto.sha256(refresh))
    if row then store.revoke_family(tx, row.family, time.now()) end
    if row and not family then family = row.family end
    if family then store.revoke_family(tx, family, time.now()) end
    return true
  end)
  if family then revoked.session(crypto.hex(family)) end
  return 204, nil, { ["Set-Cookie"] = {
    rules.set_cookie(auth.SESSION_COOKIE, "", "/", 0, request.secure),
    rules.set_cookie(auth.REFRESH_COOKIE, "", "/auth", 0, request.secure),
  } }
end

--- Adds an operator, or gives a known one this password. For the CLI.
function auth.put_operator(email, password)
  local normal = pii.normal_email(email)
  store.put_operator(pii.seal(pii.platform, "operator.email", normal), agents.login_hash(normal), agents.hash_password(password))
end

--- What GET /auth/me tells.
function auth.me(user)
  if user.id:sub(1, 3) == "pk_" then return { id = user.id, role = user.role, tenant = user.tenant, scopes = json.array({ unpack(user.scopes) }) } end
  if not user.tenant then
    local operator = store.operator(user.row)
    return operator and shown(user, pii.open(pii.platform, "operator.email", operator.email))
  end
  local tenant = tenants.get(user.tenant)
  local found = tenant and agents.get(tenant, user.row)
  return found and shown(user, found.email, found.name)
end

--- Makes an API key in a transaction of the platform: id, text (shown this once). auth.tell_key is owed after the commit.
function auth.create_key(tx, tenant, key, user, trace)
  local secret = crypto.hex(crypto.random(24))
  local made_by = user.id:sub(1, 3) == "us_" and user.row or 0  -- 0: another key
  local id = store.add_key(tx, tenant.id, key.name, crypto.sha256(secret), key.role, table.concat(key.scopes, " "), made_by, key.expires)
  local public = ids.encode("pk", id)
  -- With the key or not at all; the tenant's own row, in another schema, can only follow.
  audit.platform(tx, { actor = user.id, action = "key.create", subject = public, fields = { tenant = tenant.slug }, trace = trace.id })
  return public, public .. "_" .. secret
end

--- Writes into the tenant's audit what was done with a key, and ends it in all workers when it was revoked.
function auth.tell_key(tenant, action, public, fields, user, trace)
  if action == "key.revoke" then revoked.user(tenant, public) end
  audit.transaction(tenant, function(tx)
    audit.record(tx, { actor = user.id, action = action, subject = public, fields = fields, trace = trace.id })
    return true
  end)
end

function auth.list_keys(tenant)
  return store.keys(tenant.id)
end

--- Ends an API key, in a transaction of the platform; false when there is no such key. auth.tell_key is owed after the commit.
function auth.revoke_key(tx, tenant, public, user, trace)
  local id = ids.decode("pk", public)
  if not id or not store.revoke_key(tx, tenant.id, id, time.now()) then return false end
  audit.platform(tx, { actor = user.id, action = "key.revoke", subject = public, fields = { tenant = tenant.slug }, trace = trace.id })
  return true
end

--- Removes refresh tokens that ended a day ago.
function auth.prune()
  local before = time.ahead(-86400)
  for _ = 1, 100 do
    if store.prune_refresh(before, 500) < 500 then return end
  end
end

return auth
