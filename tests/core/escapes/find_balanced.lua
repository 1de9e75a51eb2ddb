-- ends: done
-- SPDX-License-Identifier: Apache-2.0
pcall(string.find, ("("):rep(160000), "%b()")
return {}
