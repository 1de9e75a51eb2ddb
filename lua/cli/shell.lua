-- SPDX-License-Identifier: Apache-2.0
--- What all commands need: telling of failure, required options, the database.
local json = require "core.json"

local shell = {}

--- Says what went wrong; returns the exit status.
function shell.fail(text, status)
  io.stderr:write("parley: ", text, "\n")
  return status or 1
end

--- Text from a script or a server as a terminal may show it: no control characters but tabs and line ends.
function shell.printable(text)
  return (tostring(text):gsub("[%z\1-\8\11-\31\127]", "?"))
end

--- True when each option is there; a password given as "-" is read. Else nil, what is missing.
function shell.need(options, ...)
  for _, name in ipairs{ ... } do
    if not options[name] then return nil, ("--%s is missing; see parley help"):format(name) end
    if options[name] == "-" and name:find("password$") then
      options[name] = io.read("*l")
      if not options[name] then return nil, ("--%s is to come from standard input, which is empty"):format(name) end
    end
  end
  return true
end

--- Runs fn with the configuration's database; what it raises is told in one line.
function shell.with_database(fn)
  if not os.getenv("PARLEY_CONFIG") then
    return shell.fail("set PARLEY_CONFIG to the configuration file, such as var/parley.lua")
  end
  require("lib.migrate").root = require("core.worker").root .. "/schema"
  local ok, result = xpcall(fn, function(raised)
    if type(raised) == "table" then return raised.detail or raised.text or json.encode(raised) end
    return (os.getenv("PARLEY_LOG") == "debug") and debug.traceback(tostring(raised)) or tostring(raised)
  end)
  if not ok then return shell.fail(tostring(result)) end
  return result
end

return shell
