-- SPDX-License-Identifier: Apache-2.0
--- Campaigns, as far as leads and calls refer to them. A public id is "cm_..."; a campaign may also have a code of the
--- tenant's choice, and requests may use either.
local ids = require "lib.ids"
local store = require "campaigns.store"

local campaigns = {}

--- The campaign meant by a public id or code: { id (row), code, name, platform, status }, or nil.
--- @param tx table|nil  the caller's transaction, when in one
function campaigns.find(tenant, text, tx)
  local id = ids.decode("cm", text)
  if id then return store.by_id(tx or tenant.db, id) end
  return store.by_code(tx or tenant.db, text)
end

--- How answers name a campaign.
function campaigns.public_id(id)
  return ids.encode("cm", id)
end

return campaigns
