-- SPDX-License-Identifier: Apache-2.0
--- The chain of audit rows: what is hashed, and in which form. Pure but for SHA-256.
local crypto = require "core.crypto"

local rules = {}

--- What the first row follows.
rules.GENESIS = ("\0"):rep(32)

-- Every field with its length before it, so that no two rows have the same bytes; NULL is told from "".
local function field(value)
  if value == nil then return "-;" end
  return #value .. ":" .. value .. ";"
end

--- The hash of a row { seq, at, actor, action, subject, fields, trace } that follows the hash `previous`.
function rules.hash(previous, row)
  return crypto.sha256(table.concat{
    previous, field(("%d"):format(row.seq)), field(row.at), field(row.actor), field(row.action),
    field(row.subject), field(row.fields), field(row.trace),
  })
end

--- Follows a piece of the chain: the hash of its last row | nil, the seq of the first row that does not fit.
function rules.verify(previous, first_seq, rows)
  for i, row in ipairs(rows) do
    if row.seq ~= first_seq + i - 1 or row.hash ~= rules.hash(previous, row) then return nil, first_seq + i - 1 end
    previous = row.hash
  end
  return previous
end

return rules
