-- SPDX-License-Identifier: Apache-2.0
-- How calls sounded and how long their callers waited for us: a row for each call that was answered, and the sums of each day.

-- Written in the transaction that ends the call. That it is there says that the day has it.
CREATE TABLE call_quality (
    call_id BIGINT NOT NULL,
    `day` DATE NOT NULL COMMENT 'in which it ended, UTC',
    turns INT NOT NULL,
    slow_turns INT NOT NULL COMMENT 'that took longer than a second',
    longest_gap_ms INT NULL COMMENT 'end of the caller''s speech until our first sound; NULL: there was no turn',
    received BIGINT NULL COMMENT 'packets of the caller; NULL: no audio came',
    lost BIGINT NULL,
    jitter_ms DECIMAL(7, 1) NULL,
    mos DECIMAL(3, 2) NULL COMMENT 'estimated',
    PRIMARY KEY (call_id),
    KEY idx_day_gap (`day`, longest_gap_ms, call_id),
    CONSTRAINT fk_quality_call FOREIGN KEY (call_id) REFERENCES `call` (id)
) ENGINE = InnoDB;

CREATE TABLE quality_day (
    `day` DATE NOT NULL COMMENT 'UTC',
    part TINYINT NOT NULL COMMENT 'by the calls'' ids: calls that end at the same moment rarely wait for the same row; the day is all of them together',
    figures TEXT NULL COMMENT 'JSON, numbers only: calls.figures',
    PRIMARY KEY (`day`, part)
) ENGINE = InnoDB;
