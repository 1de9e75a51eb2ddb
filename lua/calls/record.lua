-- SPDX-License-Identifier: Apache-2.0
--- The copy of a call in Redis, for its successor. Everything but the fence is sealed with the tenant's key.
---
---   {prefix}call:{n1.7}:<id>   hash: fence, tenant, head (sealed JSON), j<visit>.<n>, figures (sealed JSON), digits (sealed)
---   {prefix}calls:{n1.7}       set of the ids of the slot's calls
---   {prefix}ended:{n1.7}:<id>  for some minutes: the fence up to which nobody writes the record anew
---
--- A write with an older fence than the record's is refused ("stale"): somebody else owns the call now. A removal is final for its
--- fence and all below it: a write of the owner's own that was slower than its removal is refused too ("ended"). Only a later
--- owner, with a higher fence, may write the record again.
--- While Redis is away writes fail with "closed"; the call goes on and the owner writes it again when Redis is back.
local crypto = require "core.crypto"
local fences = require "calls.fence"
local json = require "core.json"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local task = require "core.task"

local record = {}

local AGAIN_MS = 500
local ENDED_S = 300

-- KEYS: call, set, ended. ARGV: fence, id, the visit if all is written (else 0), how many fields to delete, names..., then name value pairs.
local write = redis.script [=[
  local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
  local ended = tonumber(redis.call('GET', KEYS[3]) or '0')
  local mine = tonumber(ARGV[1])
  if fence > mine or ended > mine then return 'stale' end
  if ended == mine then return 'ended' end
  local visit, drop = tonumber(ARGV[3]), tonumber(ARGV[4])
  local set, given = { 'fence', ARGV[1] }, {}
  for i = 5 + drop, #ARGV, 2 do
    set[#set + 1], set[#set + 2] = ARGV[i], ARGV[i + 1]
    given[ARGV[i]] = true
  end
  if drop > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV, 5, 4 + drop)) end
  for _, name in ipairs(visit > 0 and redis.call('HKEYS', KEYS[1]) or {}) do
    local of = tonumber(string.match(name, '^[hj](%d+)'))
    if of and of < visit and not given[name] then redis.call('HDEL', KEYS[1], name) end
  end
  redis.call('HSET', KEYS[1], unpack(set))
  redis.call('EXPIRE', KEYS[1], 172800)
  redis.call('SADD', KEYS[2], ARGV[2])
  local t = redis.call('TIME')
  return string.format('%d%06d', t[1], t[2])
]=]

-- KEYS: call, set, ended. ARGV: fence, id, up to which fence nobody writes it anew, for how many seconds.
local remove = redis.script [[
  local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
  local ended = tonumber(redis.call('GET', KEYS[3]) or '0')
  if fence > tonumber(ARGV[1]) or ended > tonumber(ARGV[1]) then return 'stale' end
  redis.call('DEL', KEYS[1])
  redis.call('SREM', KEYS[2], ARGV[2])
  if ended <= tonumber(ARGV[3]) then redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[4]) end
  local t = redis.call('TIME')
  return string.format('%d%06d', t[1], t[2])
]]

local function call_key(slot, id) return rediskey("call:{", slot, "}:", id) end
local function ended_key(slot, id) return rediskey("ended:{", slot, "}:", id) end
local function set_key(slot) return rediskey("calls:{", slot, "}") end

local seal_keys = setmetatable({}, { __mode = "k" })
local function seal_key(tenant)
  local key = seal_keys[tenant]
  if not key then
    key = crypto.derive(tenant.key, "call-record")
    seal_keys[tenant] = key
  end
  return key
end

local function answer(slot, id, fence, reply, err)
  if not reply then return nil, err end
  if reply == "stale" then
    fences.refused("record", slot, id, fence)
    return nil, { code = "stale", text = "another worker owns the call now" }
  end
  if reply == "ended" then return nil, { code = "ended", text = "the call has ended, and its record is removed" } end
  fences.passed("record", slot, id, fence, reply)
  return true
end

