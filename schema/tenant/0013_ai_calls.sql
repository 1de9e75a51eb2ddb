-- SPDX-License-Identifier: Apache-2.0
-- Each attempt at an answer is a row of ai_call, written once by its key; sums and budgets are kept in the transaction of the rows.

ALTER TABLE ai_call
    ADD COLUMN entry_key BINARY(16) NULL COMMENT 'made before it is written: the same entry is never there twice' AFTER id,
    ADD COLUMN answer_key BINARY(16) NULL COMMENT 'the same for all attempts at one answer',
    ADD COLUMN attempt SMALLINT NOT NULL DEFAULT 1 COMMENT 'of the answer, from 1',
    ADD COLUMN external_ref VARCHAR(128) NULL COMMENT 'a callId that no call has',
    ADD COLUMN campaign_id BIGINT NULL,
    ADD COLUMN purpose VARCHAR(16) NULL COMMENT 'call, campaign or api',
    ADD COLUMN key_id VARCHAR(64) NULL COMMENT 'public id of the provider''s key',
    ADD COLUMN input_tokens INT NOT NULL DEFAULT 0 COMMENT 'all of them',
    ADD COLUMN cached_tokens INT NOT NULL DEFAULT 0 COMMENT 'of them: read from the provider''s cache',
    ADD COLUMN written_tokens INT NOT NULL DEFAULT 0 COMMENT 'of them: written to it',
    ADD COLUMN output_tokens INT NOT NULL DEFAULT 0,
    ADD COLUMN estimated TINYINT NOT NULL DEFAULT 0 COMMENT 'the provider told no usage: tokens are ours',
    ADD COLUMN first_token_ms INT NULL,
    ADD COLUMN error_class VARCHAR(16) NULL,
    ADD COLUMN cache VARCHAR(8) NULL COMMENT 'hit: nobody was asked',
    ADD COLUMN price_version VARCHAR(64) NULL COMMENT 'by which price it was counted',
    ADD COLUMN trace VARCHAR(32) NULL,
    ADD UNIQUE KEY uq_entry_key (entry_key),
    ADD KEY idx_answer (answer_key),
    ADD KEY idx_campaign (campaign_id, id),
    ADD KEY idx_external_ref (external_ref);

-- What was spent in a day ('2026-11-27') or a month ('2026-11'), of all, a provider ('provider:openai') or a campaign ('campaign:12').
CREATE TABLE ai_spend (
    period VARCHAR(10) NOT NULL,
    scope VARCHAR(64) NOT NULL,
    currency CHAR(3) NOT NULL,
    micros BIGINT NOT NULL DEFAULT 0,
    requests BIGINT NOT NULL DEFAULT 0,
    failed BIGINT NOT NULL DEFAULT 0,
    input_tokens BIGINT NOT NULL DEFAULT 0,
    output_tokens BIGINT NOT NULL DEFAULT 0,
    told SMALLINT NOT NULL DEFAULT 0 COMMENT 'per cent of the budget of which there was an event',
    PRIMARY KEY (period, scope, currency)
) ENGINE = InnoDB;

-- What each worker holds of the budget: reserved for requests under way, or for those to come.
CREATE TABLE ai_share (
    owner VARCHAR(96) NOT NULL COMMENT 'the worker',
    micros BIGINT NOT NULL,
    ends_at DATETIME(6) NOT NULL COMMENT 'renewed while anything is held: that of a worker that died comes back then',
    PRIMARY KEY (owner)
) ENGINE = InnoDB;

-- Always there, so that who takes a share has a row to wait at.
INSERT INTO ai_share (owner, micros, ends_at) VALUES ('', 0, '2026-01-01 00:00:00');
