-- SPDX-License-Identifier: Apache-2.0
-- The handler for each request, and the same request without it: what is left is HTTP's and JSON's.
-- luacheck: std ngx_lua
local cjson = require "cjson"
local handler = require "handler"
local leads = require "leads"

local handle = {}
local book = ngx.shared.book

local function look_up(key) return book:get(key) end

local function body()
  ngx.req.read_body()
  return cjson.decode(ngx.req.get_body_data())
end

local function reply(value)
  local text = cjson.encode(value)
  ngx.header["Content-Type"] = "application/json"
  ngx.header["Content-Length"] = #text
  ngx.print(text)
end

--- Each lead has called three times before.
function handle.open()
  for _, lead in ipairs(leads) do book:set("calls of " .. handler(lead, function() end).number, "3") end
end

function handle.handle() reply(handler(body(), look_up)) end

function handle.echo() reply(body()) end

return handle
