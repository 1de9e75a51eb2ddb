/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "io/blob.h"
#include "world.h"
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

static uv_loop_t loop;
static struct blob_store *store;
static char folder[100];

struct outcome {
    int done, code;
    struct buf data;
    char text[256];
};

static void note(void *arg, const void *data, size_t len, const struct err *e) {
    struct outcome *o = arg;
    o->done++;
    o->code = e ? e->code : 0;
    if (e) snprintf(o->text, sizeof o->text, "%s", e->text);
    if (e == NULL && data) buf_add(&o->data, data, len);
}

static void begin(void) {
    struct err e;
    world_begin();
    snprintf(folder, sizeof folder, "%s/deep/blobs", world_dir);
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, blob_open(&store, &loop, folder, &e));
}

static void end(void) {
    blob_close(store);
    CHECK_INT(0, uv_loop_close(&loop));
    world_end();
}

static int put(const char *key, const void *data, size_t len) {
    struct outcome o = {0};
    blob_put(store, key, data, len, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1, o.done);
    return o.code;
}

static struct outcome get(const char *key, size_t limit) {
    struct outcome o = {0};
    blob_get(store, key, limit, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1, o.done);
    return o;
}

static void check_holds(const char *key, const void *want, size_t len) {
    struct outcome o = get(key, 1 << 20);
    CHECK_INT(0, o.code);
    CHECK_INT(len, o.data.len);
    if (len) assert_memory_equal(o.data.data, want, len);
    buf_free(&o.data);
}

static int count_files(const char *path) {
    int n = 0;
    DIR *d = opendir(path);
    assert_non_null(d);
    for (struct dirent *f; (f = readdir(d)) != NULL;) n += f->d_name[0] != '.';
    closedir(d);
    return n;
}

TEST(what_was_put_is_got_and_the_last_put_counts) {
    begin();
    CHECK_INT(0, put("t/1/prompt.wav", "a\0b", 3));
    check_holds("t/1/prompt.wav", "a\0b", 3);
    CHECK_INT(0, put("t/1/prompt.wav", "second", 6));
    check_holds("t/1/prompt.wav", "second", 6);
    CHECK_INT(0, put("empty", "", 0));
    check_holds("empty", "", 0);
    end();
}

TEST(the_bytes_are_copied_when_asked) {
    char text[] = "before";
    struct outcome o = {0};
    begin();
    blob_put(store, "k", text, 6, note, &o);
    memcpy(text, "after!", 6);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(0, o.code);
    check_holds("k", "before", 6);
    end();
}

TEST(a_key_that_could_leave_the_folder_is_refused_by_each_call) {
    static const char *const bad[] = {"",    "/etc/passwd", "../x", "a/../../x", "a/..", "..", "a//b", "a/",  "A",
                                      "a b", "a\\b",        "a\nb", "\xc3\xa9",  "a%2f", "~",  "$x",   "a:b", "a*"};
    char at_most[202];
    begin();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct outcome o = {0};
        CHECK_INT(ERR_INVALID, put(bad[i], "x", 1));
        CHECK_INT(ERR_INVALID, get(bad[i], 10).code);
        blob_append(store, bad[i], "x", 1, 0, note, &o);
        CHECK_INT(ERR_INVALID, o.code);
        blob_remove(store, bad[i], note, &o);
        CHECK_INT(ERR_INVALID, o.code);
        blob_older(store, bad[i], INT64_MAX, 10, note, &o);
        CHECK_INT(ERR_INVALID, o.code);
        CHECK_INT(0, o.data.len);
    }
    CHECK_INT(0, count_files(folder));
    memset(at_most, 'k', 201);
    at_most[201] = '\0';
    CHECK_INT(ERR_INVALID, put(at_most, "x", 1));
    at_most[200] = '\0';
    CHECK_INT(0, put(at_most, "x", 1));
    check_holds(at_most, "x", 1);
    end();
}

