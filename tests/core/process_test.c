/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "io/process.h"
#include "world.h"

static uv_loop_t loop;

struct ended {
    int done, status, code;
    size_t len;
    char out[4096], errors[5000], text[256];
    uint64_t at_ns;
};

static void on_done(void *arg, int status, const char *out, size_t len, const char *errors, const struct err *e) {
    struct ended *d = arg;
    d->done++;
    d->status = status;
    d->len = len;
    memcpy(d->out, out, len < sizeof d->out - 1 ? len : sizeof d->out - 1);
    snprintf(d->errors, sizeof d->errors, "%s", errors);
    d->code = e->code;
    snprintf(d->text, sizeof d->text, "%s", e->text);
    d->at_ns = uv_hrtime();
}

static struct ended run_with(struct process_opts o) {
    struct ended d = {0};
    struct err e;
    o.on_done = on_done;
    o.arg = &d;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, process_run(&loop, &o, &e));
    CHECK_INT(0, d.done);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1, d.done);
    CHECK_INT(0, uv_loop_close(&loop));
    return d;
}

static struct ended sh(const char *script) {
    const char *argv[] = {"sh", "-c", script, NULL};
    return run_with((struct process_opts){.argv = argv});
}

TEST(output_errors_and_status_come_back) {
    struct ended d = sh("printf 'a\\0b'; echo trouble >&2; exit 3");
    CHECK_INT(0, d.code);
    CHECK_INT(3, d.status);
    CHECK_INT(3, d.len);
    assert_memory_equal(d.out, "a\0b", 3);
    CHECK_STR("trouble\n", d.errors);
    CHECK_INT(128 + SIGTERM, sh("kill -TERM $$").status);
}

TEST(input_goes_in_whole_and_comes_out_whole) {
    const size_t len = 3 * 1024 * 1024;
    char *input = mem_alloc(len);
    for (size_t i = 0; i < len; i++) input[i] = (char)(i * 31);
    const char *argv[] = {"cat", NULL};
    struct ended d = run_with((struct process_opts){.argv = argv, .input = input, .input_len = len});
    CHECK_INT(0, d.code);
    CHECK_INT(len, d.len);
    assert_memory_equal(d.out, input, sizeof d.out - 1);
    free(input);
}

TEST(a_program_need_not_read_its_input) {
    const size_t len = 1024 * 1024;
    char *input = mem_alloc(len);
    const char *argv[] = {"true", NULL};
    struct ended d = run_with((struct process_opts){.argv = argv, .input = input, .input_len = len});
    CHECK_INT(0, d.code);
    CHECK_INT(0, d.status);
    free(input);
}

TEST(arguments_are_not_read_by_a_shell) {
    const char *argv[] = {"printf", "%s", "$(id) ; rm -rf / `x` * '\"", NULL};
    CHECK_STR("$(id) ; rm -rf / `x` * '\"", run_with((struct process_opts){.argv = argv}).out);
}

TEST(a_program_that_is_not_there_is_not_found) {
    const char *argv[] = {"no-such-program-here", NULL}, *none[] = {NULL};
    struct ended d = run_with((struct process_opts){.argv = argv});
    CHECK_INT(ERR_NOT_FOUND, d.code);
    CHECK(strstr(d.text, "no-such-program-here") != NULL);
    struct process_opts o = {.argv = none, .on_done = on_done};
    struct err e;
    CHECK_INT(ERR_INVALID, process_run(&loop, &o, &e));
}

TEST(a_program_that_takes_too_long_is_killed) {
    const char *argv[] = {"sleep", "30", NULL};
    uint64_t began = uv_hrtime();
    struct ended d = run_with((struct process_opts){.argv = argv, .timeout_ms = 100});
    CHECK_INT(ERR_TIMEOUT, d.code);
    CHECK_INT(128 + SIGKILL, d.status);
    CHECK((d.at_ns - began) / 1000000 < 3000);
}

