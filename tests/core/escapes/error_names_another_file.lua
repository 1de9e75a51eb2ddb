-- SPDX-License-Identifier: Apache-2.0
-- tries: an error that claims to stand in another file
-- known from: own
-- expect: error it was him
error("../../etc/passwd:1: it was him", 0)
