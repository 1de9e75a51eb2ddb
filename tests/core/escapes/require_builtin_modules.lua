-- SPDX-License-Identifier: Apache-2.0
-- tries: require of LuaJIT's modules and of paths outside of the bundle
-- known from: LuaJIT: package.loaded and package.preload
-- expect: ok
for _, name in ipairs { "ffi", "io", "os", "debug", "package", "jit", "jit.opt", "jit.util", "table.new", "string.buffer", "coroutine", "_G",
  "../attack", "/etc/passwd", "lib..util", "attack.lua", "", ".", "..", "a/b", "a b", "\0", "%s" } do
  local ok = pcall(require, name) assert(not ok, name)
end
assert(not pcall(require)) assert(not pcall(require, {})) assert(not pcall(require, 1))
return {}
