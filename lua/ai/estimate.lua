-- SPDX-License-Identifier: Apache-2.0
--- How many tokens a request may come to, before anybody has counted them. No I/O.
--- A token is a byte or more of the text, whatever the model: so its bytes, with some for each part's frame, are the most that the
--- input can be. What it is likely to be is a quarter of them.
local estimate = {}

local FRAME = 8         -- tokens around a message, a tool, a field of a schema
local OUTPUT = 4096     -- where neither the request nor the model says how much may be answered

local sizes = setmetatable({}, { __mode = "k" })  -- tools and schemas come again with each turn

local function size(value)
  if type(value) == "string" then return #value end
  if type(value) ~= "table" then return FRAME end
  if sizes[value] then return sizes[value] end
  local sum = FRAME
  for key, member in pairs(value) do sum = sum + (type(key) == "string" and #key or 0) + size(member) end
  return sum
end

-- Once for each table: a caller's list of tools is the same in each turn and is not changed.
local function kept_size(value)
  if type(value) ~= "table" then return 0 end
  local sum = size(value)
  sizes[value] = sum
  return sum
end

--- The most tokens that a request's input can be, and how many are likely.
--- @param request table  canonical; or { texts = list } for embeddings
--- @return number most, number likely
function estimate.input(request)
  local most = FRAME + size(request.system or "") + size(request.messages or "") + size(request.texts or "") + size(request.extras or "")
    + kept_size(request.tools) + kept_size(request.schema)
  return most, math.ceil(most / 4)
end

--- The most tokens that it can be answered with: at least one, so that no limit and no budget grows by a request.
function estimate.output(request, target)
  if request.texts then return 0 end
  local flags = target.flags or {}
  return math.max(1, request.max_tokens or tonumber(flags.max_output_tokens) or OUTPUT, tonumber(flags.least_output_tokens) or 16)
end

--- What limits.take is asked for: likely input and all the output that may come.
function estimate.tokens(request, target)
  local _, likely = estimate.input(request)
  return likely + estimate.output(request, target)
end

return estimate
