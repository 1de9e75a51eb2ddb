-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
while true do for x in ("aaa"):gmatch("a") do end end
return {}
