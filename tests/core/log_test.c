/* SPDX-License-Identifier: Apache-2.0 */
/* The log writes into a memory file; each test reads back its lines as JSON. */
#include "base/log.h"
#include "base/mem.h"
#include "test.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int file = -1;

static int open_file(void **state) {
    (void)state;
    file = memfd_create("log", MFD_CLOEXEC);
    fcntl(file, F_SETFL, O_APPEND);
    log_open("worker", 3, file, LOG_INFO);
    return file < 0;
}

static int close_file(void **state) {
    (void)state;
    log_open("log_test", -1, STDERR_FILENO, LOG_INFO);
    return close(file);
}

static char *read_all(void) {
    off_t len = lseek(file, 0, SEEK_END);
    char *text = mem_alloc((size_t)len + 1);
    CHECK_INT(len, pread(file, text, (size_t)len, 0));
    return text;
}

/* The one line of the log, parsed; the caller drops it. */
static json_t *only_line(void) {
    char *text = read_all();
    size_t len = strlen(text);
    CHECK(len > 0 && text[len - 1] == '\n' && strchr(text, '\n') == text + len - 1);
    CHECK(len <= 8192);
    json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);
    CHECK(line != NULL);
    free(text);
    return line;
}

static const char *str_of(json_t *line, const char *key) {
    const char *text = json_string_value(json_object_get(line, key));
    return text ? text : "(none)";
}

TEST(a_line_says_when_who_and_what) {
    errno = EPIPE;
    log_info("slot.taken", "node %s slot %d", "n1", 3);
    CHECK_INT(EPIPE, errno);
    json_t *line = only_line();
    CHECK_STR("info", str_of(line, "level"));
    CHECK_STR("slot.taken", str_of(line, "event"));
    CHECK_STR("worker", str_of(line, "program"));
    CHECK_STR("node n1 slot 3", str_of(line, "text"));
    CHECK_INT(3, json_integer_value(json_object_get(line, "worker")));
    CHECK_INT(getpid(), json_integer_value(json_object_get(line, "pid")));
    CHECK_INT(27, strlen(str_of(line, "time")));
    json_decref(line);
}

TEST(a_process_that_is_no_worker_names_no_worker) {
    log_open("parleyd", -1, file, LOG_INFO);
    log_info("server.started", "ok");
    json_t *line = only_line();
    CHECK(json_object_get(line, "worker") == NULL);
    json_decref(line);
}

TEST(lines_below_the_level_are_not_written_but_errors_always_count) {
    unsigned long before = log_error_count();
    log_open("worker", 3, file, LOG_ERROR);
    log_warn("a.b", "no");
    log_fields(LOG_INFO, "a.b", NULL);
    log_debug("a.b", "no");
    CHECK_INT(0, lseek(file, 0, SEEK_END));
    log_error("a.b", "yes");
    log_fields(LOG_ERROR, "a.b", "\"n\":1");
    CHECK_INT(before + 2, log_error_count());
}

TEST(hostile_bytes_stay_inside_their_string) {
    log_info("evil.\"event\n", "%s", "\",\"level\":\"x\"}\n{\xFF\x01");
    json_t *line = only_line();
    CHECK_STR("info", str_of(line, "level"));
    CHECK_STR("evil.\"event\n", str_of(line, "event"));
    CHECK_STR("\",\"level\":\"x\"}\n{\xEF\xBF\xBD\x01", str_of(line, "text"));
    json_decref(line);
}

TEST(a_long_text_is_cut_and_still_json) {
    char text[20000];
    for (size_t i = 0; i < sizeof text - 1; i++) text[i] = i % 3 ? '\n' : '"'; /* each doubles when escaped */
    text[sizeof text - 1] = '\0';
    log_info("text.long", "%s", text);
    json_t *line = only_line();
    CHECK(strlen(str_of(line, "text")) > 3500);
    json_decref(line);
}

TEST(a_cut_never_splits_a_character) {
    for (int shift = 0; shift < 8; shift++) {
        CHECK_INT(0, ftruncate(file, 0));
        char text[9000];
        size_t at = 0;
        for (int i = 0; i < shift; i++) text[at++] = 'x';
        while (at + 4 < sizeof text - 1) {
            memcpy(text + at, "\xF0\x9F\x98\x80", 4);
            at += 4;
        }
        text[at] = '\0';
        log_info("text.long", "%s", text);
        json_decref(only_line());
    }
}

