-- SPDX-License-Identifier: Apache-2.0
--- What must not be in an answer: keys and tokens by their form, and values that are known to be secret. Takes time in proportion to the
--- text.
local secrets = {}

secrets.MARK = "[removed]"
local HEAD_BYTES = 60  -- "-----BEGIN ENCRYPTED PRIVATE KEY-----" and the like

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

-- The text without keys in PEM, and how many there were. A head is not looked for farther than one goes, and the text is copied once.
local function without_keys(text)
  local parts, from, count = {}, 1, 0
  local first = text:find("-----BEGIN ", 1, true)
  while first do
    local head = text:sub(first, first + HEAD_BYTES - 1):find("PRIVATE KEY-----", 1, true)
    local next_from = first + 11
    if head then
      local foot = text:find("-----END ", first + head, true)
      local last = foot and (text:find("-----", foot + 9, true) or #text) + 4 or #text
      parts[#parts + 1] = text:sub(from, first - 1) .. secrets.MARK
      count, from, next_from = count + 1, last + 1, last + 1
    end
    first = text:find("-----BEGIN ", next_from, true)
  end
  if count == 0 then return text, 0 end
  return table.concat(parts) .. text:sub(from), count
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
  local keys
  text, keys = without_keys(text)
  count = count + keys
  text = text:gsub("[%w_%-%.]+", function(word)
    if #word < 20 or not is_secret(word) then return nil end
    count = count + 1
    return secrets.MARK
  end)
  return text, count
end

return secrets
