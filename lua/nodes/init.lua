-- SPDX-License-Identifier: Apache-2.0
--- Asterisk nodes: those of the configuration, and those that are added and removed at run time.
---
--- The table `node` of the platform schema is the truth. Every worker of every host reads it at its start, whenever Redis tells
--- that it has changed, and every few seconds in case nothing was told, and gives its telephony what is new.
--- A removed node stays there as `leaving`: it gets no new calls, its calls end in their own time, and each of its slots is
--- released after its last one. A name in the configuration is the configuration's, whatever the table says.
local audit = require "audit"
local clock = require "core.clock"
local config = require "core.config"
local crypto = require "core.crypto"
local db = require "lib.db"
local keys = require "lib.keys"
local log = require "core.log"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local store = require "nodes.store"
local task = require "core.task"
local telephony = require "core.telephony"
local time = require "lib.time"
local timer = require "core.timer"

local nodes = {}

local READ_EVERY_MS = 5000
local GONE_S = 86400

local applied = {}  -- name -> "version status" as this worker has it
local leaving = {}  -- name -> true
local known = {}    -- name -> row, as read last
local asked, reading, unread = false, false, false

local function of_configuration(name)
  for _, node in ipairs(config.telephony and config.telephony.nodes or {}) do
    if node.name == name then return node end
  end
end

--- Is there a node of that name?
function nodes.has(name) return of_configuration(name) ~= nil or known[name] ~= nil end

--- Is there any node that takes calls?
function nodes.any()
  if #(config.telephony and config.telephony.nodes or {}) > 0 then return true end
  for _, row in pairs(known) do
    if row.status == "active" then return true end
  end
  return false
end

-- The dialplan of a closed node turns callers away at once (503), so that their carrier tries another.
local function set_closed(slot, closed)
  telephony.request(slot, "POST", "/asterisk/variable?variable=PARLEY_CLOSED&value=" .. (closed and "1" or "0"))
end

local function tell_node(name, closed)
  for _, slot in ipairs(telephony.status()) do
    if slot.mine and slot.state == "ready" and slot.slot:match("^(.-)%.") == name then
      task.spawn(set_closed, slot.slot, closed)
      return
    end
  end
end

--- A slot was connected: its node may have started since, and knows nothing then.
function nodes.connected(slot_name)
  local name = slot_name:match("^(.-)%.")
  if known[name] and not of_configuration(name) then set_closed(slot_name, leaving[name] or false) end
end

local function apply(row)
  local state = row.updated_at .. " " .. row.status
  if applied[row.name] == state then return end
  -- Whoever starts long after it left has nothing to do with it: its calls are over.
  if not applied[row.name] and row.status == "leaving" and clock.wall_us() - time.us(row.updated_at) > GONE_S * 1e6 then return end
  if of_configuration(row.name) then
    log.warn("node.hidden", { node = row.name, text = "the configuration has a node of this name; the added one is left aside" })
    applied[row.name] = state
    return
  end
  local password = crypto.open(keys.derive("nodes"), row.ari_password, "node:" .. row.name)
  if not password then
    log.error("node.unreadable", { node = row.name, text = "its password does not open: crypto.master_key is not the one it was made with" })
    applied[row.name] = state
    return
  end
  -- What is there comes back as it is given now.
  if applied[row.name] then telephony.remove_node(row.name) end
  local ok, err = telephony.add_node{ name = row.name, ari_url = row.ari_url, user = row.ari_user, password = password }
  if not ok then
    log.error("node.not_added", { node = row.name, text = err.text })
    applied[row.name] = state
    return
  end
  leaving[row.name] = row.status == "leaving" or nil
  if leaving[row.name] then telephony.remove_node(row.name) end
  applied[row.name] = state
  tell_node(row.name, leaving[row.name] or false)
  log.info("node.applied", { node = row.name, status = row.status })
end

-- Reads until nothing was told while it read.
local function read()
  asked = true
  if reading then return end
  reading = true
  while asked do
    asked = false
    local ok, problem = pcall(function()
      local rows = store.all()
      known = {}
      for _, row in ipairs(rows) do known[row.name] = row end
      for _, row in ipairs(rows) do apply(row) end
    end)
    local why = not ok and tostring(problem)
    if why and unread ~= why then log.warn("nodes.not_read", { text = why }) end
    unread = why
  end
  reading = false
