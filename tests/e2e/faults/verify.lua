-- SPDX-License-Identifier: Apache-2.0
--- parley run verify.lua SLUG: prints how many rows the audit chain of a tenant has, or fails with the row that breaks it.
local slug = ...
local rows, broken = require("audit").verify(require("tenants").get(slug))
if not rows then error("the audit chain breaks at row " .. broken) end
print(rows)
