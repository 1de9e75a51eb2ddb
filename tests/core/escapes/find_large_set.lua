-- ends: done
-- SPDX-License-Identifier: Apache-2.0
pcall(string.find, ("a"):rep(100000), "[" .. ("b"):rep(100000) .. "]")
return {}