end

local function tell()
  redis.call("PUBLISH", rediskey("nodes"), "changed")
end

local function own_transaction(write) return db.transaction(db.platform(), write) end

--- What is wrong with a node as it is given, or nil: field, detail.
function nodes.fault(given)
  if not (given.name or ""):match("^[a-z][a-z0-9]*$") or #given.name > 12 then
    return "name", "must be 1 to 12 of a-z and 0-9, beginning with a letter"
  end
  if not (given.ari_url or ""):match("^https?://[%w.:%[%]_-]+/?a?r?i?/?$") or #given.ari_url > 1024 then
    return "ari_url", "must be like http://host:port/ari"
  end
  if not (given.user or ""):match("^[%w._-]+$") or #given.user > 80 then return "user", "must be 1 to 80 letters, digits and . _ -" end
  if not given.password or #given.password < 1 or #given.password > 1024 then return "password", "must have 1 to 1024 bytes" end
  if given.sip and (#given.sip > 255 or not given.sip:match("^[%w.%[%]:_-]+:%d+$")) then return "sip", "must be host:port" end
end

--- Adds a node, or changes it (also one that was leaving). Returns its row, and whether it is new; nil, err.
--- @param options table  actor, trace, new = true: one that is there is not changed; run(write): calls write(tx) in a transaction of
---   the platform, nil: one of its own
function nodes.set(given, options)
  local field, detail = nodes.fault(given)
  if field then return nil, { code = "invalid", field = field, text = ("the node's %s %s"):format(field, detail) } end
  if of_configuration(given.name) then
    return nil, { code = "configured", text = ("node %s stands in the configuration, and is changed there"):format(given.name) }
  end
  local row = { name = given.name, ari_url = given.ari_url, ari_user = given.user, sip = given.sip,
    ari_password = crypto.seal(keys.derive("nodes"), given.password, "node:" .. given.name) }
  local function write(tx)
    local there = store.by_name(tx, given.name)
    if there and options.new and there.status == "active" then return false end
    if there then store.change(tx, there.id, row) else store.insert(tx, row) end
    audit.platform(tx, { actor = options.actor, action = there and "node.change" or "node.add", subject = given.name, trace = options.trace,
      fields = { "ari_url", "ari_user", "ari_password", "sip" } })
    return true, there == nil
  end
  local ok, is_new = (options.run or own_transaction)(write)
  if not ok then return nil, { code = "exists", text = ("there is a node %s already"):format(given.name) } end
  tell()
  return row, is_new
end

--- Takes a node out of service: true | nil, err.
function nodes.remove(name, options)
  if of_configuration(name) then
    return nil, { code = "configured", text = ("node %s stands in the configuration, and is removed there"):format(name) }
  end
  local there = (options.run or own_transaction)(function(tx)
    local row = store.by_name(tx, name)
    if not row then return false end
    if row.status ~= "leaving" then
      store.leave(tx, row.id)
      audit.platform(tx, { actor = options.actor, action = "node.remove", subject = name, trace = options.trace })
    end
    return true
  end)
  if not there then return nil, { code = "not_found", text = ("there is no node %s"):format(name) } end
  tell()
  return true
end

--- All nodes: { name, ari_url, user, sip, status, source = "configuration" | "added" }.
function nodes.list()
  local out = {}
  for _, node in ipairs(config.telephony and config.telephony.nodes or {}) do
    out[#out + 1] = { name = node.name, ari_url = node.ari_url, user = node.user, sip = node.sip, status = "active", source = "configuration" }
  end
  for _, row in ipairs(store.all()) do
    if not of_configuration(row.name) then
      out[#out + 1] = { name = row.name, ari_url = row.ari_url, user = row.ari_user, sip = row.sip, status = row.status, source = "added" }
    end
  end
  return out
end

--- For the worker: reads, listens and looks again.
function nodes.start()
  redis.subscribe(rediskey("nodes"), function() task.spawn(read) end)
  timer.every(READ_EVERY_MS, function() task.spawn(read) end)
  task.spawn(read)
end

return nodes
