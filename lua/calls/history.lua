-- SPDX-License-Identifier: Apache-2.0
--- What the states of a call asked for and were answered, visit by visit, for replay (flow.replay).
---
--- A visit that has ended is one text (JSON): { visit, state, data on entry, verbs = { { name, args, given, done, ok, value,
--- secret } }, how } with how as in flow's visited(); why or error where the state was given one. In the call's record it is the
--- field h<visit>, written together with what is written next anyway. A call holds at most MAX_BYTES of them: its first
--- visits stay, then the oldest make room, and { gap = how many, visit = the first } stands in their place. Of a visit that
--- is too large itself its last verbs are left out (cut = how many).
--- Cards' numbers in its texts are masked, and the groups in which one was gathered (calls.card_parts): a replay that needs one goes another way
--- there.
--- At the call's end all of it is packed, sealed and written into its row: { form, file, hash, seed, info, visits }.
local card_parts = require "calls.card_parts"
local deflate = require "core.deflate"
local journal = require "flow.journal"
local json = require "core.json"
local pii = require "lib.pii"
local redact = require "ai.guard.redact"
local task = require "core.task"

local history = {}
history.__index = history

history.MAX_BYTES = 256 * 1024
history.FIRST_BYTES = 64 * 1024  -- of the first visits, which always stay
history.VISIT_BYTES = 64 * 1024
local OPEN_BYTES = 1024 * 1024   -- more than any that was packed
local FORM = 1
local AGAIN_MS = 50  -- when too many others are being packed

local function field(visit) return ("h%d"):format(visit) end
local function gap_text(gap, visit) return ('{"gap":%d,"visit":%d}'):format(gap, visit) end

--- @param fields table|nil  of a call's record
function history.new(fields)
  local new = setmetatable({ visits = {}, bytes = 0, due = {}, gone = {} }, history)
  for name, text in pairs(fields or {}) do
    local visit = name:match("^h(%d+)$")
    if visit then
      local gap = text:match('^{"gap":(%d+)')
      table.insert(new.visits, { visit = tonumber(visit), text = text, gap = tonumber(gap) })
      new.bytes = new.bytes + #text
    end
  end
  table.sort(new.visits, function(a, b) return a.visit < b.visit end)
  return new
end

