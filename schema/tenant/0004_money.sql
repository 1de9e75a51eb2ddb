-- SPDX-License-Identifier: Apache-2.0
-- Advertising spend and credits. Amounts are millionths of their currency.

CREATE TABLE spend_event (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    campaign_id BIGINT NOT NULL,
    platform VARCHAR(50) NOT NULL,
    amount BIGINT NOT NULL,
    currency CHAR(3) NOT NULL DEFAULT 'USD',
    `date` DATE NOT NULL,
    external_id VARCHAR(255) NULL COMMENT 'of the platform',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_external (platform, external_id),
    KEY idx_tenant_campaign_date (tenant_id, campaign_id, `date`),
    CONSTRAINT fk_spend_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_spend_campaign FOREIGN KEY (campaign_id) REFERENCES campaign (id)
) ENGINE = InnoDB;

CREATE TABLE credit_event (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    campaign_id BIGINT NULL,
    amount BIGINT NOT NULL,
    currency CHAR(3) NOT NULL DEFAULT 'USD',
    `date` DATE NOT NULL,
    type ENUM('purchase', 'adjustment', 'refund') NOT NULL,
    description VARCHAR(2000) NULL,
    posting_key VARCHAR(128) NULL COMMENT 'never posted twice',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_posting_key (posting_key),
    KEY idx_tenant_date (tenant_id, `date`),
    KEY idx_campaign_date (campaign_id, `date`),
    CONSTRAINT fk_credit_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_credit_campaign FOREIGN KEY (campaign_id) REFERENCES campaign (id)
) ENGINE = InnoDB;

CREATE TABLE reconciliation (
    id BIGINT NOT NULL AUTO_INCREMENT,
    tenant_id BIGINT NOT NULL DEFAULT 1,
    spend_event_id BIGINT NOT NULL,
    credit_event_id BIGINT NULL,
    discrepancy BIGINT NOT NULL DEFAULT 0,
    currency CHAR(3) NOT NULL DEFAULT 'USD',
    status ENUM('matched', 'unmatched', 'adjusted') NOT NULL DEFAULT 'unmatched',
    adjusted_at DATETIME(6) NULL,
    notes VARCHAR(2000) NULL,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    KEY idx_tenant_status (tenant_id, status),
    KEY idx_spend (spend_event_id),
    KEY idx_credit (credit_event_id),
    CONSTRAINT fk_reconciliation_tenant FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    CONSTRAINT fk_reconciliation_spend FOREIGN KEY (spend_event_id) REFERENCES spend_event (id),
    CONSTRAINT fk_reconciliation_credit FOREIGN KEY (credit_event_id) REFERENCES credit_event (id)
) ENGINE = InnoDB;
