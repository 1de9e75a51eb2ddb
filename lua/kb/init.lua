-- SPDX-License-Identifier: Apache-2.0
--- The knowledge base: what a tenant's AI may know, found by words. Today it is the kb/*.md of the tenant's bundle, so it changes when
--- a version is published; whoever asks here need not know that.
---
--- A passage: { id = "kb/prices.md:12", file, heading, line, text, score = of BM25, share = how much of the question it has, 0 to 1 }
---
--- Each worker builds the index of a version when somebody first asks, in slices, and keeps those used last. A version of the knowledge
--- base is known by its own bytes: a bundle that changes only flows leaves it, and what hangs on it, as it is.
local chunks = require "kb.chunks"
local crypto = require "core.crypto"
local index = require "kb.index"
local log = require "core.log"
local metrics = require "core.metrics"
local promise = require "lib.promise"
local redis = require "core.redis"
local rediskey = require "lib.rediskey"
local scripts = require "scripts"
local task = require "core.task"

local kb = {}

--- Bytes of one knowledge base that are read; the rest is left out, and the log says so.
kb.MOST_BYTES = 4 * 1024 * 1024
local MOST_CHUNKS = 20000
local KEPT_BYTES = 32 * 1024 * 1024  -- of text whose indexes a worker keeps; the one asked for always
local KEPT_NAMES = 1024
local MOST_HEADINGS = 200
local SLICE_BYTES = 32 * 1024        -- read between two turns of the loop: about a millisecond

local built = {}   -- tenant id:version of the knowledge base -> { ready = promise of index or nil, bytes, used }
local named = {}   -- tenant id:hash of the bundle -> version of the knowledge base
local names = {}   -- the keys of named, the oldest first
local clock = 0

local function step()
  local left = SLICE_BYTES
  return function(bytes)
    left = left - bytes
    if left > 0 then return end
    left = SLICE_BYTES
    task.sleep(0)
  end
end

