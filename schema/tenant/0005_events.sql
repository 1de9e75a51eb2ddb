-- SPDX-License-Identifier: Apache-2.0
-- Every change as an event: written to outbox and audit_pending in the transaction of the change,
-- numbered later by the tenant's sequencer, which alone moves the one row of `sequencer`.

CREATE TABLE outbox (
    id BIGINT NOT NULL AUTO_INCREMENT,
    type VARCHAR(64) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    data MEDIUMTEXT NOT NULL COMMENT 'JSON; ids, names of fields and keyed hashes only',
    trace VARCHAR(32) NULL,
    `at` DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

CREATE TABLE event (
    seq BIGINT NOT NULL,
    type VARCHAR(64) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    data MEDIUMTEXT NOT NULL,
    trace VARCHAR(32) NULL,
    `at` DATETIME(6) NOT NULL,
    PRIMARY KEY (seq),
    KEY idx_subject (subject, seq),
    KEY idx_type (type, seq),
    KEY idx_at (`at`)
) ENGINE = InnoDB;

CREATE TABLE audit_pending (
    id BIGINT NOT NULL AUTO_INCREMENT,
    `at` DATETIME(6) NOT NULL,
    actor VARCHAR(64) NOT NULL,
    action VARCHAR(64) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    fields MEDIUMTEXT NOT NULL COMMENT 'JSON; ids and names of fields, never personal values',
    trace VARCHAR(32) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

-- Rows are only ever added: a chain of hashes shows it.
CREATE TABLE audit_log (
    seq BIGINT NOT NULL,
    `at` DATETIME(6) NOT NULL,
    actor VARCHAR(64) NOT NULL,
    action VARCHAR(64) NOT NULL,
    subject VARCHAR(64) NOT NULL,
    fields MEDIUMTEXT NOT NULL,
    trace VARCHAR(32) NULL,
    hash BINARY(32) NOT NULL COMMENT 'SHA-256 of the hash before and the row',
    PRIMARY KEY (seq),
    KEY idx_subject (subject, seq),
    KEY idx_actor (actor, seq),
    KEY idx_at (`at`)
) ENGINE = InnoDB;

CREATE TABLE sequencer (
    id TINYINT NOT NULL,
    seq BIGINT NOT NULL DEFAULT 0 COMMENT 'of the newest event',
    published BIGINT NOT NULL DEFAULT 0 COMMENT 'the newest event the stream has',
    audit_seq BIGINT NOT NULL DEFAULT 0,
    audit_hash BINARY(32) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT INTO sequencer (id) VALUES (1);

CREATE TABLE idempotency (
    key_hash BINARY(32) NOT NULL,
    fingerprint BINARY(32) NOT NULL COMMENT 'of method, path and body',
    status SMALLINT NULL,
    response MEDIUMBLOB NULL COMMENT 'sealed',
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (key_hash),
    KEY idx_created (created_at)
) ENGINE = InnoDB;
