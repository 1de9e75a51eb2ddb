-- SPDX-License-Identifier: Apache-2.0
--- What a tenant may be called. No I/O.
local schema = require "lib.schema"

local rules = {}

local reserved = { platform = true, admin = true, api = true, www = true, parley = true, system = true, public = true }

--- nil when the slug may be used, else why not.
function rules.slug_fault(slug)
  if #slug < 2 or #slug > 40 then return "must have 2 to 40 characters" end
  if not slug:match("^%l[%l%d%-]*$") or slug:sub(-1) == "-" then
    return "must be small letters, digits and inner hyphens, beginning with a letter"
  end
  if reserved[slug] then return "is reserved; choose another" end
end

--- nil when the region may be used, else why not.
function rules.region_fault(region)
  if not region:match("^%u%u$") then return "must be a country code of two capital letters, like US" end
end

--- nil when somebody may log in with this e-mail, else why not.
function rules.email_fault(email)
  if not schema.formats.email[2](email) then return "must be " .. schema.formats.email[1] end
end

--- nil when the password may be used, else why not.
function rules.password_fault(password)
  if #password < 8 then return "must have at least 8 characters" end
  if #password > 256 then return "must have at most 256 bytes" end
end

return rules
