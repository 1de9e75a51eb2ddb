-- SPDX-License-Identifier: Apache-2.0
-- tries: coroutines, which overflow the C stack when nested
-- known from: LuaJIT#349 #619 #1263 #1452
-- expect: ok
assert(coroutine == nil)
assert(not pcall(function() return coroutine.wrap(print) end))
return {}
