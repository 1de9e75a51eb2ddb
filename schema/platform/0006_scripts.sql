-- SPDX-License-Identifier: Apache-2.0
-- The operator's own rules (default routing, plans, prices): a bundle, in the form in which each tenant has them.

CREATE TABLE bundle (
    hash CHAR(64) NOT NULL COMMENT 'hex SHA-256 of bytes',
    bytes MEDIUMBLOB NOT NULL,
    size INT NOT NULL,
    report MEDIUMTEXT NOT NULL COMMENT 'JSON: what the check found',
    created_by VARCHAR(64) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    parent CHAR(64) NULL COMMENT 'the version that it was made from',
    PRIMARY KEY (hash),
    KEY idx_created (created_at)
) ENGINE = InnoDB;

CREATE TABLE bundle_pointer (
    name VARCHAR(16) NOT NULL COMMENT 'live or canary',
    hash CHAR(64) NULL COMMENT 'NULL: no canary',
    share SMALLINT NOT NULL DEFAULT 1000 COMMENT 'of new calls, in thousandths',
    version BIGINT NOT NULL DEFAULT 1 COMMENT 'grows with each move; a publisher names the one it saw',
    published_by VARCHAR(64) NOT NULL,
    published_at DATETIME(6) NOT NULL,
    error_limit SMALLINT NOT NULL DEFAULT 0 COMMENT 'of the calls of a canary, in thousandths: with more that failed it is rolled back',
    min_calls INT NOT NULL DEFAULT 0 COMMENT 'that a canary has before it is judged',
    calls_before BIGINT NOT NULL DEFAULT 0 COMMENT 'of bundle_use when the canary began',
    failed_before BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name),
    KEY idx_hash (hash),
    CONSTRAINT fk_pointer_bundle FOREIGN KEY (hash) REFERENCES bundle (hash)
) ENGINE = InnoDB;

CREATE TABLE bundle_move (
    id BIGINT NOT NULL AUTO_INCREMENT,
    name VARCHAR(16) NOT NULL,
    version BIGINT NOT NULL,
    hash CHAR(64) NULL,
    previous CHAR(64) NULL,
    action ENUM('publish', 'rollback', 'canary', 'promote', 'cancel', 'auto') NOT NULL,
    actor VARCHAR(64) NOT NULL,
    `at` DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_version (name, version)
) ENGINE = InnoDB;

CREATE TABLE script_log (
    id BIGINT NOT NULL AUTO_INCREMENT,
    `at` DATETIME(6) NOT NULL,
    level ENUM('debug', 'info', 'warn', 'error') NOT NULL,
    call_id BIGINT NULL,
    call_public_id VARCHAR(64) NULL,
    state VARCHAR(64) NULL,
    bundle_hash CHAR(64) NULL,
    file VARCHAR(128) NULL,
    line INT NULL,
    text BLOB NOT NULL COMMENT 'sealed',
    trace BLOB NULL COMMENT 'sealed: a line for each frame, the innermost first',
    PRIMARY KEY (id),
    KEY idx_call (call_id, id),
    KEY idx_at (`at`)
) ENGINE = InnoDB;

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
