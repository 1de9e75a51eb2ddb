-- SPDX-License-Identifier: Apache-2.0
--- Adds up what specs have covered: lines of files, states of flows. Pure.
local coverage = {}
coverage.__index = coverage

function coverage.new() return setmetatable({ lines = {} }, coverage) end

-- What closes a block has no work of its own to do.
local function only_closes(line)
  local text = line:gsub("%-%-.*$", "")
  return text:match("^[%s%)%]},;]*$") or text:match("^%s*end[%s%)%]},;]*$") or text:match("^%s*else%s*$")
end

--- @param marks string   a character a line: "-" no code, "0" code that has not run, "1" code that has
--- @param source string  the file
function coverage:add(path, marks, source)
  local file = self.lines[path]
  if not file then
    file = { hit = {}, code = {} }
    self.lines[path] = file
    local n = 0
    for line in (source .. "\n"):gmatch("(.-)\n") do
      n = n + 1
      file.code[n] = marks:sub(n, n) ~= "-" and marks:sub(n, n) ~= "" and not only_closes(line) or false
    end
  end
  for n = 1, #file.code do
    if file.code[n] and marks:sub(n, n) == "1" then file.hit[n] = true end
  end
end

-- { 3, 4, 5, 9 } -> "3-5 9"
local function ranges(list)
  local parts, i = {}, 1
  while i <= #list do
    local last = i
    while list[last + 1] == list[last] + 1 do last = last + 1 end
    parts[#parts + 1] = last > i and ("%d-%d"):format(list[i], list[last]) or tostring(list[i])
    i = last + 1
  end
  return table.concat(parts, " ")
end

--- Files by name: { { path, hit, code, percent, missing = "3-5 9" } }
function coverage:files()
  local list = {}
  for path, file in pairs(self.lines) do
    local hit, code, missing = 0, 0, {}
    for n, is_code in ipairs(file.code) do
      if is_code then
        code = code + 1
        if file.hit[n] then hit = hit + 1 else missing[#missing + 1] = n end
      end
    end
    list[#list + 1] = { path = path, hit = hit, code = code, percent = code > 0 and 100 * hit / code or 100, missing = ranges(missing) }
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

--- States of flows: { { path, visited, defined, percent, missing = { name, ... } } }
--- @param flows table   { [path] = { states = list, ended =, failed = } }
--- @param visits table  { [path] = { [state] = times } }
function coverage.states(flows, visits)
  local list = {}
  for path, flow in pairs(flows) do
    local names, missing = {}, {}
    for _, name in ipairs(flow.states) do names[#names + 1] = name end
    for _, name in ipairs{ "ended", "failed" } do if flow[name] then names[#names + 1] = name end end
    for _, name in ipairs(names) do
      if not (visits[path] and visits[path][name]) then missing[#missing + 1] = name end
    end
    table.sort(missing)
    list[#list + 1] = { path = path, visited = #names - #missing, defined = #names, percent = 100 * (#names - #missing) / math.max(1, #names), missing = missing }
  end
  table.sort(list, function(a, b) return a.path < b.path end)
  return list
end

return coverage
