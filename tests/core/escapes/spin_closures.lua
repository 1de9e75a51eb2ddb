-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
while true do (function() end)() end
return {}
