/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include "test.h"
#include <stdio.h>
#include <string.h>

static void count_it(void *arg, void *value) {
    (void)value;
    ++*(int *)arg;
}

TEST(what_was_put_is_found_also_after_the_map_has_grown) {
    static char keys[5000][16];
    struct map m = {0};
    int all = 0;
    for (int i = 0; i < 5000; i++) {
        snprintf(keys[i], sizeof keys[i], "leg-%d", i);
        map_put(&m, keys[i], keys[i]);
    }
    for (int i = 0; i < 5000; i++) CHECK(map_get(&m, keys[i]) == keys[i]);
    CHECK(map_get(&m, "leg-5000") == NULL);
    map_each(&m, count_it, &all);
    CHECK_INT(5000, all);
    map_free(&m);
}

TEST(an_empty_map_has_nothing) {
    struct map m = {0};
    CHECK(map_get(&m, "x") == NULL);
    map_drop(&m, "x", NULL);
    map_free(&m);
}

TEST(a_key_that_stands_twice_is_the_newest_until_that_one_goes) {
    static char keys[200][8];
    struct map m = {0};
    int first, second;
    map_put(&m, "leg", &first);
    map_put(&m, "leg", &second);
    for (int i = 0; i < 200; i++) { /* also when it has grown */
        snprintf(keys[i], sizeof keys[i], "%d", i);
        map_put(&m, keys[i], keys[i]);
        CHECK(map_get(&m, "leg") == &second);
    }
    map_drop(&m, "leg", &second);
    CHECK(map_get(&m, "leg") == &first);
    map_drop(&m, "leg", &second);
    CHECK(map_get(&m, "leg") == &first);
    map_drop(&m, "leg", &first);
    CHECK(map_get(&m, "leg") == NULL);
    map_free(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_was_put_is_found_also_after_the_map_has_grown),
        RUN(an_empty_map_has_nothing),
        RUN(a_key_that_stands_twice_is_the_newest_until_that_one_goes),
    };
    return RUN_ALL(tests);
}
