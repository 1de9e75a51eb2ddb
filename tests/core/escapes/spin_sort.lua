-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
table.sort({ 1, 2, 3 }, function() while true do end end)
return {}
