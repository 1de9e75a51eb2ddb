-- SPDX-License-Identifier: Apache-2.0
--- Trunks and numbers: whose call it is, and how Asterisk nodes are told of trunks.
--- Tenant = (trunk, dialled number): both must agree. A trunk's endpoint on a node is "t<trunk id>"; nodes get their
--- trunks over ARI's dynamic configuration, once per start of the node and again when a trunk is changed:
---
---   {prefix}trunks:versions        zset: a trunk's id, scored with the version of its last change; versions only rise
---   {prefix}trunks-told:<node>     the version up to which the node has been told; none: it is told of all trunks
---   {prefix}trunks-refused:<node>  set of the ids of trunks that it has refused a part of: it is asked again each half minute
---   {prefix}trunk-telling:<node>   who is telling the node, for TELLING_S after his last sign of life
---   {prefix}trunks:<node>:<start>  that all were ordered for this start of the node
---
--- What is to be told is thus known from Redis alone: whoever owns a slot of the node looks, and goes on where another died.
local clock = require "core.clock"
local crypto = require "core.crypto"
local log = require "core.log"
local phone = require "core.phone"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local schema = require "lib.schema"
local store = require "calls.store"
local task = require "core.task"
local telephony = require "core.telephony"
local tenants = require "tenants"
local timer = require "core.timer"

local trunks = {}

local CACHE_MS = 5000
local CACHE_MOST = 4096  -- keys: carriers dial whatever they like, also numbers that nobody has
local MATCHES_MOST = 500 -- addresses of one trunk: the column has 1000 characters
local LOOK_MS = 5000
local REFUSED_MS = 30000
local AGAIN_MS = 1000    -- a node that starts is tried that often until somebody has ordered its trunks
local TELLING_S = 30
local PAGE = 200
local SAID_MS = 60000    -- that a node takes nothing is logged that often
local cache, cached_keys = {}, 0

function trunks.forget() cache, cached_keys = {}, 0 end

local function cached(key, load)
  local now = clock.mono_ms()
  local hit = cache[key]
  if hit and now - hit.at < CACHE_MS then return hit.value end
  local value = load()
  if not cache[key] then
    if cached_keys >= CACHE_MOST then trunks.forget() end
    cached_keys = cached_keys + 1
  end
  cache[key] = { value = value, at = now }
  return value
end

function trunks.endpoint(trunk) return "t" .. trunk.id end

--- Numbers as carriers write them, in E.164's form: +4930..., 004930..., 4930...
local function normal(exten)
  if exten:match("^%+%d+$") then return exten end
  if exten:match("^00%d+$") then return "+" .. exten:sub(3) end
  if exten:match("^%d+$") then return "+" .. exten end
end

--- Whose call this is: tenant, trunk, number; or nil and why not: "trunk_unknown", "number_unknown", "number_of_another",
--- "tenant_inactive". Few words, for they label a metric: what was dialled is not among them.
function trunks.whose(endpoint, exten)
  local id = tonumber(endpoint:match("^t(%d+)$"))
  local trunk = id and cached("trunk" .. id, function() return store.trunk(id) end)
  if not trunk then return nil, "trunk_unknown" end
  local e164 = normal(exten)
  local number = e164 and cached("number" .. e164, function() return store.number(e164) end)
  if not number then return nil, "number_unknown" end
  if number.tenant_id ~= trunk.tenant_id or (number.trunk_id and number.trunk_id ~= trunk.id) then
    return nil, "number_of_another"
  end
  local tenant = tenants.get(trunk.tenant_id)
  if not tenant or tenant.status ~= "active" then return nil, "tenant_inactive" end
  return tenant, trunk, e164
end

--- The trunk a tenant's outbound calls take: the one of the number, else the first that has a host.
function trunks.outbound(tenant)
  local trunk = cached("outbound" .. tenant.id, function()
    for _, one in ipairs(store.trunks_of(tenant.id)) do
      if one.host then return one end
    end
  end)
  if trunk then return trunk end
  return nil, { code = "failed", text = "there is no trunk for outbound calls; an admin can add one" }
end

--- The tenant's first number: shown to people we call.
function trunks.caller_id(tenant)
  local number = cached("caller" .. tenant.id, function() return store.first_number(tenant.id) end)
  return number and number.e164
end

function trunks.parse(tenant, text)
  return phone.parse(text, tenant.region)
end

