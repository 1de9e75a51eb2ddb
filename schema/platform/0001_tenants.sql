-- SPDX-License-Identifier: Apache-2.0
-- Who exists, and how a credential finds its tenant.

CREATE TABLE tenant (
    id BIGINT NOT NULL AUTO_INCREMENT,
    slug VARCHAR(63) NOT NULL COMMENT 'the public id, chosen at creation',
    name VARCHAR(255) NOT NULL,
    schema_name VARCHAR(64) NULL COMMENT 'set once the id is known',
    `database` VARCHAR(32) NOT NULL DEFAULT 'main' COMMENT 'name of the SQL server in the configuration',
    region CHAR(2) NOT NULL DEFAULT 'US' COMMENT 'how phone numbers without + are read',
    status ENUM('creating', 'active', 'suspended', 'closed') NOT NULL DEFAULT 'creating',
    data_key VARBINARY(128) NOT NULL COMMENT 'sealed by the key derived from crypto.master_key',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_slug (slug),
    UNIQUE KEY uq_schema_name (schema_name)
) ENGINE = InnoDB;

-- The people who run the installation; they belong to no tenant.
CREATE TABLE `operator` (
    id BIGINT NOT NULL AUTO_INCREMENT,
    email VARBINARY(400) NOT NULL COMMENT 'sealed',
    email_hash BINARY(32) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_email_hash (email_hash)
) ENGINE = InnoDB;

-- Log-in: from an e-mail to the tenants that know it. Written before the user and completed after: where user_id is NULL
-- the tenant is asked by the e-mail's hash, and a row whose user does not exist is harmless.
CREATE TABLE login (
    email_hash BINARY(32) NOT NULL,
    tenant_id BIGINT NOT NULL,
    user_id BIGINT NULL COMMENT 'user.id in the schema of the tenant',
    PRIMARY KEY (email_hash, tenant_id),
    KEY idx_tenant_user (tenant_id, user_id),
    CONSTRAINT fk_login_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

-- tenant_id 0 is the platform itself: an operator.
CREATE TABLE refresh_token (
    id BIGINT NOT NULL AUTO_INCREMENT,
    token_hash BINARY(32) NOT NULL,
    family BINARY(16) NOT NULL COMMENT 'all that came from one log-in',
    tenant_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    issued_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    used_at DATETIME(6) NULL COMMENT 'changed for a newer one; seen again after that, its family ends',
    revoked_at DATETIME(6) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_token_hash (token_hash),
    KEY idx_family (family),
    KEY idx_user (tenant_id, user_id),
    KEY idx_expires (expires_at)
) ENGINE = InnoDB;

CREATE TABLE api_key (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL,
    name VARCHAR(255) NOT NULL,
    secret_hash BINARY(32) NOT NULL,
    role ENUM('admin', 'supervisor', 'agent') NOT NULL,
    scopes VARCHAR(1000) NOT NULL COMMENT 'words parted by a space',
    created_by BIGINT NOT NULL COMMENT 'user.id in the schema of the tenant',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    expires_at DATETIME(6) NULL,
    revoked_at DATETIME(6) NULL,
    last_used_at DATETIME(6) NULL COMMENT 'to the minute',
    PRIMARY KEY (id),
    KEY idx_tenant (tenant_id, id),
    CONSTRAINT fk_api_key_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;
