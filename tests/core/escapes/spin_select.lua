-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
while true do select(-1, 1, 2, 3) end
return {}
