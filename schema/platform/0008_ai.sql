-- SPDX-License-Identifier: Apache-2.0
-- Who may be asked for answers, with which keys, at which price, and how much of it. Rows with tenant_id 0 are the operator's
-- and hold for every tenant; a tenant's own stand beside them, and a provider of the same name takes their place.

CREATE TABLE ai_provider (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 0 COMMENT '0: the operator''s',
    name VARCHAR(50) NOT NULL,
    kind VARCHAR(32) NOT NULL COMMENT 'whose wire it speaks: claude, openai_chat, ...',
    url VARCHAR(500) NOT NULL DEFAULT '',
    region VARCHAR(50) NOT NULL DEFAULT '',
    ca_file VARCHAR(255) NULL COMMENT 'certificates it is checked by; NULL: the system''s',
    status ENUM('active', 'paused') NOT NULL DEFAULT 'active',
    requests_per_minute BIGINT NULL COMMENT 'NULL: no limit',
    tokens_per_minute BIGINT NULL,
    concurrent INT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_name (tenant_id, name)
) ENGINE = InnoDB;

CREATE TABLE ai_model (
    provider_id BIGINT NOT NULL,
    model VARCHAR(100) NOT NULL,
    purpose ENUM('chat', 'embeddings') NOT NULL DEFAULT 'chat',
    quality SMALLINT NOT NULL DEFAULT 50 COMMENT '0 to 100, by who set it',
    weight INT NOT NULL DEFAULT 1,
    flags TEXT NULL COMMENT 'JSON: what the model can and cannot; NULL: as its kind',
    status ENUM('active', 'paused') NOT NULL DEFAULT 'active',
    PRIMARY KEY (provider_id, model),
    CONSTRAINT fk_ai_model_provider FOREIGN KEY (provider_id) REFERENCES ai_provider (id) ON DELETE CASCADE
) ENGINE = InnoDB;

CREATE TABLE ai_key (
    id BIGINT NOT NULL AUTO_INCREMENT,
    provider_id BIGINT NOT NULL,
    name VARCHAR(50) NOT NULL,
    secret VARBINARY(4096) NOT NULL COMMENT 'sealed under the key of the provider''s owner',
    status ENUM('active', 'paused', 'refused') NOT NULL DEFAULT 'active' COMMENT 'refused: by the provider; it rests until somebody sets it active',
    requests_per_minute BIGINT NULL,
    tokens_per_minute BIGINT NULL,
    concurrent INT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    refused_at DATETIME(6) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY uq_name (provider_id, name),
    CONSTRAINT fk_ai_key_provider FOREIGN KEY (provider_id) REFERENCES ai_provider (id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- One row for a tenant; that of tenant 0 holds for those that have none.
CREATE TABLE ai_policy (
    tenant_id BIGINT NOT NULL,
    policy TEXT NOT NULL COMMENT 'JSON',
    version BIGINT NOT NULL DEFAULT 1,
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (tenant_id)
) ENGINE = InnoDB;

-- What a tenant may use. The operator sets one row and the tenant another: of each figure the smaller one holds.
-- The operator's row of tenant 0 holds for tenants for which he has set none.
CREATE TABLE ai_budget (
    tenant_id BIGINT NOT NULL,
    set_by ENUM('operator', 'tenant') NOT NULL,
    currency CHAR(3) NOT NULL DEFAULT 'USD',
    day_micros BIGINT NULL COMMENT 'millionths of currency a day (UTC); NULL: no limit',
    month_micros BIGINT NULL,
    warn_percent SMALLINT NULL COMMENT 'of a budget: then there is a warning',
    requests_per_minute BIGINT NULL,
    tokens_per_minute BIGINT NULL,
    concurrent INT NULL,
    version BIGINT NOT NULL DEFAULT 1,
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (tenant_id, set_by)
) ENGINE = InnoDB;

-- Prices with the time from which they hold: rows are added, never changed, so that what a request cost can be told later.
CREATE TABLE ai_price (
    id BIGINT NOT NULL AUTO_INCREMENT,
    provider VARCHAR(50) NOT NULL DEFAULT '' COMMENT 'empty: at every provider',
    model VARCHAR(100) NOT NULL,
    valid_from DATETIME(6) NOT NULL,
    currency CHAR(3) NOT NULL,
    input BIGINT NOT NULL COMMENT 'millionths of currency for a million tokens; so are all others',
    output BIGINT NOT NULL,
    cached BIGINT NULL COMMENT 'read from the provider''s cache; NULL: as input',
    written BIGINT NULL COMMENT 'written to it',
    written_1h BIGINT NULL COMMENT 'written to be kept for an hour; NULL: as written',
    created_by VARCHAR(64) NOT NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_price (provider, model, valid_from)
) ENGINE = InnoDB;
