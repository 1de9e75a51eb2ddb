-- SPDX-License-Identifier: Apache-2.0
--- The verb journal of one visit to a state: what was asked and what came of it. Pure; keeping it is the caller's.
---
--- An entry: { name =, args = hash of the arguments, given = the arguments where small, done = bool, ok =, value =, more = what a
--- running verb wants kept }.
--- Asking for entry n again gives the recorded result ("replay"), takes up what was begun ("resume"), or begins ("begin").
--- Another verb than the journal holds is "diverged": the script is not deterministic.
local crypto = require "core.crypto"
local json = require "core.json"

local journal = {}
journal.__index = journal

journal.MAX_ENTRIES = 1000
journal.MAX_BYTES = 256 * 1024
journal.GIVEN_BYTES = 512  -- larger arguments are known by their hash only
journal.SECRET = "done"  -- all that is written of what was gathered in secret

--- What arguments are known by: a hash, and the arguments themselves where they are small; nil, one line for the script's author.
--- @param unwritten boolean|nil  the journal is only in memory: the arguments' text will do for a hash
function journal.arguments(args, unwritten)
  local ok, text = pcall(json.encode, args)
  if not ok then return nil, (tostring(text):gsub("^.-:%d+: ", "")) end
  if unwritten then return text end
  return crypto.hex(crypto.sha256(text)):sub(1, 24), #text <= journal.GIVEN_BYTES and args or nil
end

--- What math.random of a visit starts from.
function journal.seed(seed, visit) return (seed + visit * 7919) % 2 ^ 31 end

--- @param entries table|nil  as loaded from the record, by n
function journal.new(entries)
  return setmetatable({ entries = entries or {}, bytes = 0 }, journal)
end

--- @param arguments string, given table|nil  from journal.arguments
--- @return string, table  what to do, and the entry
function journal:ask(n, name, arguments, given)
  local entry = self.entries[n]
  if entry then
    if entry.name ~= name or entry.args ~= arguments then return "diverged", entry end
    if entry.done then return "replay", entry end
    return "resume", entry
  end
  -- A script waits for each answer; what asks for the next one before is no script.
  if n ~= #self.entries + 1 or (n > 1 and not self.entries[n - 1].done) then return "diverged", { name = "nothing" } end
  if n > journal.MAX_ENTRIES then return "full", { name = name } end
  entry = { name = name, args = arguments, given = given, done = false }
  self.entries[n] = entry
  return "begin", entry
end

--- Forgets entry n and what follows, and says which: { n, ... }.
function journal:forget_from(n)
  local gone = {}
  for k = #self.entries, n, -1 do
    self.entries[k] = nil
    gone[#gone + 1] = k
  end
  return gone
end

--- An entry as it may be written.
function journal.kept(entry)
  if not (entry.secret and entry.done and entry.ok) then return entry end
  return { name = entry.name, args = entry.args, given = entry.given, done = true, ok = true, value = journal.SECRET, secret = true }
end

--- Records the result. bytes: how large the entry is as kept; false when the journal is now too large.
function journal:finish(n, ok, value, bytes)
  local entry = self.entries[n]
  entry.done, entry.ok, entry.value = true, ok, value
  self.bytes = self.bytes + (bytes or 0)
  return self.bytes <= journal.MAX_BYTES
end

return journal
