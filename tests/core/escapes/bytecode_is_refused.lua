-- ends: done
-- SPDX-License-Identifier: Apache-2.0
assert(string.dump == nil) assert(loadstring == nil and load == nil)
return {}
