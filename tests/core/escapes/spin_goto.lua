-- ends: cpu
-- SPDX-License-Identifier: Apache-2.0
::top:: goto top
return {}
