-- SPDX-License-Identifier: Apache-2.0
--- Tokens are believed without asking anybody, so what ends early is told to every worker: sessions that logged out and
--- users whose rights changed. Entries stand as long as a token issued before them could live.
--- Told over Redis, and kept there for workers that start later; one that misses it (Redis away) believes such a token
--- until it ends.
local clock = require "core.clock"
local config = require "core.config"
local json = require "core.json"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "auth.store"
local task = require "core.task"
local time = require "lib.time"

local revoked = {}

--- Life of a session's token.
revoked.TOKEN_S = (config.auth and config.auth.token_minutes or 15) * 60
local sessions, users = {}, {}  -- name -> { at = when, in s since 1970 }

-- What was told in the last minutes, for workers that start later.
local function kept_key() return rediskey("auth:revoked:kept") end

local function sweep(list, now_s)
  for name, at in pairs(list) do
    if at + revoked.TOKEN_S < now_s then list[name] = nil end
  end
end

local function note(message)
  local now_s = clock.wall_us() / 1e6
  sweep(sessions, now_s)
  sweep(users, now_s)
  if message.session then sessions[message.session] = message.at end
  if message.user then users[message.user] = message.at end
end

local function tell(message)
  message.at = clock.wall_us() / 1e6
  note(message)
  local text = json.encode(message)
  redis.pipeline{
    { "ZADD", kept_key(), ("%.6f"):format(message.at), text },
    { "ZREMRANGEBYSCORE", kept_key(), "-inf", ("%.6f"):format(message.at - revoked.TOKEN_S) },
    { "EXPIRE", kept_key(), revoked.TOKEN_S + 60 },
    { "PUBLISH", rediskey("auth:revoked"), text },
  }
end

--- Ends one log-in.
function revoked.session(session)
  tell{ session = session }
end

--- Ends the tokens a user (or API key) got until now.
function revoked.user(tenant, id)
  tell{ user = tenant.slug .. ":" .. id }
end

--- Ends also the log-ins from which a user could get new ones.
function revoked.logins(tenant, id, row)
  store.revoke_user(tenant.id, row, time.now())
  revoked.user(tenant, id)
end

--- Has this authenticated user been ended? user: { tenant, id, session, issued_at }
function revoked.has(user)
  if user.session and sessions[user.session] then return true end
  if next(users) == nil then return false end
  local at = users[(user.tenant or "") .. ":" .. user.id]
  return at ~= nil and (user.issued_at or 0) <= at
end

local function hear(text)
  local message = json.decode(text)
  if type(message) == "table" and type(message.at) == "number" then note(message) end
end

-- What was told before this worker began.
local function catch_up()
  while true do
    local list = redis.call("ZRANGEBYSCORE", kept_key(), ("%.6f"):format(clock.wall_us() / 1e6 - revoked.TOKEN_S), "+inf")
    if list then
      for _, text in ipairs(list) do hear(text) end
      return
    end
    task.sleep(1000)
  end
end

--- Listens to the other workers; called once at start.
function revoked.start()
  task.spawn(catch_up)
  return redis.subscribe(rediskey("auth:revoked"), hear)
end

return revoked
