-- ends: done
-- SPDX-License-Identifier: Apache-2.0
assert(coroutine == nil)
assert(not pcall(function() return coroutine.wrap(print) end))
return {}
