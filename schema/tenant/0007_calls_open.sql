-- SPDX-License-Identifier: Apache-2.0
-- The calls that have not ended, however many have: for the list of live calls, and for those that nobody has any more.

ALTER TABLE `call` ADD KEY idx_open (end_time, id);
