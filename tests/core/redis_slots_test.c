/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "io/redis_slots.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

TEST(checksums_are_those_of_the_specification) {
    CHECK_INT(0x31c3, redis_crc16("123456789", 9));
    CHECK_INT(0, redis_crc16("", 0));
    CHECK_INT(12182, redis_key_slot("foo", 3));
    CHECK_INT(5061, redis_key_slot("bar", 3));
}

static int slot(const char *key) {
    return redis_key_slot(key, strlen(key));
}

TEST(what_stands_in_the_first_braces_decides_unless_it_is_nothing) {
    CHECK_INT(slot("user1000"), slot("{user1000}.following"));
    CHECK_INT(slot("user1000"), slot("a{user1000}b{c}"));
    CHECK_INT(slot("{bar"), slot("foo{{bar}}zap"));
    CHECK(slot("foo{}{bar}") != slot("bar"));
    CHECK(slot("foo{bar") != slot("bar"));
    CHECK_INT(slot("foo"), slot("}{foo}"));
}

static int key_of(const char *line) {
    char copy[128], *save = NULL;
    const char *argv[16];
    size_t lens[16];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        lens[argc] = strlen(word);
        argv[argc++] = word;
    }
    return redis_key_of(argc, argv, lens);
}

TEST(the_key_of_a_command_is_found) {
    CHECK_INT(1, key_of("GET k"));
    CHECK_INT(1, key_of("zadd k 1 m"));
    CHECK_INT(1, key_of("PUBLISH channel text"));
    CHECK_INT(3, key_of("EVALSHA sha 2 k1 k2 a"));
    CHECK_INT(REDIS_KEY_NONE, key_of("EVAL text 0 a"));
    CHECK_INT(REDIS_KEY_NONE, key_of("EVAL text 1"));
    CHECK_INT(REDIS_KEY_NONE, key_of("EVAL"));
    CHECK_INT(2, key_of("OBJECT ENCODING k"));
    CHECK_INT(4, key_of("XREAD COUNT 2 STREAMS s 0"));
    CHECK_INT(REDIS_KEY_NONE, key_of("XREAD STREAMS"));
    CHECK_INT(REDIS_KEY_NONE, key_of("PING"));
    CHECK_INT(REDIS_KEY_NONE, key_of("SCRIPT LOAD text"));
    CHECK_INT(REDIS_KEY_REFUSED, key_of("SCAN 0"));
    CHECK_INT(REDIS_KEY_REFUSED, key_of("multi"));
}

static redisReply *reply_of(const char *bytes) {
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    redisReaderFeed(reader, bytes, strlen(bytes));
    CHECK_INT(REDIS_OK, redisReaderGetReply(reader, &reply));
    CHECK(reply != NULL);
    redisReaderFree(reader);
    return reply;
}

static int parse(struct redis_slots *s, const char *bytes, struct err *e) {
    redisReply *reply = reply_of(bytes);
    int rc = redis_slots_parse(s, reply, "10.0.0.9", e);
    freeReplyObject(reply);
    return rc;
}

TEST(the_map_says_who_has_which_slots) {
    struct redis_slots s;
    struct err e;
    CHECK_INT(0, parse(&s,
                       "*3\r\n"
                       "*4\r\n:0\r\n:5460\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n$2\r\nid\r\n"
                       "*4\r\n$8\r\n10.0.0.2\r\n:7003\r\n$2\r\nid\r\n*2\r\n$8\r\nhostname\r\n$1\r\na\r\n"
                       "*3\r\n:5461\r\n:10922\r\n*3\r\n$0\r\n\r\n:7001\r\n$2\r\nid\r\n"
                       "*3\r\n:10923\r\n:16382\r\n*2\r\n$3\r\n::1\r\n:7002\r\n",
                       &e));
    CHECK_INT(4, s.count);
    CHECK_STR("127.0.0.1", s.nodes[s.owner[0]].host);
    CHECK_INT(7000, s.nodes[s.owner[5460]].port);
    CHECK_STR("10.0.0.9", s.nodes[s.owner[5461]].host); /* empty: the one that was asked */
    CHECK_STR("::1", s.nodes[s.owner[16382]].host);
    CHECK_INT(-1, s.owner[16383]);
    CHECK_INT(7003, s.nodes[1].port);
    CHECK(s.nodes[0].has_slots && !s.nodes[1].has_slots);
    redis_slots_free(&s);

    CHECK_INT(0, parse(&s, "*1\r\n*3\r\n:0\r\n:1\r\n*4\r\n$-1\r\n:7000\r\n$2\r\nid\r\n*0\r\n", &e));
    CHECK_STR("10.0.0.9", s.nodes[s.owner[1]].host); /* so does NULL */
    redis_slots_free(&s);
    CHECK_INT(0, parse(&s, "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\n?\r\n:7000\r\n", &e));
    CHECK_INT(-1, s.owner[0]); /* not known yet */
    redis_slots_free(&s);
    CHECK_INT(0, parse(&s, "*0\r\n", &e));
    redis_slots_free(&s);
}

