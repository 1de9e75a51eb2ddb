-- SPDX-License-Identifier: Apache-2.0

CREATE TABLE `lead` (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    name VARBINARY(1100) NULL COMMENT 'sealed',
    phone VARBINARY(80) NULL COMMENT 'sealed; E.164 in form',
    phone_hash BINARY(32) NULL,
    phone_possible TINYINT NULL COMMENT '0: has the form, but no such number can exist',
    email VARBINARY(1100) NULL COMMENT 'sealed',
    email_hash BINARY(32) NULL,
    score DECIMAL(5, 2) NOT NULL DEFAULT 0,
    status ENUM('new', 'qualified', 'assigned', 'contacted', 'converted', 'closed') NOT NULL DEFAULT 'new',
    source ENUM('call', 'web', 'referral', 'campaign') NOT NULL DEFAULT 'call',
    campaign_id BIGINT NULL,
    call_id BIGINT NULL COMMENT 'the call that made it; no key: rows of calls are removed earlier',
    assigned_agent_id BIGINT NULL,
    assigned_at DATETIME(6) NULL,
    last_contacted_at DATETIME(6) NULL,
    notes MEDIUMBLOB NULL COMMENT 'sealed',
    data MEDIUMBLOB NULL COMMENT 'sealed JSON: further fields a flow gave',
    effect_key VARCHAR(128) NULL COMMENT 'the verb that made it: never made twice',
    version INT NOT NULL DEFAULT 1,
    deleted_at DATETIME(6) NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_effect_key (effect_key),
    KEY idx_status (deleted_at, status, id),
    KEY idx_score (deleted_at, score, id),
    KEY idx_created (deleted_at, created_at),
    KEY idx_source (deleted_at, source, id),
    KEY idx_phone (phone_hash, id),
    KEY idx_email (email_hash, id),
    KEY idx_agent (assigned_agent_id, id),
    KEY idx_campaign (campaign_id, id),
    KEY idx_call (call_id),
    CONSTRAINT fk_lead_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_lead_campaign FOREIGN KEY (campaign_id) REFERENCES campaign (id),
    CONSTRAINT fk_lead_agent FOREIGN KEY (assigned_agent_id) REFERENCES `user` (id)
) ENGINE = InnoDB;

-- Names are found by keyed hashes of their words.
CREATE TABLE lead_word (
    word_hash BINARY(32) NOT NULL,
    lead_id BIGINT NOT NULL,
    PRIMARY KEY (word_hash, lead_id),
    KEY idx_lead (lead_id),
    CONSTRAINT fk_lead_word_lead FOREIGN KEY (lead_id) REFERENCES `lead` (id)
) ENGINE = InnoDB;
