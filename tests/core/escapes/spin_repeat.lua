-- SPDX-License-Identifier: Apache-2.0
-- tries: run for ever: repeat
-- known from: OpenComputers#211, lua-l 2011-02
-- expect: cpu
repeat until false
return {}
