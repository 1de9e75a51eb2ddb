-- SPDX-License-Identifier: Apache-2.0
--- parley run tests/e2e/say_into.lua TENANT CALL FILE: adds the utterances of a file of JSON (as calls.transcript takes them) to a call.
local file = require "core.file"
local json = require "core.json"
local store = require "calls.store"
local tenants = require "tenants"
local transcript = require "calls.transcript"

local slug, id, path = ...
local tenant = assert(tenants.get(slug))
local row = assert(store.by_public_id(tenant.db, id))
local call = { id = id, row_id = row.id, tenant = tenant, slot = row.slot, fence = row.fence }
for _, utterance in ipairs(assert(json.decode(assert(file.read(path))))) do transcript.add(call, utterance) end
transcript.finish(call)
assert(transcript.settle(10000), "not all of it was written")
