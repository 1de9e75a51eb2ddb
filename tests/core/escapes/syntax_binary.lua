-- ends: error 
-- SPDX-License-Identifier: Apache-2.0
local x = "" @#$%^
return {}
