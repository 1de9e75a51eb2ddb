/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/config.h"
#include "base/config_parts.h"
#include "base/log.h"
#include "test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY  "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define MINE "crypto = { master_key = '" KEY "' }"
#define NODE \
    "{ name = 'n1', ari_url = 'http://127.0.0.1:8088/ari', user = 'u', password = 'p', sip = '127.0.0.1:5060' }"

/* A file of this content, by a path that lasts until the next one is made. */
static const char *file_of(const char *content, size_t len) {
    static char path[64];
    static int fd = -1;
    if (fd >= 0) close(fd);
    fd = memfd_create("parley.lua", MFD_CLOEXEC);
    CHECK_INT(len, write(fd, content, len));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

static struct config *load(const char *lua) {
    struct config *c = NULL;
    struct err e = {0};
    if (config_load(&c, file_of(lua, strlen(lua)), &e) < 0) fail_msg("%s: %s", lua, e.text);
    return c;
}

/* The error line of a file that must not load, without the file's name in front. */
static const char *refused_len(const char *lua, size_t len) {
    static struct err e;
    struct config *c = NULL;
    const char *path = file_of(lua, len);
    memset(&e, 0, sizeof e);
    int rc = config_load(&c, path, &e);
    if (rc >= 0) fail_msg("loaded: %s", lua);
    CHECK(c == NULL);
    if (strncmp(e.text, path, strlen(path)) != 0) return e.text;
    const char *rest = e.text + strlen(path) + 1;
    return *rest == ' ' ? rest + 1 : rest; /* Lua puts the line there */
}

static const char *refused(const char *lua) {
    return refused_len(lua, strlen(lua));
}

static void check_refused(const char *want, const char *settings) {
    struct buf lua = {0};
    buf_printf(&lua, "return { " MINE ", %s }", settings);
    CHECK_STR(want, refused(lua.data));
    buf_free(&lua);
}

TEST(what_is_not_given_has_its_default) {
    struct config *c = load("return { " MINE " }");
    CHECK_STR("127.0.0.1", config_str(c, "http.bind"));
    CHECK_INT(8080, config_int(c, "http.port"));
    CHECK_INT(0, config_int(c, "workers"));
    CHECK(config_num(c, "cells.soft_mb") == 32);
    CHECK(!config_bool(c, "cells.weak"));
    CHECK_STR(KEY, config_str(c, "crypto.master_key"));
    json_t *tree = config_tree(c);
    CHECK_INT(0, json_array_size(json_object_get(json_object_get(tree, "telephony"), "nodes")));
    CHECK_INT(0, json_array_size(json_object_get(json_object_get(tree, "http"), "origins")));
    CHECK_STR("en-us", json_string_value(json_object_get(json_object_get(tree, "speech"), "voice")));
    config_free(c);
    config_free(NULL);
}

TEST(what_is_given_counts) {
    struct config *c =
        load("local base = 9000\n"
             "return { " MINE ", workers = 3, http = { port = base + 1, origins = { 'https://a.example' } },\n"
             "  cells = { weak = true }, telephony = { nodes = { " NODE " } }, sql = { servers = {} } }");
    CHECK_INT(3, config_int(c, "workers"));
    CHECK_INT(9001, config_int(c, "http.port"));
    CHECK_INT(8443, config_int(c, "http.tls_port"));
    CHECK(config_bool(c, "cells.weak"));
    json_t *node = json_array_get(json_object_get(json_object_get(config_tree(c), "telephony"), "nodes"), 0);
    CHECK_STR("n1", json_string_value(json_object_get(node, "name")));
    CHECK_INT(5, json_object_size(node));
    config_free(c);
}

TEST(a_record_gets_the_defaults_of_its_fields) {
    struct config *c = load("return { " MINE ", sql = { servers = { { name = 'two', host = 'db' } } } }");
    json_t *server = json_array_get(json_object_get(json_object_get(config_tree(c), "sql"), "servers"), 0);
    CHECK_STR("db", json_string_value(json_object_get(server, "host")));
    CHECK_STR("parley", json_string_value(json_object_get(server, "user")));
    CHECK_INT(3306, json_integer_value(json_object_get(server, "port")));
    config_free(c);
}

TEST(a_misspelt_key_is_told_the_nearest_one) {
    check_refused("there is no setting http.prot; did you mean http.port?", "http = { prot = 1 }");
    check_refused("there is no setting htpp; did you mean http?", "htpp = { port = 1 }");
    check_refused("there is no setting port; did you mean http.port?", "port = 80");
    check_refused("there is no setting worker; did you mean workers?", "worker = 2");
    check_refused("there is no setting telephony.nodes[1].nmae; did you mean telephony.nodes[].name?",
                  "telephony = { nodes = { { nmae = 'x' } } }");
    check_refused("there is no setting http.port; did you mean http.port?", "['http.port'] = 80");
    check_refused("there is no setting redis.urls; did you mean redis.url?", "redis = { urls = 'x' }");
}

TEST(a_wrong_value_is_told_what_is_allowed) {
    check_refused("http.port must be a whole number from 0 to 65535", "http = { port = 65536 }");
    check_refused("http.port must be a whole number from 0 to 65535", "http = { port = -1 }");
    check_refused("http.port must be a whole number from 0 to 65535", "http = { port = 80.5 }");
    check_refused("http.port must be a whole number from 0 to 65535", "http = { port = '80' }");
    check_refused("http.bind must be a text", "http = { bind = 1 }");
    check_refused("http.bind must be 1 to 255 bytes long", "http = { bind = '' }");
    check_refused("http.bind must be a text without NUL bytes", "http = { bind = 'a\\0b' }");
    check_refused("http must be a table of settings", "http = 5");
    check_refused("cells.weak must be true or false", "cells = { weak = 'yes' }");
    check_refused("http.origins must be a list", "http = { origins = 'https://a' }");
    check_refused(
        "http.origins[2] must look like https?://[^/[:space:]]+ (Origins a browser may come from besides our own)",
        "http = { origins = { 'https://a', 'a' } }");
    check_refused("http.origins[1] must be a text", "http = { origins = { 1 } }");
    check_refused("log.level must look like debug|info|warn|error (least level that is logged)",
                  "log = { level = 'loud' }");
    check_refused("log.level must look like debug|info|warn|error (least level that is logged)",
                  "log = { level = 'info\\n' }");
    check_refused("telephony.nodes must be a list", "telephony = { nodes = { name = 'x' } }");
    check_refused("telephony.nodes[1] must be a table of settings", "telephony = { nodes = { 'x' } }");
}

TEST(what_must_be_given_is_asked_for) {
    CHECK_STR("crypto.master_key must be given: 64 hexadecimal digits (32 bytes); wraps each tenant's data key",
              refused("return {}"));
    check_refused("telephony.nodes[1].ari_url must be given: its ARI, as http://host:port/ari",
                  "telephony = { nodes = { { name = 'n1' } } }");
}

TEST(settings_that_contradict_each_other_are_refused) {
    check_refused("telephony.rtp_min must not be above telephony.rtp_max",
                  "telephony = { rtp_min = 2000, rtp_max = 1999 }");
    check_refused("two of telephony.nodes have the name n1", "telephony = { nodes = { " NODE ", " NODE " } }");
}

TEST(an_error_never_shows_a_secret) {
    const char *line = refused("return { crypto = { master_key = 'hunter2' } }");
    CHECK_STR("crypto.master_key must be exactly 64 bytes long", line);
    line = refused("return { crypto = { master_key = ('zz'):rep(32) } }");
    CHECK(strstr(line, "zz") == NULL && strstr(line, "must look like") != NULL);
    struct config *c;
    struct err e;
    CHECK_INT(ERR_INVALID, config_from_json(&c, "{\"crypto\":{\"master_key\":\"hunter2\"", 32, &e));
    CHECK(strstr(e.text, "hunter2") == NULL);
}

TEST(the_environment_goes_first) {
    setenv("PARLEY_HTTP__PORT", "8081", 1);
    setenv("PARLEY_CELLS__WEAK", "true", 1);
    setenv("PARLEY_RUN_DIR", "/tmp/x", 1);
    struct config *c = load("return { " MINE ", http = { port = 1 } }");
    CHECK_INT(8081, config_int(c, "http.port"));
    CHECK(config_bool(c, "cells.weak"));
    CHECK_STR("/tmp/x", config_str(c, "run_dir"));
    config_free(c);

    setenv("PARLEY_HTTP__PORT", "80x", 1);
    CHECK_STR("PARLEY_HTTP__PORT: http.port must be a whole number from 0 to 65535", refused("return { " MINE " }"));
    unsetenv("PARLEY_HTTP__PORT");
    setenv("PARLEY_HTTP__PROT", "80", 1);
    CHECK_STR("PARLEY_HTTP__PROT: there is no setting http.prot; did you mean http.port?",
              refused("return { " MINE " }"));
    unsetenv("PARLEY_HTTP__PROT");
    setenv("PARLEY_HTTP__ORIGINS", "x", 1);
    CHECK_STR("PARLEY_HTTP__ORIGINS: http.origins is a list and can only be set in the file",
              refused("return { " MINE " }"));
    unsetenv("PARLEY_HTTP__ORIGINS");
    setenv("PARLEY_Http__port", "80", 1);
    CHECK_STR("PARLEY_Http__port: must be written PARLEY_HTTP__PORT", refused("return { " MINE " }"));
    unsetenv("PARLEY_Http__port");
    setenv("PARLEY_CELLS__WEAK", "1", 1);
    CHECK_STR("PARLEY_CELLS__WEAK: cells.weak must be true or false", refused("return { " MINE " }"));
    unsetenv("PARLEY_CELLS__WEAK");
    unsetenv("PARLEY_RUN_DIR");

    setenv("PARLEY_BIN", "/somewhere", 1); /* not meant for us */
    config_free(load("return { " MINE " }"));
}

TEST(a_secret_can_be_kept_elsewhere) {
    char path[] = "/tmp/parley-config-test-XXXXXX", lua[512];
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK_INT(7, write(fd, "s3cret\n", 7));
    setenv("SOME_KEY", KEY, 1);
    snprintf(lua, sizeof lua, "return { crypto = { master_key = 'env:SOME_KEY' }, sql = { password = 'file:%s' } }",
             path);
    struct config *c = load(lua);
    CHECK_STR(KEY, config_str(c, "crypto.master_key"));
    CHECK_STR("s3cret", config_str(c, "sql.password"));
    config_free(c);

    CHECK_INT(0, ftruncate(fd, 0));
    CHECK_INT(1, pwrite(fd, "\xFF", 1, 0));
    CHECK_STR("sql.password must be UTF-8 where it is kept", refused(lua));
    close(fd);
    unlink(path);
    CHECK(strstr(refused(lua), "sql.password: cannot read /tmp/parley-config-test-") != NULL);
    unsetenv("SOME_KEY");
    CHECK_STR("crypto.master_key: the environment has no SOME_KEY",
              refused("return { crypto = { master_key = 'env:SOME_KEY' } }"));
}

TEST(a_worker_reads_the_same_settings_from_json) {
    setenv("TRICKY", "env:HOME", 1);
    struct config *c = load("return { " MINE
                            ", http = { port = 7 }, sql = { password = 'env:TRICKY' }, telephony = { nodes = { " NODE
                            " } } }"),
                  *copy = NULL;
    unsetenv("TRICKY");
    char *json = config_json(c);
    setenv("PARLEY_HTTP__PORT", "9", 1); /* the master has decided already */
    CHECK_INT(0, config_from_json(&copy, json, strlen(json), NULL));
    unsetenv("PARLEY_HTTP__PORT");
    CHECK_INT(7, config_int(copy, "http.port"));
    CHECK_STR("env:HOME", config_str(copy, "sql.password")); /* a clear text that looks like a reference stays */
    CHECK(json_equal(config_tree(c), config_tree(copy)));
    free(json);
    config_free(c);
    config_free(copy);
}

TEST(json_that_is_no_configuration_is_refused) {
    static const char *const bad_json[] = {
        "", "{", "[]", "5", "{}", "{\"http\":{\"port\":\"x\"}}", "{\"a\":1,\"a\":2}", "{\"http\":null}"};
    for (size_t i = 0; i < sizeof bad_json / sizeof *bad_json; i++) {
        struct config *c = NULL;
        struct err e = {0};
        CHECK_INT(ERR_INVALID, config_from_json(&c, bad_json[i], strlen(bad_json[i]), &e));
        CHECK(c == NULL && e.text[0]);
    }
}

TEST(the_file_can_compute_and_nothing_else) {
    setenv("SOME_PORT", "1234", 1);
    struct config *c =
        load("local out = {}\nfor _, k in ipairs({ 'port' }) do out[k] = tonumber(os.getenv('SOME_PORT')) end\n"
             "return { " MINE
             ", http = out, run_dir = table.concat({ '/a', ('b'):upper() }, '/'), workers = math.max(1, 2) }");
    CHECK_INT(1234, config_int(c, "http.port"));
    CHECK_STR("/a/B", config_str(c, "run_dir"));
    config_free(c);
    unsetenv("SOME_PORT");

    static const char *const absent[] = {
        "io",         "require", "dofile",    "loadfile",       "load",        "loadstring",   "package",
        "debug",      "ffi",     "jit",       "pcall",          "xpcall",      "coroutine",    "getfenv",
        "setfenv",    "_G",      "bit",       "print",          "rawset",      "module",       "newproxy",
        "os.execute", "os.exit", "os.remove", "collectgarbage", "string.dump", "setmetatable", "getmetatable"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++) {
        char lua[160];
        snprintf(lua, sizeof lua, "return { " MINE ", workers = %s == nil and 1 or 999 }", absent[i]);
        c = load(lua);
        CHECK_INT(1, config_int(c, "workers"));
        config_free(c);
    }
}

TEST(a_file_that_is_wrong_lua_says_where) {
    CHECK(strstr(refused("return {\n http = = 1 }"), "2: unexpected symbol") != NULL);
    CHECK(strstr(refused("local x = nil\nreturn x.y"), "2: attempt to index") != NULL);
    CHECK_STR("the configuration raised a value that is no text", refused("error({})"));
    CHECK_STR("must return a table of settings", refused("http = { port = 1 }"));
    CHECK_STR("must return a table of settings", refused(""));
    CHECK_STR("the settings contain something that is neither text, number, true, false nor a table",
              refused("return { workers = print or function() end }"));
    CHECK_STR("the settings contain a number that is not finite", refused("return { workers = 1/0 }"));
    CHECK_STR("the settings contain a text that is not UTF-8", refused("return { run_dir = '\\255' }"));
    CHECK_STR("the settings contain a key that is not UTF-8", refused("return { ['\\255'] = 1 }"));
    CHECK_STR("the settings contain a key with a NUL byte", refused("return { ['http\\0x'] = 1 }"));
    CHECK_STR("the settings contain a table that is half a list and half a record, or a list with gaps",
              refused("return { 1, x = 2 }"));
    CHECK_STR("the settings contain a table with keys that are not names", refused("return { [true] = 1 }"));
    CHECK_STR("the settings contain a table that holds itself, or tables too deep",
              refused("local t = {} t.http = t return t"));
    CHECK(strstr(refused_len("\x1bLJ\x02\x00", 5), "attempt to load") != NULL); /* bytecode */
}

TEST(a_file_that_never_ends_is_stopped) {
    CHECK(strstr(refused("while true do end"), "takes longer than 1000 ms") != NULL);
}

TEST(a_file_that_is_not_there_is_an_io_error) {
    struct config *c = NULL;
    struct err e;
    CHECK_INT(ERR_IO, config_load(&c, "/nonexistent/parley.lua", &e));
    CHECK_STR("cannot read /nonexistent/parley.lua: No such file or directory", e.text);
    CHECK_INT(ERR_IO, config_load(&c, "/", &e));
}

TEST(asking_for_what_is_not_declared_aborts) {
    struct config *c = load("return { " MINE " }");
    static const char *const wrong[] = {"http.prot", "http", "http.bind", "telephony.nodes", "sql.servers[].port"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        pid_t child = fork();
        if (child == 0) {
            log_open("test", -1, -1, LOG_INFO);
            signal(SIGABRT, SIG_DFL);
            config_int(c, wrong[i]);
            _exit(0);
        }
        int status;
        CHECK_INT(child, waitpid(child, &status, 0));
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
    config_free(c);
}

TEST(each_row_is_sound_and_in_the_manual) {
    char *manual = config_manual();
    for (const struct config_row *row = config_rows; row->path; row++) {
        CHECK(config_row_find(row->path) == row); /* no path twice */
        CHECK(row->doc && *row->doc && strchr(row->doc, '\n') == NULL);
        CHECK(strstr(manual, row->path) && strstr(manual, row->doc));
        CHECK(strlen(row->path) < 60);
        CHECK(row->min <= row->max);
    }
    for (const struct config_order *pair = config_orders; pair->low; pair++)
        CHECK(config_row_find(pair->low) && config_row_find(pair->high));
    free(manual);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_is_not_given_has_its_default),
        RUN(what_is_given_counts),
        RUN(a_record_gets_the_defaults_of_its_fields),
        RUN(a_misspelt_key_is_told_the_nearest_one),
        RUN(a_wrong_value_is_told_what_is_allowed),
        RUN(what_must_be_given_is_asked_for),
        RUN(settings_that_contradict_each_other_are_refused),
        RUN(an_error_never_shows_a_secret),
        RUN(the_environment_goes_first),
        RUN(a_secret_can_be_kept_elsewhere),
        RUN(a_worker_reads_the_same_settings_from_json),
        RUN(json_that_is_no_configuration_is_refused),
        RUN(the_file_can_compute_and_nothing_else),
        RUN(a_file_that_is_wrong_lua_says_where),
        RUN(a_file_that_never_ends_is_stopped),
        RUN(a_file_that_is_not_there_is_an_io_error),
        RUN(asking_for_what_is_not_declared_aborts),
        RUN(each_row_is_sound_and_in_the_manual),
    };
    return RUN_ALL(tests);
}