TEST(fields_become_members_of_the_line) {
    log_fields(LOG_WARN, "call.ended", "\"call\":\"c1\",\"seconds\":3.5");
    json_t *line = only_line();
    CHECK_STR("c1", str_of(line, "call"));
    CHECK_STR("warn", str_of(line, "level"));
    CHECK(json_object_get(line, "text") == NULL);
    json_decref(line);
}

TEST(fields_that_are_no_members_are_kept_as_text) {
    static const char *const bad[] = {"\"call\":", "\"a\":1}\n{\"b\":2", "\"a\":\n1", "}", "\"a\":\"\xFF\""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(0, ftruncate(file, 0));
        log_fields(LOG_INFO, "call.ended", bad[i]);
        json_t *line = only_line();
        CHECK(json_object_get(line, "cut_fields") != NULL);
        json_decref(line);
    }
    CHECK_INT(0, ftruncate(file, 0));
    char *large = mem_printf("\"a\":\"%09000d\"", 1);
    log_fields(LOG_INFO, "call.ended", large);
    json_t *line = only_line();
    CHECK(strlen(str_of(line, "cut_fields")) > 7000);
    json_decref(line);
    free(large);
}

TEST(members_of_our_own_writer_stand_as_they_are_unless_they_are_too_long) {
    log_members(LOG_INFO, "span", "\"ms\":3}", 6); /* so many bytes, whatever follows them */
    json_t *line = only_line();
    CHECK_INT(3, json_integer_value(json_object_get(line, "ms")));
    json_decref(line);
    CHECK_INT(0, ftruncate(file, 0));
    char *large = mem_printf("\"a\":\"%09000d\"", 1);
    log_members(LOG_INFO, "span", large, strlen(large));
    line = only_line();
    CHECK(strlen(str_of(line, "cut_fields")) > 7000);
    json_decref(line);
    free(large);
    CHECK(log_starts(LOG_ERROR) && log_starts(LOG_INFO) && !log_starts(LOG_DEBUG));
}

TEST(a_log_that_cannot_be_written_harms_nobody) {
    log_open("worker", 3, -1, LOG_INFO);
    log_info("a.b", "gone");
}

static void *write_many(void *arg) {
    for (int i = 0; i < 500; i++) log_info("thread.line", "%s %d", (const char *)arg, i);
    return NULL;
}

TEST(lines_of_many_threads_do_not_mix) {
    pthread_t threads[4];
    static char names[4][2] = {"a", "b", "c", "d"};
    for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&threads[i], NULL, write_many, names[i]));
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);

    char *text = read_all(), *rest = text, *one;
    int lines = 0;
    while ((one = strsep(&rest, "\n")) != NULL && *one) {
        json_t *line = json_loads(one, 0, NULL);
        CHECK(line != NULL);
        json_decref(line);
        lines++;
    }
    CHECK_INT(2000, lines);
    free(text);
}

TEST(levels_are_known_by_name) {
    CHECK_INT(LOG_DEBUG, log_level_parse("debug"));
    CHECK_INT(LOG_ERROR, log_level_parse("error"));
    CHECK_INT(-1, log_level_parse("INFO"));
    CHECK_INT(-1, log_level_parse(""));
}

#define RUN_LOG(name) cmocka_unit_test_setup_teardown(name, open_file, close_file)
int main(void) {
    const struct CMUnitTest tests[] = {
        RUN_LOG(a_line_says_when_who_and_what),
        RUN_LOG(a_process_that_is_no_worker_names_no_worker),
        RUN_LOG(lines_below_the_level_are_not_written_but_errors_always_count),
        RUN_LOG(hostile_bytes_stay_inside_their_string),
        RUN_LOG(a_long_text_is_cut_and_still_json),
        RUN_LOG(a_cut_never_splits_a_character),
        RUN_LOG(fields_become_members_of_the_line),
        RUN_LOG(fields_that_are_no_members_are_kept_as_text),
        RUN_LOG(members_of_our_own_writer_stand_as_they_are_unless_they_are_too_long),
        RUN_LOG(a_log_that_cannot_be_written_harms_nobody),
        RUN_LOG(lines_of_many_threads_do_not_mix),
        RUN_LOG(levels_are_known_by_name),
    };
    return RUN_ALL(tests);
}
