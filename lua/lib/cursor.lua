-- SPDX-License-Identifier: Apache-2.0
--- A place in a list, as opaque text. It names the order it belongs to; what is in it is only ever bound
--- as parameters, so a forged one shows another page of the same list and nothing else.
local crypto = require "core.crypto"
local json = require "core.json"
local problem = require "lib.problem"

local cursor = {}

--- @param order string  which list and which order: "leads:score:desc"
function cursor.encode(order, ...)
  return crypto.b64url(json.encode({ order, ... }))
end

--- The values of a cursor of that order, each a number or a string. Raises a problem when it is none.
function cursor.decode(order, text, count)
  local bytes = crypto.unb64url(text)
  local list = bytes and #bytes <= 512 and json.decode(bytes)
  local fits = type(list) == "table" and list[1] == order and #list == count + 1
  for i = 2, fits and count + 1 or 1 do
    local value = list[i]
    fits = fits and (type(value) == "string" or (type(value) == "number" and value % 1 == 0 and math.abs(value) <= 2 ^ 53))
  end
  if not fits then
    problem.raise(400, "bad_cursor", "The cursor does not belong to this list and order. Start without one, and take 'next' of each answer unchanged.",
      { errors = { { parameter = "cursor", detail = "is not a cursor of this list" } } })
  end
  return unpack(list, 2, count + 1)
end

return cursor
