-- SPDX-License-Identifier: Apache-2.0
-- A piece of a tenant's code, the same wherever it runs: it makes a number comparable, scores a lead by a table of rules and by
-- what was said, sorts what counted and writes a line on it. look_up(key): one value that is kept outside.
local prefixes = { US = "1", CA = "1", DE = "49", FR = "33", GB = "44" }

local rules = {
  { field = "zip", pattern = "^9[0-6]%d%d%d$", points = 20, why = "in California" },
  { field = "zip", pattern = "^8[56]%d%d%d$", points = 15, why = "in Arizona" },
  { field = "email", pattern = "^[%w._+-]+@[%w-]+%.[%a.]+$", points = 5, why = "can be written to" },
  { field = "email", pattern = "@example%.", points = -30, why = "gave no real address" },
  { field = "said", pattern = "(%d+) square", points = 12, why = "knows the size of the roof" },
  { field = "said", pattern = "%$%s*([%d,]+)", points = 18, why = "named a price" },
  { field = "said", pattern = "%f[%a]not?%f[%A].-interest", points = -40, why = "is not interested" },
  { field = "source", pattern = "^ad:", points = 3, why = "came from an advertisement" },
}
local words = { battery = 8, bill = 4, install = 10, loan = -6, quote = 15, roof = 6, solar = 5, tomorrow = 9 }

local function number_of(text, country)
  local digits = text:gsub("[^%d+]", "")
  if digits:sub(1, 1) == "+" then return digits end
  if digits:sub(1, 2) == "00" then return "+" .. digits:sub(3) end
  return "+" .. (prefixes[country] or "") .. digits:gsub("^0", "")
end

return function(lead, look_up)
  local number = number_of(lead.phone, lead.country)
  local score, reasons = 10, {}
  local function add(points, why)
    score = score + points
    reasons[#reasons + 1] = { points = points, why = why }
  end
  for _, rule in ipairs(rules) do
    local value = lead[rule.field]
    if value and value:find(rule.pattern) then add(rule.points, rule.why) end
  end
  local said = {}
  for word in lead.said:lower():gmatch("%a+") do said[word] = true end
  for word, points in pairs(words) do
    if said[word] then add(points, "said " .. word) end
  end
  local known = look_up("calls of " .. number)
  if known then add(math.min(tonumber(known) or 0, 5) * 2, ("called %s times before"):format(known)) end
  table.sort(reasons, function(a, b)
    if a.points ~= b.points then return a.points > b.points end
    return a.why < b.why
  end)
  local lines = {}
  for i, reason in ipairs(reasons) do lines[i] = ("%+d %s"):format(reason.points, reason.why) end
  score = math.max(0, math.min(100, score))
  return { number = number, score = score, reasons = lines, line = ("%s (%s): %d, %s"):format(lead.name, number, score, table.concat(lines, "; ")) }
end
