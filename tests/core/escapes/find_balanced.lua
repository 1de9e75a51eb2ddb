-- SPDX-License-Identifier: Apache-2.0
-- tries: %b over a long text of opening brackets
-- known from: lua-l 2011-02 on string.find without end
-- expect: ok
pcall(string.find, ("("):rep(160000), "%b()")
return {}
