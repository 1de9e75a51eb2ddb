-- SPDX-License-Identifier: Apache-2.0
--- Names of Redis keys and channels: with the installation's prefix, so that several may share one Redis.
local config = require "core.config"

local prefix = config.redis and config.redis.prefix or ""

--- rediskey("events:", tenant.slug); up to five parts.
return function(a, b, c, d, e, more)
  assert(more == nil, "a key of more than five parts")
  return prefix .. a .. (b or "") .. (c or "") .. (d or "") .. (e or "")
end