-- The files of a bundle that are knowledge, in order, and how many bytes were left out.
local function papers(files)
  local list, size, left_out = {}, 0, 0
  for _, file in ipairs(files) do
    if file.path:find("^kb/.+%.md$") then
      if size + #file.data > kb.MOST_BYTES then
        left_out = left_out + #file.data
      else
        size = size + #file.data
        list[#list + 1] = file
      end
    end
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list, size, left_out
end

local function version_of(files)
  local sums = {}
  for i, file in ipairs(files) do sums[i] = #file.path .. ":" .. file.path .. crypto.sha256(file.data) end
  return crypto.hex(crypto.sha256(table.concat(sums)))
end

--- Builds the index of files that are at hand: for tests of bundles and for whoever has no version.
--- @param files table  list of { path, data }; those in kb/ that end in .md are taken
--- @param pause function|nil  told of bytes read; may wait
function kb.build(files, pause)
  local list = {}
  for _, file in ipairs((papers(files))) do chunks.add(list, file.path, file.data, pause, MOST_CHUNKS) end
  return index.new(list, pause)
end

local function evict(keep)
  local total = 0
  for _, entry in pairs(built) do total = total + entry.bytes end
  while total > KEPT_BYTES do
    local oldest
    for key, entry in pairs(built) do
      if key ~= keep and entry.ready:given() and (not oldest or entry.used < built[oldest].used) then oldest = key end
    end
    if not oldest then return end
    total = total - built[oldest].bytes
    built[oldest] = nil
  end
end

local function remember(name, version)
  named[name] = version
  names[#names + 1] = name
  if #names > KEPT_NAMES then named[table.remove(names, 1)] = nil end
end

-- The index of a bundle's knowledge base and its version; nil, err when the bundle cannot be read. Waits.
local function opened(tenant, hash)
  local name = tenant.id .. ":" .. hash
  local version = named[name]
  local entry = version and built[tenant.id .. ":" .. version]
  if not entry then
    local files = scripts.files(tenant, hash)
    if not files then return nil, { code = "not_found", text = "there is no version " .. hash:sub(1, 12) } end
    local own, bytes, left_out = papers(files)
    version = version_of(own)
    if not named[name] then
      remember(name, version)
      if left_out > 0 then log.warn("kb.left_out", { tenant = tenant.slug, hash = hash:sub(1, 12), bytes = left_out, most = kb.MOST_BYTES }) end
    end
    local key = tenant.id .. ":" .. version
    entry = built[key]
    if not entry then
      entry = { ready = promise.new(), bytes = bytes, used = 0 }
      built[key] = entry
      local ok, made = pcall(kb.build, own, step())
      if not ok then
        built[key] = nil
        entry.ready:give(nil, tostring(made))
        error(made, 0)
      end
      entry.ready:give(made)
      evict(key)
    end
  end
  clock = clock + 1
  entry.used = clock
  local found, why = entry.ready:wait()
  if not found then return nil, { code = "failed", text = "the knowledge base cannot be read: " .. tostring(why) } end
  return found, version
end

--- Looks for what answers a question, in the tenant's own knowledge base and in no other. Waits.
--- @param question string  any text
--- @param options table|nil  limit = passages at most (4), version = hash of the bundle a call is pinned to (else the live one)
--- @return table|nil  list of passages, the best first (empty: nothing has any of the words), string version of the knowledge base;
---   nil, { code = "no_kb" (nothing is published), "not_found" | "failed", text = }
function kb.search(tenant, question, options)
  options = options or {}
  local hash = options.version or scripts.live(tenant)
  if not hash then return nil, { code = "no_kb", text = "no version is live, so there is no knowledge base" } end
  local found, version = opened(tenant, hash)
  if not found then return nil, version end
  local passages = {}
  for i, hit in ipairs(found:search(question, options.limit or 4)) do
    local chunk = hit.chunk
    passages[i] = { id = chunk.file .. ":" .. chunk.line, file = chunk.file, heading = chunk.heading, line = chunk.line, text = chunk.text,
      score = hit.score, share = hit.share }
  end
  metrics.count("kb_searches_total", { result = #passages > 0 and "found" or "nothing" }, 1, "questions to knowledge bases")
  return passages, version
end

--- What a knowledge base is about: the headings of its passages ("Prices > Roof"), each once, in their order. Waits.
--- @param hash string|nil  of a bundle, else the live one
--- @return table|nil  list of texts (empty: there is no knowledge base); nil, err as kb.search has it
function kb.headings(tenant, hash, most)
  hash = hash or scripts.live(tenant)
  if not hash then return nil, { code = "no_kb", text = "no version is live, so there is no knowledge base" } end
  local found, err = opened(tenant, hash)
  if not found then return nil, err end
  local list, seen = {}, {}
  for _, chunk in ipairs(found.chunks) do
    if #list >= (most or MOST_HEADINGS) then break end
    if chunk.heading ~= "" and not seen[chunk.heading] then
      seen[chunk.heading] = true
      list[#list + 1] = chunk.heading
    end
  end
  return list
end

--- The version of the knowledge base that a search would ask: text; nil, err as kb.search has it. Waits when it is not known yet.
--- @param hash string|nil  of a bundle, else the live one
function kb.version(tenant, hash)
  hash = hash or scripts.live(tenant)
  if not hash then return nil, { code = "no_kb", text = "no version is live, so there is no knowledge base" } end
  local version = named[tenant.id .. ":" .. hash]
  if version then return version end
  local found
  found, version = opened(tenant, hash)
  if not found then return nil, version end
  return version
end

-- A version was published: where the tenant's knowledge base is in use here, the next question shall not wait for it.
local function warm_up(message)
  local id, hash = message:match("^(%d+) (%x+)$")
  if not id or #hash ~= 64 then return end
  local used
  for key in pairs(built) do used = used or key:find(id .. ":", 1, true) == 1 end
  if not used then return end
  local ok, err = pcall(function()
    local tenant = require("tenants").get(tonumber(id))
    if tenant then opened(tenant, hash) end
  end)
  if not ok then log.info("kb.not_warm", { tenant_id = tonumber(id), hash = hash:sub(1, 12), text = tostring(err) }) end
end

--- Listens for versions that are published.
function kb.start()
  return redis.subscribe(rediskey("bundles"), function(message) task.spawn(warm_up, message) end)
end

return kb
