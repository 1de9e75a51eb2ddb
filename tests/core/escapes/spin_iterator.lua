-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
for x in function() while true do end end do end
return {}