--- @param fields table  list of { attribute, value }, applied in that order: "disallow" before "allow"
--- Returns true; false when Asterisk refuses it; nil when it cannot be asked, or not now.
local function put(slot, kind, id, fields)
  local list = {}
  for i, field in ipairs(fields) do list[i] = { attribute = field[1], value = field[2] } end
  local status, body = telephony.request(slot, "PUT", ("/asterisk/config/dynamic/res_pjsip/%s/%s"):format(kind, id), { fields = list })
  if not status or status >= 500 then return nil end
  if status ~= 200 then
    local text = type(body) == "table" and (body.text or body.message) or ""
    log.error("trunk.not_set", { slot = slot, kind = kind, id = id, status = status, text = text })
  end
  return status == 200
end

-- An aor's contact and an identify's match are never changed: what is PUT is added to what was there. So they are made
-- anew, and left alone when they are as they should be, because calls are refused between the two requests. Returns as put.
local function put_anew(slot, kind, id, fields, wanted)
  local path = ("/asterisk/config/dynamic/res_pjsip/%s/%s"):format(kind, id)
  local status, now = telephony.request(slot, "GET", path)
  if status == 200 then
    local same = true
    for _, field in ipairs(now) do same = same and (wanted[field.attribute] or field.value) == field.value end
    if same then return true end
    status = telephony.request(slot, "DELETE", path)
  end
  if not status or status >= 500 then return nil end
  return put(slot, kind, id, fields)
end

--- Makes one trunk on the slot's node. Endpoint before identify: an identify for a missing endpoint answers 401.
--- Returns true; false when Asterisk refuses a part of it (the others are made); nil when it cannot be asked: nothing more was tried.
function trunks.provision(slot, trunk)
  local id = trunks.endpoint(trunk)
  local contact = trunk.host and ("sip:%s:%d"):format(trunk.host, trunk.port) or ""
  local ok = put_anew(slot, "aor", id, { contact ~= "" and { "contact", contact } or { "max_contacts", "0" } }, { contact = contact })
  if ok == nil then return nil end
  local made = put(slot, "endpoint", id, {
    { "context", "parley-in" }, { "disallow", "all" }, { "allow", "ulaw,alaw" }, { "aors", id }, { "direct_media", "no" },
    { "transport", "transport-udp" }, { "rtp_symmetric", "yes" }, { "dtmf_mode", "rfc4733" }, { "rtp_timeout", "60" },
    -- A name and no number. Nothing at all is stored as "<unknown>", which Asterisk reads as the number of every caller
    -- when it starts again; a number would be every caller's.
    { "callerid", "Parley" },
  })
  if made == nil then return nil end
  ok = ok and made
  local n = 0
  for match in (trunk.match or ""):gmatch("[^,%s]+") do
    n = n + 1
    -- One address each: that is all Asterisk keeps of a list.
    made = put_anew(slot, "identify", ("%s-%d"):format(id, n), { { "endpoint", id }, { "match", match } },
      { endpoint = id, match = match:match("^[%d.]+$") and match .. "/255.255.255.255" or match })
    if made == nil then return nil end
    ok = ok and made
  end
  -- Addresses it had before and has no more: who calls from there is not this trunk any longer.
  for gone = n + 1, n + MATCHES_MOST do
    local status = telephony.request(slot, "DELETE", ("/asterisk/config/dynamic/res_pjsip/identify/%s-%d"):format(id, gone))
    if not status or status >= 500 then return nil end
    if status ~= 204 then break end
  end
  return ok
end

-- telling nodes ------------------------------------------------------------------------------------------------------------

local function versions_key() return rediskey("trunks:versions") end
local function told_key(node) return rediskey("trunks-told:", node) end
local function refused_key(node) return rediskey("trunks-refused:", node) end
local function telling_key(node) return rediskey("trunk-telling:", node) end

-- KEYS: versions. ARGV: the trunk's id. One step, so that no version is seen before the trunk that has it. A version is a
-- moment, too: one that Redis has forgotten is never given again.
local change = redis.script [[
  local top = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2] or '0'
  local t = redis.call('TIME')
  redis.call('ZADD', KEYS[1], string.format('%.0f', math.max(tonumber(top) + 1, t[1] * 1000000 + t[2])), ARGV[1])
  return 1
]]

-- KEYS: telling. ARGV: token, for how many seconds more (0: it is given back). Whether it is still his.
local hold = redis.script [[
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('EXPIRE', KEYS[1], ARGV[2]) end
  return 1
]]

