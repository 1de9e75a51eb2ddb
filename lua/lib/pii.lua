-- SPDX-License-Identifier: Apache-2.0
--- Personal values: sealed under the tenant's data key for keeping, hashed under it for finding.
--- A purpose ("lead.phone") is bound into the ciphertext, so that one column's bytes are no good in another;
--- hashes use the kind of value ("phone", "email", "word"), so that a lead is found by a caller's number.
local crypto = require "core.crypto"
local keys = require "lib.keys"

local pii = {}

-- Derived keys per tenant record; they go when the record goes.
local of_tenant = setmetatable({}, { __mode = "k" })

--- Stands for the platform where an operator's values are meant.
pii.platform = { slug = "" }

local function keys_of(tenant)
  local own = of_tenant[tenant]
  if not own then
    local root = tenant == pii.platform and keys.derive("platform-data") or tenant.key
    own = { seal = crypto.derive(root, "seal"), hash = crypto.derive(root, "hash") }
    of_tenant[tenant] = own
  end
  return own
end

--- Bytes for a VARBINARY column; nil stays nil.
function pii.seal(tenant, purpose, text)
  if text == nil then return nil end
  return crypto.seal(keys_of(tenant).seal, text, purpose)
end

--- The clear text; nil stays nil. Raises when the bytes are not what we sealed: that is damage, not input.
function pii.open(tenant, purpose, bytes)
  if bytes == nil then return nil end
  local text, err = crypto.open(keys_of(tenant).seal, bytes, purpose)
  if not text then error(("a sealed %s of tenant %s does not open: %s"):format(purpose, tenant.slug, err and err.text or "?"), 0) end
  return text
end

--- 32 bytes for a BINARY(32) column; nil stays nil. The value must be normalised by the functions below.
function pii.hash(tenant, kind, normalised)
  if normalised == nil then return nil end
  return crypto.hmac(keys_of(tenant).hash, kind .. "\0" .. normalised)
end

--- A hash as events and logs may carry it: enough to match, no way back.
function pii.tag(tenant, kind, normalised)
  return pii.tag_of(pii.hash(tenant, kind, normalised))
end

--- The same of a hash that is at hand; nil stays nil.
function pii.tag_of(hash)
  return hash and crypto.hex(hash:sub(1, 8))
end

function pii.normal_email(text)
  return (text:match("^%s*(.-)%s*$"):lower())
end

-- Capital letters of the Latin, Greek and Cyrillic ranges of two bytes, as far as a simple shift goes.
local function lower_pair(lead, tail)
  if lead == "\195" and tail >= "\128" and tail <= "\158" and tail ~= "\151" then return lead .. string.char(tail:byte() + 32) end
  if lead == "\206" and tail >= "\145" and tail <= "\159" then return lead .. string.char(tail:byte() + 32) end
  if lead == "\206" and tail >= "\160" and tail <= "\169" then return "\207" .. string.char(tail:byte() - 32) end
  if lead == "\208" and tail >= "\144" and tail <= "\159" then return lead .. string.char(tail:byte() + 32) end
  if lead == "\208" and tail >= "\160" and tail <= "\175" then return "\209" .. string.char(tail:byte() - 32) end
  return lead .. tail
end

--- The words by which a name is found: lower case, without punctuation, each once, at most 16.
function pii.words(text)
  local words, seen = {}, {}
  local lowered = text:lower():gsub("([\195\206\208])([\128-\191])", lower_pair)
  for word in lowered:gmatch("[%w\128-\255]+") do
    if not seen[word] and #words < 16 then
      seen[word] = true
      words[#words + 1] = word
    end
  end
  return words
end

return pii
