-- SPDX-License-Identifier: Apache-2.0
-- Why a lead has its score: what the tenant's scoring hook gave as reasons. NULL: the score was given by hand, or is the default.

ALTER TABLE `lead` ADD COLUMN score_reasons BLOB NULL COMMENT 'sealed JSON: a list of texts' AFTER score;
