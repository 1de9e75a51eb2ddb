-- SPDX-License-Identifier: Apache-2.0
-- What a conversation was about, and how the caller sounded on the whole.

ALTER TABLE `call`
    ADD COLUMN summary BLOB NULL COMMENT 'sealed, personal values masked',
    ADD COLUMN summary_at DATETIME(6) NULL COMMENT 'when it was written; NULL: there is none',
    ADD COLUMN sentiment ENUM('positive', 'neutral', 'negative') NULL COMMENT 'of the caller, on the whole',
    ADD KEY idx_summary_at (summary_at);
