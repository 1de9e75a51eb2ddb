-- SPDX-License-Identifier: Apache-2.0
-- tries: ask while the file loads
-- known from: own
-- expect: error while it loads
local os_time = os.time
return os_time()
