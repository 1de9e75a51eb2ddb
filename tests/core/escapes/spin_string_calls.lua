-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
while true do ("x"):rep(1000):upper():lower():reverse():byte() end
return {}
