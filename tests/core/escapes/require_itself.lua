-- ends: error requires itself
-- SPDX-License-Identifier: Apache-2.0
require "attack"
return {}
