-- ends: memory
-- SPDX-License-Identifier: Apache-2.0
x = {} while true do x = { x } end
return {}
