-- SPDX-License-Identifier: Apache-2.0
-- The operator's own rules (default routing, plans, prices): a bundle, in the form in which each tenant has them.

CREATE TABLE bundle (
    hash CHAR(64) NOT NULL COMMENT 'hex SHA-256 of bytes',
    bytes MEDIUMBLOB NOT NULL,
    size INT NOT NULL,
    report MEDIUMTEXT NOT NULL COMMENT 'JSON: what the check found',
    created_by VARCHAR(64) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
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
    action ENUM('publish', 'rollback', 'canary') NOT NULL,
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
    state VARCHAR(64) NULL,
    bundle_hash CHAR(64) NULL,
    file VARCHAR(128) NULL,
    line INT NULL,
    text BLOB NOT NULL COMMENT 'sealed',
    PRIMARY KEY (id),
    KEY idx_call (call_id, id),
    KEY idx_at (`at`)
) ENGINE = InnoDB;
