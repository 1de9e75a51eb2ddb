-- SPDX-License-Identifier: Apache-2.0
-- tries: bytes above 127 as letters
-- known from: C locales
-- expect: ok yes
assert(("\228\246"):upper() == "\228\246" and not ("\228"):find("%a") and ("\255"):find("[\128-\255]"))
return "yes"
