-- SPDX-License-Identifier: Apache-2.0
--- Markdown cut into the passages that are looked for: one for each heading, several where much stands below it. Takes any bytes.
---
--- A chunk: { file, heading = "Prices > Roof", line = where it begins, text }
local sentences = require "kb.sentences"
local text_of = require "lib.text"

local chunks = {}

local GOOD_BYTES, MOST_BYTES = 1200, 3000  -- of a chunk: it ends at the next blank line after the one, and at the other anyhow
local HEADING_BYTES = 200
local LINE_BYTES = 2000  -- longer lines are read in pieces

-- The lines of a file as { number, text }, long ones in pieces; what is no UTF-8 stands as "?".
local function each_line(data, step)
  local at, number, inside = 1, 0, false
  return function()
    if at > #data then return nil end
    local stop = data:find("\n", at, true) or #data + 1
    local piece = data:sub(at, math.min(stop - 1, at + LINE_BYTES - 1))
    if at + #piece < stop then
      piece = text_of.cut(data:sub(at, at + LINE_BYTES + 3), LINE_BYTES)
      if piece == "" then piece = data:sub(at, at + LINE_BYTES - 1) end
    end
    if not inside then number = number + 1 end
    at = at + #piece
    inside = at < stop
    if not inside then at = stop + 1 end
    step(#piece + 1)
    return number, (text_of.clean(piece, LINE_BYTES):gsub("\r", ""))
  end
end

local function heading_of(line)
  local marks, rest = line:match("^ ? ? ?(#+)%s+(.*)$")
  if not marks or #marks > 6 then return nil end
  local title = rest:sub(1, HEADING_BYTES + 4):match("^.*[^%s#]") or ""
  return #marks, text_of.cut(sentences.trim(title), HEADING_BYTES)
end

--- The chunks of a file, added to a list.
--- @param step function|nil  told how many bytes have been read since it was last called; may wait
--- @param most number|nil  the list has at most so many
function chunks.add(list, path, data, step, most)
  most = most or math.huge
  local headings, lines, size, first, fence = {}, {}, 0, 1, nil
  local function flush()
    local text = sentences.trim(table.concat(lines, "\n"))
    if text ~= "" and #list < most then
      local names = {}
      for level = 1, 6 do
        if headings[level] and headings[level] ~= "" then names[#names + 1] = headings[level] end
      end
      list[#list + 1] = { file = path, heading = table.concat(names, " > "), line = first, text = text }
    end
    lines, size = {}, 0
  end
  for number, line in each_line(data, step or function() end) do
    if #list >= most then return end
    local level, title
    local mark = line:match("^ ? ? ?(```)") or line:match("^ ? ? ?(~~~)")
    if mark then
      if not fence then fence = mark elseif fence == mark then fence = nil end
    elseif not fence then
      level, title = heading_of(line)
    end
    if level then
      flush()
      for deeper = level, 6 do headings[deeper] = nil end
      headings[level] = title
    else
      if size + #line > MOST_BYTES or (size > GOOD_BYTES and not line:find("%S")) then flush() end
      if size == 0 then first = number end
      if size > 0 or line:find("%S") then
        lines[#lines + 1] = line
        size = size + #line + 1
      end
    end
  end
  flush()
end

--- Markdown as words to be spoken: without its marks, links as their text.
function chunks.plain(text)
  return (text:gsub("!?%[([^%[%]]*)%]%([^%(%)]*%)", "%1"):gsub("[*`]", ""):gsub("^%s*[%-+>]%s+", ""):gsub("\n[ \t]*[%-+>]%s+", "\n"):gsub("|", " "))
end

return chunks
