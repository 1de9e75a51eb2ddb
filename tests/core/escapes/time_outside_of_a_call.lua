-- SPDX-License-Identifier: Apache-2.0
-- tries: ask for the time while a file loads
-- known from: own
-- expect: error a file cannot ask for anything while it loads
os.time()
return {}
