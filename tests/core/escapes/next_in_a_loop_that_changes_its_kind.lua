-- SPDX-License-Identifier: Apache-2.0
-- tries: have LuaJIT rewrite a loop over next() for another iterator while it runs, and its table grow and shrink meanwhile
-- known from: LuaJIT's ITERN, whose place in the table stands in a slot that the rewritten loop takes for a key
-- expect: ok 63 5 yes
local function once(_, key) if not key then return 1, 1 end end
local function loop() -- a function of its own each time: it is rewritten for good
  return function(next, list, meanwhile)
    local sum, n = 0, 0
    for key, value in next, list, nil do
      sum, n = sum + value, n + 1
      if meanwhile then meanwhile(list, key) end
      if n == 1000 then break end -- what is added while it walks may keep it going
    end
    return sum, n
  end
end
local walk = loop()
local sum, n = walk(next, { 10, 20, 30, a = 1, b = 2 }, function(list) walk(once, list) end)
for _, change in ipairs { function(list, key) list["k" .. tostring(key)] = nil end,
  function(list) for name in pairs(list) do list[name] = nil end end,
  function(list) for i = 1, 100 do list[i] = 0 end end,
  function(list, key) for i = 1, 100 do list[key .. i] = 0 end end } do
  for size = 1, 20 do
    local list, walk = {}, loop()
    for i = 1, size do list[i], list["x" .. i] = i, i end
    pcall(walk, next, list, function(_, key) walk(once, list) change(list, key) end)
  end
end
return sum .. " " .. n .. " yes"
