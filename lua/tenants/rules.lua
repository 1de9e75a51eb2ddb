-- SPDX-License-Identifier: Apache-2.0
--- What a tenant may be called, and which limits it may have of its own. No I/O.
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

local function whole(minimum, maximum, doc) return { type = "integer", minimum = minimum, maximum = maximum, description = doc } end

--- The limits a tenant may have of its own: names and bounds are those of `cells` and `limits` in the configuration, which holds for
--- what is left out.
rules.limits = schema.object{
  verbs_per_second = whole(1, 1000000, "verbs a second that its scripts may ask for in a worker; beyond it their answers wait"),
  cells = schema.object{
    share_percent = whole(1, 100, "share of a core before it is slowed down"),
    weight = whole(1, 10000, "beside other tenants on a full machine; 100 is everybody's"),
    slice_ms = whole(1, 1000, "how long one call runs before the next gets its turn"),
    invocation_ms = whole(1, 600000, "processor time of one state"),
    call_ms = whole(1, 3600000, "processor time of all scripts of one call"),
    soft_mb = whole(4, 4096, "memory at which scripts are told to collect"),
    hard_mb = whole(8, 4096, "memory they can have at most"),
  },
}

--- What is left of limits without tables that say nothing; nil when nothing is.
function rules.kept_limits(limits)
  local cells = limits.cells and next(limits.cells) and limits.cells or nil
  if not cells and not limits.verbs_per_second then return nil end
  return { verbs_per_second = limits.verbs_per_second, cells = cells }
end

--- nil when limits that fit rules.limits fit each other and the configuration too, else pointer, why not.
--- @param defaults table  config.cells
function rules.limits_fault(limits, defaults)
  local cells = limits.cells or {}
  local soft, hard = cells.soft_mb or defaults.soft_mb, cells.hard_mb or defaults.hard_mb
  if soft > hard then
    return "#/cells/soft_mb", ("must not be more than hard_mb: scripts are told to collect at %d MB and would have ended at %d"):format(soft, hard)
  end
end

return rules
