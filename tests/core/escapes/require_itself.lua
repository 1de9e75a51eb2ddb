-- SPDX-License-Identifier: Apache-2.0
-- tries: a file that requires itself
-- known from: own
-- expect: error requires itself
require "attack"
return {}
