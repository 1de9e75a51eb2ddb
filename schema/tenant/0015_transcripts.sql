-- SPDX-License-Identifier: Apache-2.0
-- When in the call an utterance was, whether it was cut off, and the stages of its turn; what a tenant wants kept of its calls.

ALTER TABLE transcript
    ADD COLUMN began_ms INT NULL COMMENT 'since the call was answered',
    ADD COLUMN ended_ms INT NULL,
    ADD COLUMN interrupted TINYINT NOT NULL DEFAULT 0 COMMENT 'the caller spoke over it: text is what was heard',
    ADD COLUMN timeline TEXT NULL COMMENT 'JSON, numbers only: the stages of the turn in ms (voice.timeline)',
    ADD KEY idx_timestamp (`timestamp`);

ALTER TABLE tenant
    ADD COLUMN recording_policy ENUM('flow', 'off', 'on', 'announce') NOT NULL DEFAULT 'flow'
        COMMENT 'flow: what scripts ask for; off: no call; on: each call whole; announce: whole, when that has been said',
    ADD COLUMN recording_announcement VARCHAR(500) NULL,
    ADD COLUMN recording_days INT NOT NULL DEFAULT 2555 COMMENT 'recordings are kept for so many days; seven years',
    ADD COLUMN transcript_days INT NOT NULL DEFAULT 2555 COMMENT 'and transcripts',
    ADD COLUMN mask_patterns TEXT NULL COMMENT 'JSON: list of { name, form } that transcripts are masked by, beside what all are';
