-- ends: done
-- SPDX-License-Identifier: Apache-2.0
local s = "a\0b" assert(#s == 3)
return {}
