-- SPDX-License-Identifier: Apache-2.0
-- tries: a string that ends with the file, behind a backslash
-- known from: Redis CVE-2025-46819
-- expect: refused 
return "abc\