-- SPDX-License-Identifier: Apache-2.0
--- Names of Redis keys and channels: with the installation's prefix, so that several may share one Redis.
local config = require "core.config"

local prefix = config.redis and config.redis.prefix or ""

--- rediskey("events:", tenant.slug)
return function(...)
  return prefix .. table.concat({ ... })
end
