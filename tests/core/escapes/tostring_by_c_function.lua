-- ends: error __tostring must be
-- SPDX-License-Identifier: Apache-2.0
tostring(setmetatable({}, { __tostring = rawget }))
return {}