local said = {}

-- Whether it is time to log of this node again.
local function is_news(node)
  local now = clock.mono_ms()
  if said[node] and now - said[node] < SAID_MS then return false end
  said[node] = now
  return true
end

-- Runs fn(goes_on) while nobody else tells the node; goes_on() says whether that still holds, and prolongs it. Returns what
-- fn does; nil when another is at it or Redis does not answer. What fn raises is raised.
local function alone(node, fn)
  local token = crypto.hex(crypto.random(8))
  local mine = redis.call("SET", telling_key(node), token, "NX", "EX", TELLING_S)
  if not mine or mine == redis.null then return nil end
  local ok, result = pcall(fn, function() return hold:call({ telling_key(node) }, token, TELLING_S) == 1 end)
  hold:call({ telling_key(node) }, token, 0)
  if not ok then error(result, 0) end
  return result
end

-- Up to which version the node was told (nil: it is to be told of all trunks), and which is the last; nothing when Redis does not answer.
local function standing(node)
  local replies = redis.pipeline{ { "GET", told_key(node) }, { "ZREVRANGE", versions_key(), 0, 0, "WITHSCORES" } }
  local told, last = replies and replies[1], replies and replies[2]
  if not replies or type(told) == "table" or last.code then return end  -- a refusal is a table with its code
  local version = last[2] or "0"
  -- Told of more than there is: Redis has forgotten what was changed.
  if told == redis.null or tonumber(told) > tonumber(version) then told = nil end
  return told, version
end

-- Tells the node of one trunk; nil: its row is gone. One that Asterisk refuses is noted and holds nobody up. Returns whether
-- the next may follow, and whether it was refused.
local function tell_one(node, slot, id, trunk)
  local made = not trunk or trunks.provision(slot, trunk)
  if made == nil then return false end
  return redis.call(made and "SREM" or "SADD", refused_key(node), id) ~= nil, not made
end

-- Returns whether the node has been told of all trunks.
local function tell_all(node, slot, version, goes_on)
  local after, refused, count = 0, 0, 0
  repeat
    local rows = store.trunks_after(after, PAGE)
    for _, trunk in ipairs(rows) do
      if not goes_on() then return false end
      local told, is_refused = tell_one(node, slot, trunk.id, trunk)
      if not told then return false end
      if is_refused then refused = refused + 1 end
      after, count = trunk.id, count + 1
    end
  until #rows < PAGE
  if not goes_on() or not redis.call("SET", told_key(node), version) then return false end
  log.info("node.trunks_set", { node = node, trunks = count, refused = refused })
  return true
end

-- Returns whether the node has been told of what was changed since.
local function tell_changed(node, slot, told, goes_on)
  while true do
    local list = redis.call("ZRANGEBYSCORE", versions_key(), "(" .. told, "+inf", "WITHSCORES", "LIMIT", 0, PAGE)
    if not list then return false end
    if #list == 0 then return true end
    for i = 1, #list, 2 do
      local id = tonumber(list[i])
      if not goes_on() or not tell_one(node, slot, id, store.trunk(id)) then return false end  -- as it is by now
      -- It may have been another's meanwhile, who has told of more.
      if not goes_on() or not redis.call("SET", told_key(node), list[i + 1]) then return false end
      told = list[i + 1]
    end
  end
end

-- Tells the slot's node what it has not been told. What fails is left to the next look, whosever it is.
local function tell(node, slot)
  local told, version = standing(node)
  if not version or told == version then return end
  local ok, done = pcall(alone, node, function(goes_on)
    told, version = standing(node)  -- another may have told it meanwhile
    if not version or told == version then return version ~= nil end
    if told then return tell_changed(node, slot, told, goes_on) end
    return tell_all(node, slot, version, goes_on)
  end)
  if (not ok or done == false) and is_news(node) then
    log.warn("trunk.not_told", { node = node, text = ok and "the node has not taken it; it is told again" or tostring(done) })
  end
end

-- Asks the slot's node once more for what it has refused.
local function tell_refused(node, slot)
  local list = redis.call("SMEMBERS", refused_key(node))
  if not list or #list == 0 then return end
  alone(node, function(goes_on)
    for _, id in ipairs(list) do
      if not goes_on() or not tell_one(node, slot, id, store.trunk(tonumber(id))) then return end
    end
  end)
end

