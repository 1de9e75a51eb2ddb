-- SPDX-License-Identifier: Apache-2.0
-- Where calls come from and whose they are: tenant = (trunk, dialled number), both must agree.

CREATE TABLE trunk (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL,
    name VARCHAR(64) NOT NULL,
    host VARCHAR(255) NULL COMMENT 'where outbound calls go; NULL: inbound only',
    port INT NOT NULL DEFAULT 5060,
    transport ENUM('udp', 'tcp', 'tls') NOT NULL DEFAULT 'udp',
    `match` VARCHAR(1000) NULL COMMENT 'addresses or networks it calls from, parted by a comma',
    username VARCHAR(128) NULL,
    realm VARCHAR(128) NULL,
    auth_digest VARCHAR(128) NULL COMMENT 'hex of the digest over user:realm:password, never the password',
    registers TINYINT NOT NULL DEFAULT 0,
    max_calls INT NULL,
    status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_tenant_name (tenant_id, name),
    CONSTRAINT fk_trunk_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE `number` (
    id BIGINT NOT NULL AUTO_INCREMENT,
    e164 VARCHAR(32) NOT NULL,
    tenant_id BIGINT NOT NULL,
    trunk_id BIGINT NULL COMMENT 'NULL: whichever trunk of the tenant',
    label VARCHAR(255) NULL,
    status ENUM('active', 'inactive') NOT NULL DEFAULT 'active',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_e164 (e164),
    KEY idx_tenant (tenant_id, id),
    KEY idx_trunk (trunk_id),
    CONSTRAINT fk_number_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_number_trunk FOREIGN KEY (trunk_id) REFERENCES trunk (id)
) ENGINE = InnoDB;
