-- SPDX-License-Identifier: Apache-2.0
-- A share of new calls tries a version before all get it. What came of the calls of each version is counted here, not in the
-- calls: nothing is to be found by reading them all.

ALTER TABLE bundle ADD COLUMN parent CHAR(64) NULL COMMENT 'the version that it was made from: what was live when it was uploaded, unless its author said';

ALTER TABLE bundle_pointer
    ADD COLUMN error_limit SMALLINT NOT NULL DEFAULT 0 COMMENT 'of the calls of a canary, in thousandths: with more that failed it is rolled back',
    ADD COLUMN min_calls INT NOT NULL DEFAULT 0 COMMENT 'that a canary has before it is judged',
    ADD COLUMN calls_before BIGINT NOT NULL DEFAULT 0 COMMENT 'of bundle_use when the canary began',
    ADD COLUMN failed_before BIGINT NOT NULL DEFAULT 0;

ALTER TABLE bundle_move MODIFY action ENUM('publish', 'rollback', 'canary', 'promote', 'cancel', 'auto') NOT NULL COMMENT 'auto: a canary that failed';

CREATE TABLE bundle_use (
    hash CHAR(64) NOT NULL,
    calls BIGINT NOT NULL DEFAULT 0 COMMENT 'that have ended or failed',
    failed BIGINT NOT NULL DEFAULT 0 COMMENT 'of them, by the fault of the scripts',
    over_budget BIGINT NOT NULL DEFAULT 0 COMMENT 'of those that failed: too much time or memory',
    last_at DATETIME(6) NOT NULL,
    PRIMARY KEY (hash)
) ENGINE = InnoDB;

-- Always there, so that who moves a pointer has a row to wait at.
INSERT IGNORE INTO bundle_pointer (name, hash, share, version, published_by, published_at) VALUES ('canary', NULL, 0, 0, 'system', UTC_TIMESTAMP(6));
