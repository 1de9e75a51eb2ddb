-- SPDX-License-Identifier: Apache-2.0
--- What an API key may do: a list of words such as "leads:read", "leads:*" or "*". Who logged in himself has no list and
--- may do all that his role may.
local scopes = {}

--- Does the list cover a scope, which may itself be a wide one?
function scopes.cover(list, wanted)
  local area = wanted:match("^(.-):")
  for _, scope in ipairs(list) do
    if scope == wanted or scope == "*" or (area and scope == area .. ":*") then return true end
  end
  return false
end

--- May this user (as auth gives it) do what the scope names?
function scopes.allow(user, wanted)
  return not user.scopes or scopes.cover(user.scopes, wanted)
end

return scopes
