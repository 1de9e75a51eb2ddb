-- SPDX-License-Identifier: Apache-2.0
-- Scheduled and background work of all tenants: one index finds what is due.

CREATE TABLE job (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 0 COMMENT '0: the platform itself',
    kind VARCHAR(64) NOT NULL,
    `key` VARCHAR(191) NOT NULL DEFAULT '' COMMENT 'one job for each tenant, kind and key',
    due DATETIME(6) NULL COMMENT 'while it runs: when its lease ends; NULL: not by itself again',
    state ENUM('waiting', 'running', 'failed') NOT NULL DEFAULT 'waiting',
    attempt INT NOT NULL DEFAULT 0 COMMENT 'tries since the last success',
    claim BIGINT NOT NULL DEFAULT 0 COMMENT 'fence: grows with each taking',
    again TINYINT NOT NULL DEFAULT 0 COMMENT 'asked for while it ran',
    lease_owner VARCHAR(128) NULL,
    payload MEDIUMTEXT NULL COMMENT 'JSON',
    last_error VARCHAR(2000) NULL,
    last_error_at DATETIME(6) NULL,
    done_at DATETIME(6) NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_job (tenant_id, kind, `key`),
    KEY idx_due (due),
    KEY idx_state (state, kind)
) ENGINE = InnoDB;
