-- SPDX-License-Identifier: Apache-2.0
-- Asterisk nodes that were added at run time. Those of the configuration are not here.

CREATE TABLE node (
    id BIGINT NOT NULL AUTO_INCREMENT,
    name VARCHAR(12) NOT NULL,
    ari_url VARCHAR(1024) NOT NULL,
    ari_user VARCHAR(80) NOT NULL,
    ari_password VARBINARY(2048) NOT NULL COMMENT 'sealed under a key of the platform',
    sip VARCHAR(255) NULL COMMENT 'host:port of its SIP side, for people',
    status ENUM('active', 'leaving') NOT NULL DEFAULT 'active',
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    UNIQUE KEY uq_name (name)
) ENGINE = InnoDB;
