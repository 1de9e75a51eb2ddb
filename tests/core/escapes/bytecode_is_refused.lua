-- SPDX-License-Identifier: Apache-2.0
-- tries: string.dump and load, to make and run compiled code
-- known from: Factorio, Redis, RocksLabs/LuaJIT#3
-- expect: ok
assert(string.dump == nil) assert(loadstring == nil and load == nil)
return {}
