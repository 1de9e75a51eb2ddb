-- SPDX-License-Identifier: Apache-2.0
--- Stands in for the host's modules where specs of pure parts run without it (plain busted). In the host these do nothing.
local function offer(name, make)
  if not pcall(require, name) then package.loaded[name] = make() end
end

offer("core.json", function()
  local cjson = require "cjson"
  local mark = { __name = "json.array" }
  return {
    null = cjson.null,
    encode = cjson.encode,
    array = function(t) return setmetatable(t, mark) end,
    is_array = function(t) return type(t) == "table" and (getmetatable(t) == mark or #t > 0) end,
    decode = function(text)
      local ok, value = pcall(cjson.decode, text)
      if ok then return value end
      return nil, { code = "invalid", text = value }
    end,
  }
end)

offer("core.clock", function()
  return {
    wall_us = function() return 1795341600000123 end,
    mono_ms = function() return 5000 end,
    rfc3339 = function(us) return os.date("!%Y-%m-%dT%H:%M:%S", math.floor(us / 1e6)) .. (".%06dZ"):format(us % 1e6) end,
    parse = function(text)
      local y, m, d = text:match("^(%d%d%d%d)%-(%d%d)%-(%d%d)T%d%d:%d%d:%d%d")
      if not y or tonumber(m) > 12 or tonumber(d) > 31 then return nil end
      return 1
    end,
  }
end)

-- Enough of hashing for order and equality; sealing is not needed by pure parts.
offer("core.crypto", function()
  return {
    sha256 = function(s)
      local a, b = 7, 11
      for i = 1, #s do
        a = (a * 33 + s:byte(i)) % 4294967291
        b = (b * 65599 + s:byte(i)) % 4294967279
      end
      return ("%032.0f"):format(a * 1000 + b % 1000)
    end,
    random = function(n) return ("r"):rep(n) end,
    hex = function(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end,
  }
end)

offer("core.config", function() return {} end)
offer("core.sql", function() return { null = {}, stand_in = true } end)
offer("core.redis", function()
  return { script = function() return {} end, connected = function() return false end, losses = function() return 0 end }
end)
offer("core.log", function()
  local log = { lines = {} }
  for _, level in ipairs{ "debug", "info", "warn", "error" } do
    log[level] = function(event, fields) log.lines[#log.lines + 1] = { level = level, event = event, fields = fields } end
  end
  return log
end)
offer("core.metrics", function()
  local function nothing() end
  local function handle() return nothing end
  return { count = nothing, observe = nothing, gauge = nothing, counter = handle, histogram = handle }
end)
