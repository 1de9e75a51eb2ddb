-- SPDX-License-Identifier: Apache-2.0
--- Commands about a call that has ended: what its states did, and whether they would do it again.
local json = require "core.json"
local remote = require "cli.remote"
local shell = require "cli.shell"

local fail, request, with_token = shell.fail, remote.request, remote.with_token

local commands = {}

local WIDTH = 60  -- of what was said or answered; the API has all of it

local function short(text)
  text = text:gsub("%c", " ")
  if #text <= WIDTH then return text end
  local stop = WIDTH - 3
  while stop > 0 and text:byte(stop + 1) >= 0x80 and text:byte(stop + 1) <= 0xbf do stop = stop - 1 end
  return text:sub(1, stop) .. "..."
end

-- A value as a script would write it.
local function written(value)
  if value == nil or value == json.null then return "nil" end
  if type(value) == "string" then return '"' .. value:gsub('[\\"]', "\\%0") .. '"' end
  if type(value) == "number" then return ("%.14g"):format(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts, keys = {}, {}
  for i, item in ipairs(value) do parts[i] = written(item) end
  for key in pairs(value) do
    if type(key) == "string" then keys[#keys + 1] = key end
  end
  table.sort(keys)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = (key:match("^[%a_][%w_]*$") and key or ('["%s"]'):format(key)) .. " = " .. written(value[key])
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function verb_line(name, args)
  if type(args) ~= "table" then return name .. "(...)" end
  local parts = {}
  for i, arg in ipairs(args) do parts[i] = written(arg) end
  return short(name .. "(" .. table.concat(parts, ", ") .. ")")
end

local function answer_of(verb)
  if not verb.done then return "under way when the state was left" end
  if verb.secret and verb.ok then return "a secret, which is not kept" end
  if verb.ok then return short(written(verb.value)) end
  return "nil, " .. short(type(verb.value) == "table" and tostring(verb.value.text or verb.value.code) or written(verb.value))
end

local function place_of(it) return short(("%s:%s"):format(tostring(it.file), tostring(it.line or "?"))) end

local function how_line(how)
  if how.next then return "goes to " .. how.next end
  if how.done then return "is done" end
  if how.left then return ("was left (%s)"):format(how.left) end
  if how.verb then return "asks for " .. verb_line(how.verb, how.args) end
  if how.data then return ("%s is %s"):format(how.data, short(written(how.value))) end
  local where = how.file and " at " .. place_of(how) or ""
  return ("fails (%s)%s: %s"):format(tostring(how.failed), where, short(tostring(how.text)))
end

local function print_difference(difference)
  local place = difference.file and place_of(difference)
  print(("       recorded  %s"):format(how_line(difference.recorded)))
  print(("       now       %s%s"):format(how_line(difference.now), place and "   " .. place or ""))
end

local marks = { same = "  ✓", different = "  ✗", unknown = "  ?  what it does hangs on a secret, which is not kept" }

local function print_visit(visit)
  if visit.gap then
    print(("\n       ... %d states from the %d. on were too many to keep"):format(visit.gap, visit.visit))
    return
  end
  print(("\n%4d   %s%s"):format(visit.visit, visit.state, marks[visit.result] or ""))
  local difference = visit.result == "different" and visit.difference
  for n, verb in ipairs(visit.verbs) do
    if difference and difference.recorded.verb and n == difference.n then break end
    print(("       %s  ->  %s"):format(verb_line(verb.verb, verb.args), answer_of(verb)))
  end
  if difference then return print_difference(difference) end
  if visit.cut then print(("       ... %d more were too large to keep"):format(visit.cut)) end
  print("       " .. how_line(visit.how))
end

local function which(rest, command)
  if rest[1] then return rest[1] end
  return nil, ("which call? parley call %s ID [--tenant S]; GET /calls lists them"):format(command)
end

commands["call show"] = function(options, rest)
  local id, missing = which(rest, "show")
  if not id then return fail(missing, 2) end
  return with_token(options, function(token)
    local shown, err = request("GET", "/calls/" .. id .. "/journal" .. (options.tenant and "?tenantId=" .. options.tenant or ""), nil, token)
    if not shown then return fail(err) end
    print(("call %s, version %s"):format(shown.id, shown.recorded:sub(1, 12)))
    for _, visit in ipairs(shown.visits) do print_visit(visit) end
    return 0
  end)
end

commands["call replay"] = function(options, rest)
  local id, missing = which(rest, "replay")
  if not id then return fail(missing, 2) end
  return with_token(options, function(token)
    local done, err = request("POST", "/calls/" .. id .. "/replay", { version = options.version, tenantId = options.tenant }, token)
    if not done then return fail(err, 2) end
    local other = done.version ~= done.recorded
    print(("call %s, version %s%s"):format(done.id, done.recorded:sub(1, 12), other and ", run again by " .. done.version:sub(1, 12) or ", run again"))
    for _, visit in ipairs(done.visits) do print_visit(visit) end
    local count = #done.differences
    print(("\n%s%s"):format(done.same and "the same" or count == 1 and "1 difference" or count .. " differences",
      done.stopped and "; the rest was not run: " .. done.stopped or ""))
    return done.same and not done.stopped and 0 or 1
  end)
end

return commands
