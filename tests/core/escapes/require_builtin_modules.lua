-- ends: done
-- SPDX-License-Identifier: Apache-2.0
for _, name in ipairs { "ffi", "io", "os", "debug", "package", "jit", "jit.opt", "jit.util", "table.new", "string.buffer", "coroutine", "_G",
  "../attack", "/etc/passwd", "lib..util", "attack.lua", "", ".", "..", "a/b", "a b", "\0", "%s" } do
  local ok = pcall(require, name) assert(not ok, name)
end
assert(not pcall(require)) assert(not pcall(require, {})) assert(not pcall(require, 1))
return {}
