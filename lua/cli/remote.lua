-- SPDX-License-Identifier: Apache-2.0
--- The API as commands use it: PARLEY_URL, and PARLEY_TOKEN or a log-in.
local http = require "core.http"
local json = require "core.json"
local shell = require "cli.shell"
local task = require "core.task"

local remote = {}

local WAIT_MOST_S, WAITS = 10, 3  -- where the server says that it is asked too often; longer is for whoever types to decide

local function base() return (os.getenv("PARLEY_URL") or "http://127.0.0.1:8080"):gsub("/$", "") end

local function escaped(text)
  return (tostring(text):gsub("[^%w._~-]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- A path with its query; what is nil is left out.
function remote.path(path, query)
  local parts = {}
  for name, value in pairs(query) do parts[#parts + 1] = name .. "=" .. escaped(value) end
  table.sort(parts)
  return path .. (#parts > 0 and "?" .. table.concat(parts, "&") or "")
end

--- One request; one that came too soon is made again when the server says. Returns the reply's data; or nil, one line, the problem document.
function remote.request(method, path, body, token)
  local headers = {}
  if token then headers.Authorization = "Bearer " .. token end
  if body then headers["Content-Type"] = "application/json" end
  local asked = { method = method, url = base() .. path, headers = headers, body = body and json.encode(body) or nil, timeout_s = 60, ca_file = os.getenv("PARLEY_CA_FILE") }
  local answer, err = http.fetch(asked)
  for _ = 1, WAITS do
    local wait_s = answer and answer.status == 429 and tonumber(answer.headers["retry-after"])
    if not wait_s or wait_s > WAIT_MOST_S then break end
    task.sleep(1000 * math.max(1, wait_s))
    answer, err = http.fetch(asked)
  end
  if not answer then return nil, ("%s does not answer: %s"):format(base(), err.text) end
  local data = json.decode(answer.body)
  if answer.status >= 400 then
    return nil, type(data) == "table" and data.detail or ("%s %s answered %d"):format(method, path, answer.status), data
  end
  return data
end

local function log_in(options)
  local token = os.getenv("PARLEY_TOKEN")
  if token then return token end
  local email, password = os.getenv("PARLEY_ADMIN_EMAIL"), os.getenv("PARLEY_ADMIN_PASSWORD")
  if not email or not password then return nil, "set PARLEY_TOKEN, or PARLEY_ADMIN_EMAIL and PARLEY_ADMIN_PASSWORD" end
  local session, err = remote.request("POST", "/auth/login", { email = email, password = password, tenant = options.tenant })
  if not session then return nil, err end
  return session.token
end

--- Logs in and runs fn(token); returns the exit status.
function remote.with_token(options, fn)
  local token, err = log_in(options)
  if not token then return shell.fail(err) end
  return fn(token)
end

return remote
