LJ
-- tries: a byte order mark in front of compiled code
-- known from: LuaJIT's lexer skips it
-- expect: refused 