TEST(what_is_missing_is_not_found_and_what_is_too_large_is_a_limit) {
    begin();
    CHECK_INT(ERR_NOT_FOUND, get("nothing/here", 10).code);
    CHECK_INT(0, put("ten", "0123456789", 10));
    struct outcome o = get("ten", 10);
    CHECK_INT(0, o.code);
    buf_free(&o.data);
    CHECK_INT(ERR_LIMIT, get("ten", 9).code);
    o = (struct outcome){0};
    blob_remove(store, "ten", note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(0, o.code);
    CHECK_INT(ERR_NOT_FOUND, get("ten", 10).code);
    blob_remove(store, "ten", note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(ERR_NOT_FOUND, o.code);
    end();
}

TEST(appends_to_many_keys_at_once_stay_in_order) {
    struct outcome o = {0};
    char key[32], line[32];
    struct buf want = {0};
    begin();
    for (int n = 0; n < 50; n++)
        for (int k = 0; k < 20; k++) {
            snprintf(key, sizeof key, "spool/%d", k);
            snprintf(line, sizeof line, "%d.%d\n", k, n);
            blob_append(store, key, line, strlen(line), n == 49, note, &o);
        }
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1000, o.done);
    CHECK_INT(0, o.code);
    for (int k = 0; k < 20; k++) {
        snprintf(key, sizeof key, "spool/%d", k);
        buf_clear(&want);
        for (int n = 0; n < 50; n++) buf_printf(&want, "%d.%d\n", k, n);
        check_holds(key, want.data, want.len);
    }
    buf_free(&want);
    end();
}

static void check_part(const char *key, size_t from, size_t most, const char *want) {
    struct outcome o = {0};
    blob_part(store, key, from, most, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1, o.done);
    CHECK_INT(0, o.code);
    CHECK_INT(strlen(want), o.data.len);
    if (o.data.len) assert_memory_equal(o.data.data, want, o.data.len);
    buf_free(&o.data);
}

TEST(a_part_is_read_from_where_it_is_asked_and_ends_where_the_blob_does) {
    struct outcome o = {0};
    char *large = mem_alloc(200001);
    begin();
    CHECK_INT(0, put("k", "0123456789", 10));
    check_part("k", 0, 4, "0123");
    check_part("k", 4, 4, "4567");
    check_part("k", 8, 4, "89");
    check_part("k", 10, 4, "");
    check_part("k", 1000, 4, "");
    check_part("k", 3, 0, "");
    blob_part(store, "none", 0, 4, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(ERR_NOT_FOUND, o.code);
    for (int i = 0; i < 200000; i++) large[i] = (char)('a' + i % 26);
    large[200000] = '\0';
    CHECK_INT(0, put("large", large, 200000));
    check_part("large", 1, 300000, large + 1); /* in more than one read */
    large[100001] = '\0';
    check_part("large", 1, 100000, large + 1);
    free(large);
    end();
}

static void touch(const char *key, time_t at_s) {
    char path[300];
    struct timespec times[2] = {{.tv_sec = at_s}, {.tv_sec = at_s}};
    snprintf(path, sizeof path, "%s/%s", folder, key);
    CHECK_INT(0, utimensat(AT_FDCWD, path, times, 0));
}

static void litter(const char *name) {
    char path[300];
    FILE *f;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "w");
    CHECK(f != NULL);
    fclose(f);
}

static void check_older(const char *of, int64_t before_s, size_t most, const char *want) {
    struct outcome o = {0};
    blob_older(store, of, before_s, most, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(1, o.done);
    CHECK_INT(0, o.code);
    CHECK_INT(strlen(want), o.data.len);
    if (o.data.len) assert_memory_equal(o.data.data, want, o.data.len);
    buf_free(&o.data);
}

TEST(what_is_older_in_a_folder_is_told_and_what_is_deeper_or_beside_it_is_not) {
    struct outcome o = {0};
    begin();
    CHECK_INT(0, put("a/old", "1", 1));
    CHECK_INT(0, put("a/new", "1", 1));
    CHECK_INT(0, put("a/deep/old", "1", 1));
    CHECK_INT(0, put("ab/old", "1", 1));
    touch("a/old", 1000);
    touch("a/new", 2000);
    touch("a/deep/old", 1000);
    touch("ab/old", 1000);
    check_older("a", 1000, 10, "");
    check_older("a", 1001, 10, "a/old\n");
    check_older("a/deep", 5000, 10, "a/deep/old\n");
    check_older("none", 5000, 10, "");
    litter("a/.DS_Store");
    litter("a/two\nlines");
    touch("a/.DS_Store", 1000);
    touch("a/two\nlines", 1000);
    check_older("a", 1001, 10, "a/old\n"); /* what is no key is nobody's blob */
    blob_older(store, "a", 5000, 1, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(6, o.data.len); /* one of the two */
    buf_free(&o.data);
    end();
}

TEST(a_put_and_a_get_behind_it_keep_their_order) {
    struct outcome o = {0}, got = {0};
    begin();
    blob_put(store, "k", "1", 1, note, &o);
    blob_get(store, "k", 10, note, &got);
    blob_put(store, "k", "2", 1, note, &o);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(0, got.code);
    CHECK_STR("1", got.data.data);
    buf_free(&got.data);
    end();
}

TEST(a_put_that_fails_leaves_the_old_bytes_and_no_litter) {
    char path[160];
    begin();
    CHECK_INT(0, put("a/b", "old", 3));
    /* A folder where the file should be renamed to. */
    snprintf(path, sizeof path, "%s/a/c", folder);
    CHECK_INT(0, mkdir(path, 0700));
    CHECK(put("a/c", "new", 3) < 0);
    CHECK(put("a/b/c", "new", 3) < 0); /* a file where the folder should be */
    check_holds("a/b", "old", 3);
    snprintf(path, sizeof path, "%s/a", folder);
    CHECK_INT(2, count_files(path));
    end();
}

TEST(nobody_else_may_read_what_is_stored) {
    char path[160];
    struct stat st;
    begin();
    CHECK_INT(0, put("x/y", "secret", 6));
    snprintf(path, sizeof path, "%s/x/y", folder);
    CHECK_INT(0, stat(path, &st));
    CHECK_INT(0600, st.st_mode & 0777);
    snprintf(path, sizeof path, "%s/x", folder);
    CHECK_INT(0, stat(path, &st));
    CHECK_INT(0700, st.st_mode & 0777);
    end();
}

TEST(a_folder_that_cannot_be_is_an_error_at_the_start) {
    struct blob_store *none;
    struct err e;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK(blob_open(&none, &loop, "/dev/null/blobs", &e) < 0);
    CHECK(strstr(e.text, "/dev/null/blobs") != NULL);
    CHECK_INT(0, uv_loop_close(&loop));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_was_put_is_got_and_the_last_put_counts),
        RUN(the_bytes_are_copied_when_asked),
        RUN(a_key_that_could_leave_the_folder_is_refused_by_each_call),
        RUN(what_is_missing_is_not_found_and_what_is_too_large_is_a_limit),
        RUN(appends_to_many_keys_at_once_stay_in_order),
        RUN(a_part_is_read_from_where_it_is_asked_and_ends_where_the_blob_does),
        RUN(what_is_older_in_a_folder_is_told_and_what_is_deeper_or_beside_it_is_not),
        RUN(a_put_and_a_get_behind_it_keep_their_order),
        RUN(a_put_that_fails_leaves_the_old_bytes_and_no_litter),
        RUN(nobody_else_may_read_what_is_stored),
        RUN(a_folder_that_cannot_be_is_an_error_at_the_start),
    };
    return RUN_ALL(tests);
}
