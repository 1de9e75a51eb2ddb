-- SPDX-License-Identifier: Apache-2.0
--- Cuts a migration into statements, and judges what may be carried on with. No I/O.
local rules = {}

-- Where the quoted text or comment that begins at i ends.
local function skip(text, i)
  local c = text:sub(i, i)
  if c == "'" or c == '"' or c == "`" then
    local at = i + 1
    while at <= #text do
      local d = text:sub(at, at)
      if d == "\\" and c ~= "`" then at = at + 1
      elseif d == c then
        if text:sub(at + 1, at + 1) ~= c then return at end
        at = at + 1
      end
      at = at + 1
    end
    return nil, "a quote is not closed"
  end
  if text:sub(i, i + 2):match("^%-%-%s") or c == "#" then return (text:find("\n", i, true) or #text + 1) - 1 end
  if text:sub(i, i + 1) == "/*" then
    local _, stop = text:find("*/", i + 2, true)
    if not stop then return nil, "a comment is not closed" end
    return stop
  end
end

--- The statements of a file, without comments around them: list | nil, message.
function rules.statements(text)
  local list, piece, i = {}, {}, 1
  local function close()
    local statement = table.concat(piece):match("^%s*(.-)%s*$")
    if statement ~= "" then list[#list + 1] = statement end
    piece = {}
  end
  while i <= #text do
    local c = text:sub(i, i)
    local stop, message = skip(text, i)
    if message then return nil, message end
    if stop then
      if c == "'" or c == '"' or c == "`" then piece[#piece + 1] = text:sub(i, stop) end
      i = stop + 1
    elseif c == ";" then
      close()
      i = i + 1
    else
      local next_special = text:find("['\"`;#/%-]", i + 1) or #text + 1
      piece[#piece + 1] = text:sub(i, next_special - 1)
      i = next_special
    end
  end
  close()
  return list
end

--- Statements that MySQL rolls back; all others take effect at once and for good.
function rules.is_transactional(statement)
  local word = (statement:match("^%a+") or ""):upper()
  return word == "INSERT" or word == "UPDATE" or word == "DELETE" or word == "REPLACE"
end

-- errno of "it is so already", by which a statement that was under way when we died is known to have happened.
local already = {
  [1050] = true,  -- table exists
  [1051] = true,  -- no such table (DROP)
  [1060] = true,  -- column exists
  [1061] = true,  -- key exists
  [1068] = true,  -- primary key exists
  [1091] = true,  -- cannot drop: it is not there
  [1826] = true,  -- foreign key exists
}

--- May this failure of a statement be passed over? Only when it was begun before.
function rules.happened_already(number, begun_before)
  return begun_before and already[number] == true
end

--- Checks the files of a folder against what a schema has: list of files to run, each with `from` | nil, message.
--- @param files table  { { name =, hash =, statements = {...} } } sorted by name
--- @param applied table  name -> { hash =, done =, statements = }
function rules.to_run(files, applied)
  local list, known = {}, {}
  for _, file in ipairs(files) do
    known[file.name] = true
    local row = applied[file.name]
    if row and row.hash ~= file.hash then
      return nil, ("%s was changed after it had been applied; put it back and write a new migration instead"):format(file.name)
    end
    if not row or row.done < #file.statements then
      list[#list + 1] = { file = file, from = row and row.done + 1 or 1, begun = row and row.begun or 0 }
    end
  end
  for name in pairs(applied) do
    if not known[name] then
      return nil, ("the schema has migration %s, which this version of Parley does not know; it is older than the schema"):format(name)
    end
  end
  return list
end

return rules
