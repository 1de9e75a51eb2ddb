-- SPDX-License-Identifier: Apache-2.0
-- tries: reach modules by package.loaded, preload, loaders
-- known from: LuaJIT, Redis CVE-2022-0543
-- expect: ok yes
assert(package == nil and module == nil)
for _, name in ipairs { "package.loaded.io", "_G.io", "jit.util", "jit.vmdef", "table.clear", "table.new", "string.buffer", "ffi", "bit" } do
  assert(not pcall(require, name), name)
end
return "yes"
