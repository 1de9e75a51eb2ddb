-- SPDX-License-Identifier: Apache-2.0
-- Of which call a line is, by the name the API has for it; and how a script came to the place where it failed: at most ten
-- frames, of the tenant's own files.

ALTER TABLE script_log
    ADD COLUMN call_public_id VARCHAR(64) NULL AFTER call_id,
    ADD COLUMN trace BLOB NULL COMMENT 'sealed: a line for each frame, the innermost first';
