-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
repeat until false
return {}
