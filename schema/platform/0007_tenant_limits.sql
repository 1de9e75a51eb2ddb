-- SPDX-License-Identifier: Apache-2.0
-- What a tenant may have instead of what the configuration gives everybody.

ALTER TABLE tenant ADD COLUMN limits VARCHAR(1000) NULL COMMENT 'JSON: verbs_per_second, cells = { soft_mb, hard_mb, slice_ms, ... }; NULL: as everybody';
