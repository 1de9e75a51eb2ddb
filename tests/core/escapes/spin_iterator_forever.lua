-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
for x in function() return 1 end do end
return {}
