-- SPDX-License-Identifier: Apache-2.0
-- tries: memory by a chain of globals
-- known from: own
-- expect: memory
x = {} while true do x = { x } end
return {}
