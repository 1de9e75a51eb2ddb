-- SPDX-License-Identifier: Apache-2.0
-- Journals of calls that have ended are kept for replay, as long as the tenant wants.

ALTER TABLE tenant ADD COLUMN journal_days SMALLINT NOT NULL DEFAULT 30 COMMENT 'journals of calls are kept for so many days; 0: they are not';

ALTER TABLE `call` ADD COLUMN journal_at DATETIME(6) NULL COMMENT 'when the journal was written; NULL: there is none', ADD KEY idx_journal_at (journal_at);
