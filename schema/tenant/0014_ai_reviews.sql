-- SPDX-License-Identifier: Apache-2.0
-- Answers of AI models that their passages do not bear out, for a person to judge.

CREATE TABLE ai_review (
    id BIGINT NOT NULL AUTO_INCREMENT,
    call_id BIGINT NULL COMMENT 'NULL: asked over HTTP, not in a call',
    external_ref VARCHAR(128) NULL,
    question BLOB NULL COMMENT 'sealed',
    answer MEDIUMBLOB NOT NULL COMMENT 'sealed',
    passages MEDIUMBLOB NOT NULL COMMENT 'sealed JSON: what the answer was to be drawn from',
    findings MEDIUMBLOB NOT NULL COMMENT 'sealed JSON: the sentences, and what is missing',
    status ENUM('open', 'hallucination', 'correct') NOT NULL DEFAULT 'open',
    note BLOB NULL COMMENT 'sealed: of who judged',
    settled_by VARCHAR(64) NULL COMMENT 'public id of a user or key',
    settled_at DATETIME(6) NULL,
    version INT NOT NULL DEFAULT 1,
    created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6),
    PRIMARY KEY (id),
    KEY idx_status (status, id),
    KEY idx_call (call_id),
    CONSTRAINT fk_ai_review_call FOREIGN KEY (call_id) REFERENCES `call` (id)
) ENGINE = InnoDB;
