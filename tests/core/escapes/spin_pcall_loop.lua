-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: pcall loop
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
while true do pcall(error) end
return {}
