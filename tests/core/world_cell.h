/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that play a worker with one cell: a zygote for the file, and a new cell for each test.
 *
 *   CELL(name)                      a row of the group; the cell is `cell`
 *   cmocka_run_group_tests(tests, start, stop)
 */
#pragma once
#include "cells.h"

static struct zygote zygote;
static uint32_t last_id;
static struct cell cell;

#define HEARD(line) CHECK_STR(line, heard(&cell))
#define FLOW(body)  "local flow = require 'flow'\nreturn flow.define{\nstart = 'a',\n" body "\n}"
#define CELL(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)

static int setup(void **state) {
    (void)state;
    cell = spawn_cell(zygote.worker, ++last_id);
    offer_verbs(&cell, "say menu gather now transfer hangup");
    return 0;
}

static int teardown(void **state) {
    int fds[3];
    (void)state;
    close_cell(&cell); /* it ends when its socket closes */
    struct zygote_message m = zygote_hear(zygote.worker, fds);
    CHECK_INT(ZYGOTE_ENDED, m.type);
    return 0;
}

static int start(void **state) {
    (void)state;
    zygote = start_zygote(NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    stop_zygote(&zygote);
    return 0;
}
