-- SPDX-License-Identifier: Apache-2.0
-- Recognisers, synthesisers and realtime models stand beside the language models, with prices of their own units; and what is asked in
-- which order.

ALTER TABLE ai_model
    MODIFY purpose ENUM('chat', 'embeddings', 'recognise', 'synthesise', 'realtime') NOT NULL DEFAULT 'chat';

ALTER TABLE ai_price
    ADD COLUMN characters BIGINT NULL COMMENT 'millionths of currency for a million characters that are spoken',
    ADD COLUMN minute BIGINT NULL COMMENT 'millionths of currency for a minute of sound',
    ADD COLUMN audio_input BIGINT NULL COMMENT 'millionths of currency for a million tokens of sound; so are both others',
    ADD COLUMN audio_output BIGINT NULL,
    ADD COLUMN audio_cached BIGINT NULL COMMENT 'NULL: as audio_input';

-- One row for a tenant; that of tenant 0 holds for those that have none.
CREATE TABLE ai_speech (
    tenant_id BIGINT NOT NULL,
    speech TEXT NOT NULL COMMENT 'JSON: who recognises, synthesises and converses, in which order, in which language and voice',
    version BIGINT NOT NULL DEFAULT 1,
    updated_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),
    PRIMARY KEY (tenant_id)
) ENGINE = InnoDB;
