/* SPDX-License-Identifier: Apache-2.0 */
/* core.redis in a program that ends by exit(), as every command does. What it leaves behind, the sanitizers' build reports. */
#include "world.h"

TEST(a_command_that_ended_leaked_the_texts_of_its_scripts) {
    char file[128], program[4200], log[128], said[4096];
    const char *bin = getenv("PARLEY_BIN");
    int status = -1;

    assert_non_null(bin);
    world_begin();
    snprintf(program, sizeof program, "%s/parley", bin);
    snprintf(file, sizeof file, "%s/ends.lua", world_dir);
    snprintf(log, sizeof log, "%s/parley.log", world_dir);
    FILE *f = fopen(file, "we");
    fputs("local redis = require 'core.redis'\n"
          "local kept = { redis.script('return 1'), redis.script(('-'):rep(5000)) }\n"
          "return kept[1] and 7\n",
          f);
    fclose(f);
    char *argv[] = {program, "run", file, NULL};
    pid_t pid = world_spawn("parley", program, argv);
    CHECK_INT(pid, waitpid(pid, &status, 0));
    f = fopen(log, "re");
    said[fread(said, 1, sizeof said - 1, f)] = '\0';
    fclose(f);
    world_end();
    CHECK_STR("", said);
    CHECK(WIFEXITED(status));
    CHECK_INT(7, WEXITSTATUS(status));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_command_that_ended_leaked_the_texts_of_its_scripts),
    };
    return RUN_ALL(tests);
}
