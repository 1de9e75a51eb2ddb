-- SPDX-License-Identifier: Apache-2.0
--- What must not be in an answer: keys and tokens by their form, and values that are known to be secret. Takes time in proportion to the
--- text.
local secrets = {}

secrets.MARK = "[removed]"

-- Words of letters, digits and a few marks that begin so and are at least so long are keys of services.
local prefixes = {
  { "sk-", 20 }, { "sk_live_", 20 }, { "sk_test_", 20 }, { "rk_live_", 20 }, { "whsec_", 20 }, { "pk_live_", 20 }, { "AKIA", 20 }, { "ASIA", 20 }, { "AIza", 35 },
  { "ghp_", 30 }, { "gho_", 30 }, { "ghs_", 30 }, { "github_pat_", 30 }, { "glpat-", 20 }, { "xoxb-", 20 }, { "xoxp-", 20 }, { "xapp-", 20 }, { "ya29.", 30 },
  { "SG.", 40 }, { "npm_", 30 }, { "hf_", 25 }, { "pk_", 32 },
}

local function is_secret(word)
  for _, prefix in ipairs(prefixes) do
    if #word >= prefix[2] and word:sub(1, #prefix[1]) == prefix[1] then return true end
  end
  -- A signed token: three parts, of which the first is JSON.
  if #word >= 40 and word:sub(1, 3) == "eyJ" then
    local _, dots = word:gsub("%.", "")
    return dots == 2
  end
  return false
end

--- The text without secrets, and how many were taken out.
--- @param known table|nil  list of texts of 8 bytes and more that are secret as they are
function secrets.remove(text, known)
  local count = 0
  for _, value in ipairs(known or {}) do
    if #value >= 8 then
      local parts, from = {}, 1
      while true do
        local first, last = text:find(value, from, true)
        if not first then break end
        parts[#parts + 1] = text:sub(from, first - 1) .. secrets.MARK
        from, count = last + 1, count + 1
      end
      if from > 1 then text = table.concat(parts) .. text:sub(from) end
    end
  end
  local first = text:find("-----BEGIN ", 1, true)
  while first do
    local head = text:find("PRIVATE KEY-----", first, true)
    if not head or head - first > 40 then
      first = text:find("-----BEGIN ", first + 11, true)
    else
      local foot = text:find("-----END ", head, true)
      local last = foot and (text:find("-----", foot + 9, true) or #text) + 4 or #text
      text = text:sub(1, first - 1) .. secrets.MARK .. text:sub(last + 1)
      count = count + 1
      first = text:find("-----BEGIN ", first, true)
    end
  end
  text = text:gsub("[%w_%-%.]+", function(word)
    if #word < 20 or not is_secret(word) then return nil end
    count = count + 1
    return secrets.MARK
  end)
  return text, count
end

return secrets
