-- SPDX-License-Identifier: Apache-2.0
--- Trunks and numbers: whose call it is, and how Asterisk nodes are told of trunks.
--- Tenant = (trunk, dialled number): both must agree. A trunk's endpoint on a node is "t<trunk id>"; nodes get their
--- trunks over ARI's dynamic configuration, once per start of the node and again when a trunk is changed.
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

local trunks = {}

local CACHE_MS = 5000
local CACHE_MOST = 4096  -- keys: carriers dial whatever they like, also numbers that nobody has
local MATCHES_MOST = 500 -- addresses of one trunk: the column has 1000 characters
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
local function put(slot, kind, id, fields)
  local list = {}
  for i, field in ipairs(fields) do list[i] = { attribute = field[1], value = field[2] } end
  local status, body = telephony.request(slot, "PUT", ("/asterisk/config/dynamic/res_pjsip/%s/%s"):format(kind, id), { fields = list })
  if status ~= 200 then
    local text = type(body) == "table" and (body.text or body.message) or ""
    log.error("trunk.not_set", { slot = slot, kind = kind, id = id, status = status, text = text })
  end
  return status == 200
end

-- An aor's contact and an identify's match are never changed: what is PUT is added to what was there. So they are made
-- anew, and left alone when they are as they should be, because calls are refused between the two requests.
local function put_anew(slot, kind, id, fields, wanted)
  local path = ("/asterisk/config/dynamic/res_pjsip/%s/%s"):format(kind, id)
  local status, now = telephony.request(slot, "GET", path)
  if status == 200 then
    local same = true
    for _, field in ipairs(now) do same = same and (wanted[field.attribute] or field.value) == field.value end
    if same then return true end
    telephony.request(slot, "DELETE", path)
  end
  return put(slot, kind, id, fields)
end

--- Makes one trunk on the slot's node. Endpoint before identify: an identify for a missing endpoint answers 401.
function trunks.provision(slot, trunk)
  local id = trunks.endpoint(trunk)
  local contact = trunk.host and ("sip:%s:%d"):format(trunk.host, trunk.port) or ""
  local ok = put_anew(slot, "aor", id, { contact ~= "" and { "contact", contact } or { "max_contacts", "0" } }, { contact = contact })
  ok = put(slot, "endpoint", id, {
    { "context", "parley-in" }, { "disallow", "all" }, { "allow", "ulaw,alaw" }, { "aors", id }, { "direct_media", "no" },
    { "transport", "transport-udp" }, { "rtp_symmetric", "yes" }, { "dtmf_mode", "rfc4733" }, { "rtp_timeout", "60" },
    -- A name and no number. Nothing at all is stored as "<unknown>", which Asterisk reads as the number of every caller
    -- when it starts again; a number would be every caller's.
    { "callerid", "Parley" },
  }) and ok
  local n = 0
  for match in (trunk.match or ""):gmatch("[^,%s]+") do
    n = n + 1
    -- One address each: that is all Asterisk keeps of a list.
    ok = put_anew(slot, "identify", ("%s-%d"):format(id, n), { { "endpoint", id }, { "match", match } },
      { endpoint = id, match = match:match("^[%d.]+$") and match .. "/255.255.255.255" or match }) and ok
  end
  -- Addresses it had before and has no more: who calls from there is not this trunk any longer.
  for gone = n + 1, n + MATCHES_MOST do
    local status = telephony.request(slot, "DELETE", ("/asterisk/config/dynamic/res_pjsip/identify/%s-%d"):format(id, gone))
    if status ~= 204 then break end
  end
  return ok
end

--- Tells the slot's node of all trunks, once per start of the node, whoever comes first.
function trunks.reconcile(slot)
  local at = telephony.slot(slot)
  if not at then return end
  local status, info = telephony.request(slot, "GET", "/asterisk/info")
  if status ~= 200 then return end
  local boot = info.status and info.status.startup_time or "?"
  local key = rediskey("trunks:", at.node, ":", boot)
  local mine = redis.call("SET", key, "doing", "NX", "EX", 30)
  if not mine or mine == redis.null then return end
  local after, ok, count = 0, true, 0
  while true do
    local rows = store.trunks_after(after, 200)
    for _, trunk in ipairs(rows) do
      ok = trunks.provision(slot, trunk) and ok
      after, count = trunk.id, count + 1
    end
    if #rows < 200 then break end
  end
  if ok then redis.call("SET", key, "done", "EX", 30 * 86400) else redis.call("DEL", key) end
  log.info("node.trunks_set", { node = at.node, trunks = count, ok = ok })
end

--- A trunk was added or changed: every node is told, by whoever owns a slot there.
function trunks.changed(trunk)
  redis.call("PUBLISH", rediskey("trunks"), trunk.id .. " " .. crypto.hex(crypto.random(8)))
end

local TRIES, AGAIN_MS = 6, 1000  -- each wait is that much longer than the one before

-- A slot in motion or an Asterisk that is busy takes nothing for a moment; without another try the node would know nothing of it until it starts again.
local function is_told(node_slots, node, id)
  local slot, trunk = node_slots()[node], store.trunk(id)  -- as it is by now
  return not trunk or slot ~= nil and trunks.provision(slot, trunk)
end

local function tell(node_slots, node, id)
  for try = 1, TRIES do
    local ok, told = pcall(is_told, node_slots, node, id)
    if ok and told then return end
    task.sleep(try * AGAIN_MS)
  end
  log.warn("trunk.not_told", { node = node, trunk = id, text = "the node has not taken it; set it again, or start the node again" })
end

--- Listens for changes; node_slots() gives one owned slot for each node.
function trunks.listen(node_slots)
  redis.subscribe(rediskey("trunks"), function(message)
    trunks.forget()
    local id = tonumber(message:match("^%d+"))
    for node in pairs(node_slots()) do
      -- One worker for each node: two that delete and make the same objects undo each other.
      local mine = redis.call("SET", rediskey("trunk-change:", node, ":", message), "1", "NX", "EX", 60)
      if mine and mine ~= redis.null then task.spawn(tell, node_slots, node, id) end
    end
  end)
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

--- Adds a tenant's trunk and number, or changes them; for the API and the command line. err.code "invalid" has err.field.
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
  trunks.changed(trunk)
  return trunk
end

return trunks
