-- SPDX-License-Identifier: Apache-2.0
--- A script log on a terminal: a line for each entry, with where it was and how it came there.
local paint = require "cli.paint"
local remote = require "cli.remote"
local shell = require "cli.shell"
local task = require "core.task"

local logs = {}

local POLL_MS = 1000
local PATIENCE = 60  -- polls that may fail in a row while the server is away
local KNOWN_MOST = 2000

local function text_or_nil(value) return type(value) == "string" and value ~= "" and value or nil end

--- One entry as text.
function logs.text(entry)
  local at = entry.at:gsub("T", " "):gsub("%.(%d%d%d)%d*Z$", ".%1")
  local where = text_or_nil(entry.file) and ("%s:%s: "):format(entry.file, tostring(entry.line or "?")) or ""
  local from = {}
  if text_or_nil(entry.call) then from[#from + 1] = shell.printable(entry.call) end
  if text_or_nil(entry.state) then from[#from + 1] = "in " .. shell.printable(entry.state) end
  if text_or_nil(entry.version) then from[#from + 1] = entry.version:sub(1, 12) end
  local lines = { ("%s %s %s%s%s"):format(paint.dim(at), paint.level(entry.level), shell.printable(where), shell.printable(entry.text),
    #from > 0 and paint.dim("  (" .. table.concat(from, ", ") .. ")") or "") }
  for _, frame in ipairs(type(entry.trace) == "table" and entry.trace or {}) do lines[#lines + 1] = "      " .. shell.printable(frame) end
  return table.concat(lines, "\n")
end

-- Prints what comes until it is interrupted. Entries of the last seconds come again, with the same ids.
local function follow(query, after, token)
  local known, order, failures = {}, {}, 0
  while true do
    query.after, query.limit = after, 200
    local list, err = remote.request("GET", remote.path("/scripts/log", query), nil, token)
    if not list then
      failures = failures + 1
      if failures > PATIENCE then return shell.fail(err) end
    else
      failures = 0
      for _, entry in ipairs(list.entries) do
        if not known[entry.id] then
          known[entry.id] = true
          order[#order + 1] = entry.id
          if #order > KNOWN_MOST then known[table.remove(order, 1)] = nil end
          print(logs.text(entry))
        end
      end
      io.stdout:flush()
      after = list.after
    end
    if not list or #list.entries < 200 then task.sleep(POLL_MS) end
  end
end

--- parley bundle logs [-f] [--call ID]
function logs.run(options)
  return remote.with_token(options, function(token)
    local query = { tenantId = options.tenant, call = options.call }
    local list, err = remote.request("GET", remote.path("/scripts/log", query), nil, token)
    if not list then return shell.fail(err) end
    for i = #list.entries, 1, -1 do print(logs.text(list.entries[i])) end
    if not options.follow then return 0 end
    io.stdout:flush()
    return follow(query, list.after, token)
  end)
end

return logs
