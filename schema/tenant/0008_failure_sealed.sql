-- SPDX-License-Identifier: Apache-2.0
-- Why a call failed may be a script's own words, and hold what the caller said or his number. What was written in clear goes;
-- script_log has it, sealed.

UPDATE `call` SET failure = NULL WHERE failure IS NOT NULL;

ALTER TABLE `call` MODIFY failure VARBINARY(600) NULL COMMENT 'sealed: one line for the tenant';