-- Whether all trunks are ordered for this start of the node.
local function is_ordered(node, slot)
  local status, info = telephony.request(slot, "GET", "/asterisk/info")
  if status ~= 200 then return false end
  local key = rediskey("trunks:", node, ":", info.status and info.status.startup_time or "?")
  local function look() return redis.call("GET", key) == "done" end
  -- Nobody is telling it then, who could say afterwards that all is told.
  return look() or alone(node, function()
    return look() or (redis.call("DEL", told_key(node)) and redis.call("SET", key, "done", "EX", 30 * 86400)) ~= nil
  end) or false
end

--- Tells the slot's node of all trunks, once per start of the node, whoever comes first.
function trunks.reconcile(slot)
  while true do
    local at = telephony.slot(slot)
    if not at then return end
    if is_ordered(at.node, slot) then return tell(at.node, slot) end
    task.sleep(AGAIN_MS)
  end
end

--- A trunk was added or changed: every node is told, by whoever owns a slot there. Returns true | nil, err: it is not known
--- that they will be.
function trunks.changed(trunk)
  local kept, err = change:call({ versions_key() }, trunk.id)
  if not kept then return nil, err end
  redis.call("PUBLISH", rediskey("trunks"), trunk.id)  -- for speed only
  return true
end

--- Tells nodes of changes, at once when it hears of them and else at its next look; node_slots() gives one owned slot for each node.
function trunks.listen(node_slots)
  local function each(fn)
    return function()
      for node, slot in pairs(node_slots()) do task.spawn(fn, node, slot) end
    end
  end
  local look = each(tell)
  redis.subscribe(rediskey("trunks"), function()
    trunks.forget()
    look()
  end)
  timer.every(LOOK_MS, look)
  timer.every(REFUSED_MS, each(tell_refused))
end

-- What is wrong with a trunk as it is given, or nil. Its values go into Asterisk's configuration.
local function fault(given)
  if #given.name > 64 or not given.name:match("^[%w][%w._-]*$") then
    return "name", "must be 1 to 64 letters, digits and . _ -, beginning with a letter or digit"
  end
  if given.host and (#given.host > 255 or not given.host:match("^[%w%[][%w.:%]-]*$")) then return "host", "must be a name or an address" end
  if not (given.port and given.port % 1 == 0 and given.port >= 1 and given.port <= 65535) then return "port", "must be a number from 1 to 65535" end
  for match in given.match:gmatch("[^,]+") do
    if not match:match("^[%x.:]+$") and not match:match("^[%x.:]+/%d%d?%d?$") then
      return "match", ("must hold addresses or networks such as 192.0.2.0/28; '%s' is none"):format(match:sub(1, 60))
    end
  end
  if #given.match > 1000 then return "match", "must have at most 1000 characters together" end
  for _, e164 in ipairs(given.numbers or {}) do
    if not schema.formats.e164[2](e164) then return "numbers", ("must be like +12025550123; '%s' is not"):format(e164:sub(1, 40)) end
  end
end

--- Adds a tenant's trunk and number, or changes them; for the API and the command line. err.code "invalid" has err.field;
--- "not_told": all is written, but it is not known that nodes will be told.
--- @param given table  name, host (or nil), port, match (text, addresses parted by commas), numbers (list)
function trunks.set(tenant, given)
  local field, detail = fault(given)
  if field then return nil, { code = "invalid", field = field, text = ("the trunk's %s %s"):format(field, detail) } end
  local row = store.trunk_by_name(tenant.id, given.name)
  local id
  if row then
    store.trunk_change(row.id, given)
    id = row.id
  else
    local result, err = store.trunk_insert(tenant.id, given)
    if not result then return nil, err end
    id = result.insert_id
  end
  for _, e164 in ipairs(given.numbers or {}) do
    local result, err = store.number_insert(e164, tenant.id, id)
    if not result and err.code == "exists" then
      local owner = store.number(e164)
      if owner and owner.tenant_id ~= tenant.id then return nil, { code = "exists", text = "another tenant has the number " .. e164 } end
      store.number_change(e164, tenant.id, id)
    elseif not result then
      return nil, err
    end
  end
  local trunk = store.trunk(id)
  trunks.forget()
  local told, err = trunks.changed(trunk)
  if not told then return nil, { code = "not_told", text = ("the nodes could not be told (%s); set it again"):format(err.text) } end
  return trunk
end

return trunks