function history:has(visit)
  local last = self.visits[#self.visits]
  return last ~= nil and last.visit >= visit
end

-- Takes out the oldest visit that is none of the first; false when there is none but the newest.
local function make_room(self)
  local at, bytes = 1, 0
  while self.visits[at] and not self.visits[at].gap and bytes + #self.visits[at].text <= history.FIRST_BYTES do
    bytes = bytes + #self.visits[at].text
    at = at + 1
  end
  local first = self.visits[at]
  local leaves = first.gap and at + 1 or at
  if leaves >= #self.visits then return false end
  local left = self.visits[leaves]
  self.bytes = self.bytes - #left.text
  if first.gap then
    table.remove(self.visits, leaves)
    self.due[field(left.visit)] = nil
    table.insert(self.gone, field(left.visit))
    self.bytes = self.bytes - #first.text
  end
  first.gap = (first.gap or 0) + 1
  first.text = gap_text(first.gap, first.visit)
  self.bytes = self.bytes + #first.text
  self.due[field(first.visit)] = first.text
  return true
end

--- Adds a visit that has ended.
function history:add(visit, text)
  table.insert(self.visits, { visit = visit, text = text })
  self.bytes = self.bytes + #text
  self.due[field(visit)] = text
  while self.bytes > history.MAX_BYTES and make_room(self) do end
end

-- Puts what is shown of a visit that has ended in place of what was.
local function replace(self, one, shown)
  self.bytes = self.bytes - #one.text
  one.text = json.encode(shown)
  self.bytes = self.bytes + #one.text
  self.due[field(one.visit)] = one.text
end

--- What a verb gave in a visit that has ended is known for a secret now. Returns what it gave, or nil.
function history:make_secret(visit, n)
  local value
  for _, one in ipairs(self.visits) do
    local shown = one.visit == visit and not one.gap and json.decode(one.text)
    local verb = shown and shown.verbs[n]
    if verb and verb.done and verb.ok and not verb.secret then
      value = verb.value
      verb.value, verb.secret = journal.SECRET, true
      replace(self, one, shown)
    end
  end
  return value
end

--- Takes what is masked now out of the data and verbs of visits that have ended.
--- @param masked fun(value): any  the value itself where nothing is to be taken out
function history:mask(masked)
  for _, one in ipairs(self.visits) do
    local shown, changed = not one.gap and json.decode(one.text) or nil, false
    local function look(of, name)
      local own = masked(of[name])
      if own ~= of[name] then of[name], changed = own, true end
    end
    if shown then
      look(shown, "data")
      look(shown.how, "data")
      for _, verb in ipairs(shown.verbs) do
        look(verb, "given")
        look(verb, "value")
      end
    end
    if changed then replace(self, one, shown) end
  end
end

--- What is to be written, and dropped, with the next write to the record: fields, drop, with what the record has not yet.
function history:unwritten(fields, drop)
  if next(self.due) then
    for name, text in pairs(self.due) do fields[name] = text end
    self.due = {}
  end
  if self.gone[1] then
    drop = drop or {}
    for _, name in ipairs(self.gone) do drop[#drop + 1] = name end
    self.gone = {}
  end
  return fields, drop
end

--- All of it, for a record that is written whole.
function history:all(fields)
  for _, visit in ipairs(self.visits) do fields[field(visit.visit)] = visit.text end
end

local function masked(call, value) return card_parts.masked(call, redact.cards_in(value)) end

local function verb_text(call, entry)
  entry = journal.kept(entry)
  return json.encode{ name = entry.name, args = entry.args, given = masked(call, entry.given), done = entry.done, ok = entry.ok,
    value = masked(call, entry.value), secret = entry.secret }
end

--- The text of the visit that a call is in.
--- @param how table  as in flow's visited()
function history.visit(call, how)
  local verbs, bytes = {}, 0
  for n, entry in ipairs(call.journal.entries) do
    local text = verb_text(call, entry)
    bytes = bytes + #text
    if bytes > history.VISIT_BYTES then break end
    verbs[n] = text
  end
  local cut = #call.journal.entries - #verbs
  if how.data then
    local shown = {}
    for name, value in pairs(how) do shown[name] = value end
    shown.data = masked(call, how.data)
    how = shown
  end
  local head = json.encode{ visit = call.visit, state = call.state, data = masked(call, call.data), how = how, cut = cut > 0 and cut or nil,
    why = call.state == "ended" and call.why or nil, error = call.state == "failed" and call.error_text or nil }
  return ('%s,"verbs":[%s]}'):format(head:sub(1, -2), table.concat(verbs, ","))
end

local function packed(text)
  local bytes = deflate.pack(text)
  while not bytes do
    task.sleep(AGAIN_MS)
    bytes = deflate.pack(text)
  end
  return bytes
end

--- The bytes for the call's row; nil when its flow never ran. May wait.
function history.pack(call)
  local texts = {}
  for i, visit in ipairs(call.history.visits) do texts[i] = visit.text end
  if #texts == 0 then return nil end
  local head = json.encode{ form = FORM, file = call.file, hash = call.hash, seed = call.seed, info = { id = call.id, from = call.from, to = call.to,
    direction = call.direction, started_us = call.started_us, route = call.route } }
  local text = ('%s,"visits":[%s]}'):format(head:sub(1, -2), table.concat(texts, ","))
  return pii.seal(call.tenant, "call.journal", packed(text))
end

--- What pack() packed. Raises when it is not that: damage, not input.
function history.open(tenant, bytes)
  local text, err = deflate.unpack(pii.open(tenant, "call.journal", bytes), OPEN_BYTES)
  local opened = text and json.decode(text)
  if not opened or opened.form ~= FORM then
    error(("a journal of tenant %s does not open: %s"):format(tenant.slug, err and err.text or "it has another form"), 0)
  end
  return opened
end

return history