-- Values are sealed here.
local function put(tenant, slot, id, fence, fields, drop, visit)
  local args = { fence, id, visit, drop and #drop or 0 }
  for _, name in ipairs(drop or {}) do args[#args + 1] = name end
  args[#args + 1] = "tenant"
  args[#args + 1] = tenant.id
  for name, value in pairs(fields) do
    args[#args + 1] = name
    args[#args + 1] = crypto.seal(seal_key(tenant), json.encode(value), id .. ":" .. name)
  end
  return answer(slot, id, fence, write:call({ call_key(slot, id), set_key(slot), ended_key(slot, id) }, unpack(args)))
end

--- Writes fields and drops others.
--- @param fields table  name -> Lua value (kept as JSON)
--- @param drop table|nil  names
function record.write(tenant, slot, id, fence, fields, drop) return put(tenant, slot, id, fence, fields, drop, 0) end

--- Writes all there is of a call. What the record still has of visits before this one and is not in fields goes: the write
--- that was to drop it may have failed. (Of later ones nothing goes: a write that came after may have been quicker.)
function record.write_all(tenant, slot, id, fence, fields, visit) return put(tenant, slot, id, fence, fields, nil, visit) end

local function take_away(slot, id, fence, final)
  return answer(slot, id, fence, remove:call({ call_key(slot, id), set_key(slot), ended_key(slot, id) }, fence, id, final, ENDED_S))
end

--- The call has ended.
function record.remove(slot, id, fence) return take_away(slot, id, fence, fence) end

--- What is there is of no use, but the call may live: who has this fence may write its record anew, and nobody before. Half a fence, which
--- nobody has: whoever writes late, with whatever older one, hears that the call is another's, not that he has ended it himself.
function record.clear(slot, id, fence) return take_away(slot, id, fence, fence - 0.5) end

-- Records of calls that have ended while Redis was away: id -> { slot, fence }. Of the call itself nothing is kept: an outage may
-- be long, and calls are many.
local due, removing = {}, false

local function remove_due()
  local ids, away = {}, {}
  for id in pairs(due) do ids[#ids + 1] = id end
  for _, id in ipairs(ids) do
    local slot, fence = due[id].slot, due[id].fence
    if not away[slot] then
      local ok, err = record.remove(slot, id, fence)
      if ok or err.code == "stale" then due[id] = nil else away[slot] = true end
    end
  end
end

--- Removes a record, or does so when Redis is back. One that is left there nevertheless is taken up again, and its call found ended.
function record.remove_surely(slot, id, fence)
  local ok, err = record.remove(slot, id, fence)
  if ok or err.code == "stale" then return end
  due[id] = { slot = slot, fence = fence }
  if removing then return end
  removing = true
  task.spawn(function()
    while next(due) do
      task.sleep(AGAIN_MS)
      remove_due()
    end
    removing = false
  end)
end

--- Whether a record that is there waits to be removed.
function record.is_due(id) return due[id] ~= nil end

--- Ids of the calls a slot has records of.
function record.list(slot)
  local ids, err = redis.call("SMEMBERS", set_key(slot))
  if not ids then return nil, err end
  return ids
end

--- Whether a call has a record: boolean | nil, err.
function record.exists(slot, id)
  local found, err = redis.call("EXISTS", call_key(slot, id))
  if not found then return nil, err end
  return found == 1
end

--- @param find_tenant function(id) -> tenant record
--- @return table|nil  { tenant =, fence =, fields = { name = value } }; nil when there is none; nil, err
function record.read(slot, id, find_tenant)
  local reply, err = redis.call("HGETALL", call_key(slot, id))
  if not reply then return nil, err end
  if #reply == 0 then return nil end
  local raw = {}
  for i = 1, #reply, 2 do raw[reply[i]] = reply[i + 1] end
  local tenant = find_tenant(tonumber(raw.tenant))
  if not tenant then return nil, { code = "not_found", text = "the call's tenant is gone" } end
  local fields = {}
  for name, sealed in pairs(raw) do
    if name ~= "fence" and name ~= "tenant" then
      local text, problem = crypto.open(seal_key(tenant), sealed, id .. ":" .. name)
      if not text then return nil, problem end
      fields[name] = json.decode(text)
    end
  end
  return { tenant = tenant, fence = tonumber(raw.fence), fields = fields }
end

--- A record whose call is not anybody's any more (its slot's set names it, its hash is gone).
function record.forget(slot, id)
  return redis.call("SREM", set_key(slot), id)
end

return record
