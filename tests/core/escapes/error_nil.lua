-- SPDX-License-Identifier: Apache-2.0
-- tries: an error that is nil
-- known from: careless hosts that take lua_tostring() of it
-- expect: error the error is no text
error()
return {}