TEST(a_map_that_makes_no_sense_is_refused_whole) {
    static const char *const bad[] = {
        "+OK\r\n",
        "$-1\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n$1\r\n1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:-1\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:2\r\n:1\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:9223372036854775807\r\n*2\r\n$1\r\nh\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n$1\r\nh\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*1\r\n$1\r\nh\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:0\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$1\r\nh\r\n:65536\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n$3\r\nh h\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n:1\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:1\r\n*2\r\n*1\r\n$1\r\nh\r\n:1\r\n",
        "*2\r\n*3\r\n:0\r\n:5\r\n*2\r\n$1\r\nh\r\n:1\r\n*3\r\n:5\r\n:6\r\n*2\r\n$1\r\ni\r\n:1\r\n",
    };
    struct redis_slots s;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_INT(ERR_PROTOCOL, parse(&s, bad[i], &e));
        CHECK(s.nodes == NULL);
    }
    CHECK_INT(ERR_INVALID, parse(&s, "-ERR This instance has cluster support disabled\r\n", &e));
    CHECK(strstr(e.text, "disabled") != NULL);
}

TEST(a_map_with_too_many_nodes_is_refused) {
    struct redis_slots s;
    struct err e;
    char *bytes = mem_alloc(1 << 20), *at = bytes;
    at += sprintf(at, "*%d\r\n", REDIS_NODES_MAX + 1);
    for (int i = 0; i <= REDIS_NODES_MAX; i++)
        at += sprintf(at, "*3\r\n:%d\r\n:%d\r\n*2\r\n$4\r\nhost\r\n:%d\r\n", i, i, i + 1);
    CHECK_INT(ERR_LIMIT, parse(&s, bytes, &e));
    at = bytes + sprintf(bytes, "*1\r\n*%d\r\n:0\r\n:1\r\n", 2 + 70000);
    for (int i = 0; i < 70000; i++) at += sprintf(at, "*0\r\n");
    CHECK_INT(ERR_LIMIT, parse(&s, bytes, &e));
    at = bytes + sprintf(bytes, "*%d\r\n", REDIS_SLOTS + 1);
    for (int i = 0; i <= REDIS_SLOTS; i++) at += sprintf(at, "*0\r\n");
    CHECK_INT(ERR_PROTOCOL, parse(&s, bytes, &e));
    free(bytes);
}

TEST(an_error_says_where_to_go_or_to_come_again) {
    struct redis_redirect to;
    redis_redirect_parse(&to, "MOVED 3999 127.0.0.1:6381");
    CHECK_INT(REDIS_REDIRECT_MOVED, to.kind);
    CHECK_INT(3999, to.slot);
    CHECK_STR("127.0.0.1", to.host);
    CHECK_INT(6381, to.port);
    redis_redirect_parse(&to, "ASK 0 fe80::1:6381");
    CHECK_INT(REDIS_REDIRECT_ASK, to.kind);
    CHECK_STR("fe80::1", to.host);
    redis_redirect_parse(&to, "MOVED 1 :6381");
    CHECK_INT(REDIS_REDIRECT_MOVED, to.kind);
    CHECK_STR("", to.host);
    static const char *const again[] = {"TRYAGAIN Multiple keys", "CLUSTERDOWN The cluster is down", "LOADING Redis"};
    for (int i = 0; i < 3; i++) {
        redis_redirect_parse(&to, again[i]);
        CHECK_INT(REDIS_REDIRECT_AGAIN, to.kind);
    }
    static const char *const own[] = {"ERR x",       "MOVED",       "MOVED 1",       "MOVED 16384 h:1",
                                      "MOVED x h:1", "MOVED 1 h:0", "MOVED 1 h h:1", "MOVED 1 h:99999",
                                      "ASK -1 h:1",  "MOVED 1 ?:1"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        redis_redirect_parse(&to, own[i]);
        CHECK_INT(REDIS_REDIRECT_NONE, to.kind);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(checksums_are_those_of_the_specification),
        RUN(what_stands_in_the_first_braces_decides_unless_it_is_nothing),
        RUN(the_key_of_a_command_is_found),
        RUN(the_map_says_who_has_which_slots),
        RUN(a_map_that_makes_no_sense_is_refused_whole),
        RUN(a_map_with_too_many_nodes_is_refused),
        RUN(an_error_says_where_to_go_or_to_come_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
