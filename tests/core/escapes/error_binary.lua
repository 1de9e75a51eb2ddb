-- ends: error a b
-- SPDX-License-Identifier: Apache-2.0
error("a\0b\255", 0)
return {}
