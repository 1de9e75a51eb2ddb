-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

function store.by_id(target, id)
  return db.on(target, "SELECT id, code, name, platform, status FROM campaign WHERE id = ?", id)[1]
end

function store.by_code(target, code)
  return db.on(target, "SELECT id, code, name, platform, status FROM campaign WHERE code = ?", code)[1]
end

return store
