-- ends: error too many results
-- SPDX-License-Identifier: Apache-2.0
unpack({}, 1, 1e7)
return {}
