-- SPDX-License-Identifier: Apache-2.0
-- The calls that are up are asked for each second: by their missing end, because "escalated" is also how a call may have ended,
-- and there are more of those from day to day.

CREATE INDEX idx_active ON `call` (tenant_id, end_time, id);
