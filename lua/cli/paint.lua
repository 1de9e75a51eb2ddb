-- SPDX-License-Identifier: Apache-2.0
--- Colours, where a person looks at a terminal and has not said that he wants none (NO_COLOR).
local file = require "core.file"
local shell = require "cli.shell"

local paint = {}

local on = file.terminal(1) and (os.getenv("NO_COLOR") or "") == "" and os.getenv("TERM") ~= "dumb"

local function with(code, text) return on and ("\27[%sm%s\27[0m"):format(code, text) or text end

function paint.red(text) return with("31", text) end
function paint.green(text) return with("32", text) end
function paint.cyan(text) return with("36", text) end
function paint.bold(text) return with("1", text) end
function paint.dim(text) return with("2", text) end

--- A log level, five characters wide.
function paint.level(level)
  local text = ("%-5s"):format(level)
  return level == "error" and paint.red(text) or level == "warn" and with("33", text) or text
end

--- A unified diff.
function paint.diff(text)
  if not on then return text end
  return (shell.printable(text):gsub("[^\n]+", function(line)
    local sign = line:sub(1, 1)
    if line:find("^%-%-%- ") or line:find("^%+%+%+ ") then return paint.bold(line) end
    return sign == "-" and paint.red(line) or sign == "+" and paint.green(line) or sign == "@" and paint.cyan(line) or line
  end))
end

return paint
