-- SPDX-License-Identifier: Apache-2.0
-- tries: an error that is a function
-- known from: careless hosts that take lua_tostring() of it
-- expect: error the error is no text
error(error)
return {}
