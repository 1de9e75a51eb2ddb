-- SPDX-License-Identifier: Apache-2.0
local db = require "lib.db"

local store = {}

function store.by_id(name, id)
  return db.query(name, "SELECT id, code, name, platform, status FROM campaign WHERE id = ?", id)[1]
end

function store.by_code(name, code)
  return db.query(name, "SELECT id, code, name, platform, status FROM campaign WHERE code = ?", code)[1]
end

return store
