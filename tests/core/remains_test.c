/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "io/remains.h"
#include "test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static int setup(void **state) {
    (void)state;
    char base[] = "/tmp/remains.XXXXXX";
    if (mkdtemp(base) == NULL) return -1;
    snprintf(folder, sizeof folder, "%s/of", base);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char *command = mem_printf("rm -rf '%.*s'", (int)(strlen(folder) - 3), folder);
    int rc = system(command);
    free(command);
    return rc;
}

/* A process that notes a text and waits to be killed. */
static pid_t owner(const char *name, const char *text) {
    int ready[2];
    char byte;
    if (pipe(ready) < 0) abort();
    pid_t pid = fork();
    if (pid == 0) {
        struct remains *r;
        struct err e = {0};
        if (remains_create(&r, folder, name, &e) < 0 || remains_add(r, text, strlen(text), &e) < 0) _exit(1);
        if (write(ready[1], "x", 1) != 1) _exit(1);
        pause();
        _exit(0);
    }
    close(ready[1]);
    CHECK_INT(1, read(ready[0], &byte, 1));
    close(ready[0]);
    return pid;
}

TEST(what_a_living_process_has_is_not_taken_and_what_a_dead_one_had_is) {
    struct remains *r = NULL;
    struct buf out = {0};
    struct err e = {0};
    pid_t pid = owner("w.1", "a line\n");
    CHECK_INT(ERR_BUSY, remains_take(&r, folder, "w.1", &e));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    CHECK_INT(0, remains_take(&r, folder, "w.1", &e));
    CHECK_INT(0, remains_read(r, 100, &out, &e));
    CHECK_STR("a line\n", out.data);
    buf_free(&out);
    remains_remove(r);
    CHECK_INT(ERR_NOT_FOUND, remains_take(&r, folder, "w.1", &e));
}

TEST(one_of_several_gets_it_and_it_can_be_left_for_the_next) {
    struct remains *mine = NULL, *other = NULL;
    struct err e = {0};
    CHECK_INT(0, remains_create(&mine, folder, "w.1", &e));
    remains_leave(mine);
    CHECK_INT(0, remains_take(&mine, folder, "w.1", &e));
    CHECK_INT(ERR_BUSY, remains_take(&other, folder, "w.1", &e));
    remains_leave(mine);
    CHECK_INT(0, remains_take(&other, folder, "w.1", &e));
    remains_remove(other);
}

TEST(what_is_cleared_is_gone_and_more_can_be_added) {
    struct remains *r = NULL;
    struct buf out = {0};
    struct err e = {0};
    CHECK_INT(0, remains_create(&r, folder, "w.1", &e));
    CHECK_INT(0, remains_add(r, "old", 3, &e));
    CHECK_INT(0, remains_clear(r, &e));
    CHECK_INT(0, remains_add(r, "new", 3, &e));
    CHECK_INT(0, remains_read(r, 3, &out, &e));
    CHECK_STR("new", out.data);
    CHECK_INT(0, remains_add(r, "er", 2, &e));
    CHECK_INT(ERR_LIMIT, remains_read(r, 4, &out, &e));
    buf_free(&out);
    remains_remove(r);
}

TEST(names_that_lead_elsewhere_are_refused) {
    struct remains *r = NULL;
    struct err e = {0};
    static const char *const names[] = {"", ".", "..", "../x", "a/b", ".hidden", "a.new", "a b"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        CHECK_INT(ERR_INVALID, remains_create(&r, folder, names[i], &e));
        CHECK_INT(ERR_INVALID, remains_take(&r, folder, names[i], &e));
    }
    CHECK(r == NULL);
}

TEST(one_that_cannot_have_its_name_leaves_nothing) {
    struct remains *r = NULL;
    struct err e = {0};
    char *path = mem_printf("%s/w.1", folder), *temporary = mem_printf("%s/w.1.new", folder);
    CHECK_INT(0, mkdir(folder, 0700));
    CHECK_INT(0, mkdir(path, 0700));
    CHECK_INT(ERR_IO, remains_create(&r, folder, "w.1", &e));
    CHECK(access(temporary, F_OK) < 0);
    free(path);
    free(temporary);
}

TEST(a_folder_that_cannot_be_is_an_error) {
    struct remains *r = NULL;
    struct err e = {0};
    CHECK_INT(ERR_NOT_FOUND, remains_create(&r, "/nowhere/at/all", "w.1", &e));
    CHECK_INT(ERR_NOT_FOUND, remains_take(&r, "/nowhere/at/all", "w.1", &e));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_a_living_process_has_is_not_taken_and_what_a_dead_one_had_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(one_of_several_gets_it_and_it_can_be_left_for_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_cleared_is_gone_and_more_can_be_added, setup, teardown),
        cmocka_unit_test_setup_teardown(names_that_lead_elsewhere_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_cannot_have_its_name_leaves_nothing, setup, teardown),
        RUN(a_folder_that_cannot_be_is_an_error),
    };
    return RUN_ALL(tests);
}