TEST(a_program_whose_child_keeps_the_output_open_ends_in_time) {
    const char *argv[] = {"sh", "-c", "sleep 3 & exit 0", NULL};
    uint64_t began = uv_hrtime();
    struct ended d = run_with((struct process_opts){.argv = argv, .timeout_ms = 200});
    (void)d;
    CHECK((d.at_ns - began) / 1000000 < 2000);
}

TEST(more_output_than_allowed_ends_the_program) {
    const char *argv[] = {"yes", NULL};
    struct ended d = run_with((struct process_opts){.argv = argv, .output_limit = 100000});
    CHECK_INT(ERR_LIMIT, d.code);
    CHECK(d.len <= 100000);
    const char *just[] = {"head", "-c", "1000", "/dev/zero", NULL};
    CHECK_INT(0, run_with((struct process_opts){.argv = just, .output_limit = 1000}).code);
    CHECK_INT(ERR_LIMIT, run_with((struct process_opts){.argv = just, .output_limit = 999}).code);
}

TEST(of_many_errors_the_first_are_kept) {
    struct ended d = sh("printf first >&2; head -c 100000 /dev/zero | tr '\\0' x >&2");
    CHECK_INT(0, d.code);
    CHECK_INT(4096, strlen(d.errors));
    CHECK(strncmp(d.errors, "firstx", 6) == 0);
}

TEST(nothing_is_inherited_but_the_three_streams_and_three_variables) {
    int file = open("/dev/null", O_RDONLY); /* without O_CLOEXEC, as a library would */
    int far = fcntl(file, F_DUPFD, 500);
    setenv("PARLEY_SECRET_TEST", "hidden", 1);
    struct ended d = sh("ls /proc/self/fd; env | cut -d= -f1 | sort | tr '\\n' ' '");
    close(file);
    close(far);
    /* ls' own look at the folder is the 3. */
    CHECK(strncmp(d.out, "0\n1\n2\n3\n", 8) == 0);
    CHECK(d.out[8] < '0' || d.out[8] > '9');
    CHECK(strstr(d.out, "PARLEY_SECRET_TEST") == NULL);
    CHECK_STR("HOME LANG PATH PWD ", d.out + 8); /* PWD is sh's own */
}

TEST(eight_run_at_once_the_next_wait_and_beyond_that_it_is_busy) {
    static struct ended ends[8 + 256];
    const char *argv[] = {"sh", "-c", "echo", NULL};
    struct process_opts o = {.argv = argv, .on_done = on_done};
    struct err e;
    CHECK_INT(0, uv_loop_init(&loop));
    for (int i = 0; i < 8 + 256; i++) {
        o.arg = &ends[i];
        CHECK_INT(0, process_run(&loop, &o, &e));
    }
    CHECK_INT(ERR_BUSY, process_run(&loop, &o, &e));
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int i = 0; i < 8 + 256; i++) {
        CHECK_INT(1, ends[i].done);
        CHECK_INT(0, ends[i].code);
        CHECK_INT(1, ends[i].len);
    }
    CHECK_INT(0, uv_loop_close(&loop));
}

int main(void) {
    signal(SIGPIPE, SIG_IGN); /* as parleyd does */
    const struct CMUnitTest tests[] = {
        RUN(output_errors_and_status_come_back),
        RUN(input_goes_in_whole_and_comes_out_whole),
        RUN(a_program_need_not_read_its_input),
        RUN(arguments_are_not_read_by_a_shell),
        RUN(a_program_that_is_not_there_is_not_found),
        RUN(a_program_that_takes_too_long_is_killed),
        RUN(a_program_whose_child_keeps_the_output_open_ends_in_time),
        RUN(more_output_than_allowed_ends_the_program),
        RUN(of_many_errors_the_first_are_kept),
        RUN(nothing_is_inherited_but_the_three_streams_and_three_variables),
        RUN(eight_run_at_once_the_next_wait_and_beyond_that_it_is_busy),
    };
    return RUN_ALL(tests);
}
