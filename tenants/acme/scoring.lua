-- A lead's score: how long the call was, how it sounded, and what was asked for. From 0 to 100.
local POINTS_A_MINUTE, MOST_FOR_TIME = 6, 30
local MOST_FOR_MOOD = 25 -- at the best sentiment, which goes from -1 to 1
local WORDS = { quote = 15, price = 15, install = 15, roof = 10, battery = 10 }

local function said(lead)
  local words = {}
  for word in tostring(lead.notes or ""):lower():gmatch("%a+") do words[word] = true end
  for _, word in ipairs(lead.data and lead.data.keywords or {}) do words[tostring(word):lower()] = true end
  return words
end

return function(lead)
  local data, reasons, score = lead.data or {}, {}, 0
  local function add(points, why)
    if points == 0 then return end
    score = score + points
    reasons[#reasons + 1] = ("%+.1f %s"):format(points, why)
  end
  local seconds = lead.call and lead.call.seconds or tonumber(data.duration) or 0
  add(math.min(seconds / 60 * POINTS_A_MINUTE, MOST_FOR_TIME), ("for a call of %d seconds"):format(seconds))
  local mood = math.max(-1, math.min(1, tonumber(data.sentiment) or 0))
  add(mood * MOST_FOR_MOOD, mood > 0 and "for a friendly tone" or "for an unfriendly tone")
  local words = said(lead)
  for word, points in pairs(WORDS) do
    if words[word] then add(points, "for the word " .. word) end
  end
  return { score = math.max(0, math.min(100, score)), reasons = reasons }
end
