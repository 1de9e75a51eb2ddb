-- SPDX-License-Identifier: Apache-2.0
-- tries: an error text of a megabyte, with places that lie
-- known from: own
-- expect: error lies
error("attack.lua:99999999999999999999: lies" .. ("x"):rep(1e6), 0)
