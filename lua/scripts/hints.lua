-- SPDX-License-Identifier: Apache-2.0
--- What the words of the parser and of the machine do not say to the author of a bundle: where to look, and what to do. No I/O.
local hints = {}

local QUOTES = { "\226\128\156", "\226\128\157", "\226\128\152", "\226\128\153", "\226\128\158" }  -- “ ” ‘ ’ „
local ABSENT = {}
for _, name in ipairs{ "io", "os", "debug", "package", "coroutine", "ffi", "jit", "load", "loadstring", "loadfile", "dofile", "collectgarbage", "getfenv",
  "setfenv", "newproxy", "module" } do ABSENT[name] = true end

local function line_of(text, number)
  local n = 0
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    n = n + 1
    if n == number then return line end
  end
end

--- The number of the first line of a file that has these words, else 1.
--- @param files table  list of { path =, data = }
function hints.line_with(files, path, words)
  for _, file in ipairs(files) do
    local at = file.path == path and file.data:find(words, 1, true)
    if at then return 1 + select(2, file.data:sub(1, at):gsub("\n", "")) end
  end
  return 1
end

--- The paths of those files whose path ends (and begins) so, with commas, at most five; nil: there are none.
function hints.paths(files, ending, beginning)
  local found = {}
  for _, file in ipairs(files) do
    if file.path:sub(-#ending) == ending and file.path:find(beginning or "", 1, true) == 1 and #found < 5 then found[#found + 1] = file.path end
  end
  return #found > 0 and table.concat(found, ", ") or nil
end

--- Why a Lua file's bytes are no text, or nil.
function hints.no_text(data)
  local first, second = data:byte(1, 2)
  if (first == 255 and second == 254) or (first == 254 and second == 255) then return "the file is UTF-16; save it as UTF-8" end
  if data:find("\0", 1, true) then return "the file has bytes that are no text; a Lua file must be UTF-8 text" end
end

--- A problem with what helps beside it. files: as they were uploaded.
function hints.add(problem, files)
  local name = problem.text:match("global '(%w+)' %(a nil value%)")
  if name and ABSENT[name] then
    problem.text = ("%s; scripts have no %s: what they have is in the reference (GET /scripts/reference)"):format(problem.text, name)
  elseif problem.text:find("near '", 1, true) or problem.text:find("unfinished string", 1, true) then
    for _, file in ipairs(files) do
      local line = file.path == problem.file and line_of(file.data, tonumber(problem.line) or 0)
      for _, quote in ipairs(line and QUOTES or {}) do
        if line:find(quote, 1, true) then
          problem.text = problem.text .. ": the line has typographic quotes; Lua's are \" and '"
          return problem
        end
      end
    end
  end
  return problem
end

return hints
