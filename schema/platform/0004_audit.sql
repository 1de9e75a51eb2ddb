-- SPDX-License-Identifier: Apache-2.0
-- What operators did, and the answers to their writes that may come twice.

CREATE TABLE audit_log (
    id BIGINT NOT NULL AUTO_INCREMENT,
    `at` DATETIME(6) NOT NULL,
    actor VARCHAR(64) NOT NULL,
    action VARCHAR(64) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    fields VARCHAR(4000) NOT NULL COMMENT 'JSON; ids and names of fields, never personal values',
    trace VARCHAR(32) NULL,
    PRIMARY KEY (id),
    KEY idx_at (`at`)
) ENGINE = InnoDB;

CREATE TABLE idempotency (
    key_hash BINARY(32) NOT NULL,
    fingerprint BINARY(32) NOT NULL COMMENT 'of method, path and body',
    status SMALLINT NULL,
    response MEDIUMBLOB NULL COMMENT 'sealed',
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (key_hash),
    KEY idx_created (created_at)
) ENGINE = InnoDB;
