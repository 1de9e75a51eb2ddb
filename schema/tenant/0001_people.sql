-- SPDX-License-Identifier: Apache-2.0
-- The tenant itself, its people and its campaigns.
-- "sealed" is ciphertext under the tenant's data key; the column of the same name with _hash is its keyed hash.

CREATE TABLE tenant (
    id BIGINT NOT NULL AUTO_INCREMENT COMMENT 'always 1: a schema has one tenant',
    platform_id BIGINT NOT NULL COMMENT 'tenant.id of the platform schema',
    slug VARCHAR(63) NOT NULL,
    name VARCHAR(255) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_platform_id (platform_id)
) ENGINE = InnoDB;

CREATE TABLE `user` (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    email VARBINARY(400) NOT NULL COMMENT 'sealed',
    email_hash BINARY(32) NOT NULL,
    name VARBINARY(1100) NULL COMMENT 'sealed',
    password_hash VARCHAR(255) NOT NULL,
    role ENUM('admin', 'agent', 'supervisor') NOT NULL,
    status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
    version INT NOT NULL DEFAULT 1,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_email (email_hash),
    KEY idx_tenant_email (tenant_id, email_hash),
    KEY idx_role (role, status, id),
    CONSTRAINT fk_user_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE campaign (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    code VARCHAR(64) NULL COMMENT 'the name by which requests may call it, as in campaignId "camp1"',
    name VARCHAR(255) NOT NULL,
    platform VARCHAR(50) NOT NULL COMMENT 'google_ads, facebook, manual',
    budget BIGINT NULL COMMENT 'millionths of currency',
    currency CHAR(3) NOT NULL DEFAULT 'USD',
    status ENUM('active', 'paused', 'completed') NOT NULL DEFAULT 'active',
    start_date DATE NULL,
    end_date DATE NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_code (code),
    KEY idx_tenant_status (tenant_id, status),
    CONSTRAINT fk_campaign_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;
