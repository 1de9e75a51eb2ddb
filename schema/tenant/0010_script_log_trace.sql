-- SPDX-License-Identifier: Apache-2.0
-- How a script came to the place where it failed: at most ten frames, of the tenant's own files.

ALTER TABLE script_log ADD COLUMN trace BLOB NULL COMMENT 'sealed: a line for each frame, the innermost first';
