-- SPDX-License-Identifier: Apache-2.0
--- What changed between two texts, line by line, as a unified diff: Myers' greedy algorithm (1986), bounded. Where more than
--- MOST_EDITS lines differ, what lies between the common beginning and the common end is shown as replaced as a whole.
local urlencoded = require "lib.urlencoded"

local diff = {}

local MOST_EDITS = 600
local FILE_MAX = 128 * 1024  -- bytes; of larger files it is only said that they differ
local CONTEXT = 3
local OPEN = "\n\\ No newline at end of file"

local STEPS = 2000  -- of some microseconds each, after which pause() is called

-- A step of work: step(n) for n of them.
local function stepper(pause)
  if not pause then return function() end end
  local left = STEPS
  return function(n)
    left = left - n
    if left > 0 then return end
    left = STEPS
    pause()
  end
end

--- The lines of a text, without their ends; and whether the last one has none.
local function lines_of(text, step)
  local lines = {}
  for line in text:gmatch("([^\n]*)\n") do
    step(1)
    lines[#lines + 1] = line
  end
  local rest = text:match("([^\n]*)$")
  if rest ~= "" then lines[#lines + 1] = rest end
  return lines, rest ~= ""
end

-- Walks back over the kept fronts: marks which lines of a go and which of b come. first: lines that both begin with.
local function mark(fronts, edits, x, y, first, gone, come)
  for d = edits, 1, -1 do
    local before, k = fronts[d], x - y
    local down = k == -d or (k ~= d and before[k - 1] < before[k + 1])
    local k_before = down and k + 1 or k - 1
    local x_before = before[k_before]
    local y_before = x_before - k_before
    if down then come[first + y_before + 1] = true else gone[first + x_before + 1] = true end
    x, y = x_before, y_before
  end
end

-- gone[i]: line i of a is not in b; come[j]: line j of b is not in a.
local function compare(a, b, step)
  local gone, come = {}, {}
  local first, na, nb = 0, #a, #b
  while first < na and first < nb and a[first + 1] == b[first + 1] do first = first + 1 end
  while na > first and nb > first and a[na] == b[nb] do na, nb = na - 1, nb - 1 end
  na, nb = na - first, nb - first
  local front, fronts = { [1] = 0 }, {}
  for d = 0, math.min(na + nb, MOST_EDITS) do
    local kept = {}
    for k = -d - 1, d + 1 do kept[k] = front[k] end
    step(d)
    fronts[d] = kept
    for k = -d, d, 2 do
      local x = (k == -d or (k ~= d and front[k - 1] < front[k + 1])) and front[k + 1] or front[k - 1] + 1
      local y = x - k
      local x_before = x
      while x < na and y < nb and a[first + x + 1] == b[first + y + 1] do x, y = x + 1, y + 1 end
      step(1 + x - x_before)
      front[k] = x
      if x >= na and y >= nb then
        mark(fronts, d, x, y, first, gone, come)
        return gone, come
      end
    end
  end
  for i = first + 1, first + na do
    step(1)
    gone[i] = true
  end
  for j = first + 1, first + nb do
    step(1)
    come[j] = true
  end
  return gone, come
end

-- The edit as rows { sign, text, i, j }: i and j say how many lines of a and b stand before it.
local function script(a, b, step)
  local gone, come = compare(a, b, step)
  local rows, i, j = {}, 1, 1
  while i <= #a or j <= #b do
    step(1)
    if i <= #a and gone[i] then
      rows[#rows + 1] = { "-", a[i], i - 1, j - 1 }
      i = i + 1
    elseif j <= #b and come[j] then
      rows[#rows + 1] = { "+", b[j], i - 1, j - 1 }
      j = j + 1
    else
      rows[#rows + 1] = { " ", a[i], i - 1, j - 1 }
      i, j = i + 1, j + 1
    end
  end
  return rows
end

local function range(start, count)
  if count == 0 then return start .. ",0" end
  return count == 1 and tostring(start + 1) or ("%d,%d"):format(start + 1, count)
end

local function write_hunk(out, rows, from, to, step)
  local count_a, count_b = 0, 0
  for r = from, to do
    if rows[r][1] ~= "+" then count_a = count_a + 1 end
    if rows[r][1] ~= "-" then count_b = count_b + 1 end
  end
  out[#out + 1] = ("@@ -%s +%s @@"):format(range(rows[from][3], count_a), range(rows[from][4], count_b))
  for r = from, to do
    step(1)
    out[#out + 1] = rows[r][1] .. rows[r][2]
  end
end

--- The unified diff of two texts, "" when they are the same. A text that is not there is "".
--- @param from string  what the old one is called; to: the new one
--- @param pause function|nil  called after each millisecond or two of work: with others' calls on the loop, it lets them have a turn
function diff.unified(old, new, from, to, pause)
  if old == new then return "" end
  local step = stepper(pause)
  local a, a_open = lines_of(old, step)
  local b, b_open = lines_of(new, step)
  -- A last line without its end is another line than one with it.
  if a_open then a[#a] = a[#a] .. OPEN end
  if b_open then b[#b] = b[#b] .. OPEN end
  local rows = script(a, b, step)
  local out = { "--- " .. from, "+++ " .. to }
  local r = 1
  while r <= #rows do
    step(1)
    if rows[r][1] == " " then
      r = r + 1
    else
      local first, last = math.max(1, r - CONTEXT), r
      local same = 0
      local s = r + 1
      while s <= #rows and same <= 2 * CONTEXT do
        if rows[s][1] == " " then same = same + 1 else same, last = 0, s end
        s = s + 1
      end
      last = math.min(#rows, last + CONTEXT)
      write_hunk(out, rows, first, last, step)
      r = last + 1
    end
  end
  return table.concat(out, "\n") .. "\n"
end

local function shown(bytes) return not bytes or #bytes <= FILE_MAX and urlencoded.is_text(bytes) end

--- What changed between two sets of files (path -> bytes), in order of path: list of { path =, change = "added" | "removed" | "changed",
--- diff = text, or nil of what is no text or too large }.
--- @param pause function|nil  as diff.unified takes it
function diff.files(old, new, pause)
  local paths, changes = {}, {}
  for path in pairs(old) do paths[#paths + 1] = path end
  for path in pairs(new) do
    if not old[path] then paths[#paths + 1] = path end
  end
  table.sort(paths)
  for _, path in ipairs(paths) do
    local a, b = old[path], new[path]
    if a ~= b then
      local change = { path = path, change = not a and "added" or not b and "removed" or "changed" }
      if shown(a) and shown(b) then
        change.diff = diff.unified(a or "", b or "", a and "a/" .. path or "/dev/null", b and "b/" .. path or "/dev/null", pause)
      end
      changes[#changes + 1] = change
      if pause then pause() end
    end
  end
  return changes
end

return diff
