/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "test.h"
#include <string.h>

TEST(allocations_are_aligned_zeroed_and_apart) {
    struct arena a = {0};
    char *before = NULL;
    for (size_t size = 0; size < 600; size++) {
        char *p = arena_alloc(&a, size);
        CHECK_INT(0, (uintptr_t)p % 16);
        CHECK(p != before);
        for (size_t i = 0; i < size; i++) CHECK_INT(0, p[i]);
        memset(p, 0xAA, size); /* the next one must not see this */
        before = p;
    }
    arena_free(&a);
}

TEST(an_allocation_larger_than_a_block_works) {
    struct arena a = {0};
    char *small = arena_strndup(&a, "small", 5);
    char *large = arena_alloc(&a, 100000);
    memset(large, 'x', 100000);
    CHECK_STR("small", small);
    arena_free(&a);
}

TEST(texts_are_copied_and_formatted) {
    struct arena a = {0};
    CHECK_STR("ab", arena_strndup(&a, "abcdef", 2));
    CHECK_STR("", arena_strndup(&a, NULL, 0));
    CHECK_STR("call 7 of acme", arena_printf(&a, "call %d of %s", 7, "acme"));
    arena_free(&a);
}

TEST(a_cleared_arena_gives_zeroed_memory_again) {
    struct arena a = {0};
    for (int size = 100; size < 10000; size += 4000) { /* one block; one large block; two blocks */
        char *p = arena_alloc(&a, (size_t)size);
        for (int i = 0; i < size; i++) CHECK_INT(0, p[i]);
        memset(p, 'x', (size_t)size);
        arena_clear(&a);
    }
    arena_alloc(&a, 3000);
    memset(arena_alloc(&a, 3000), 'x', 3000);
    arena_clear(&a);
    CHECK_STR("again", arena_printf(&a, "again"));
    arena_clear(&a);
    arena_free(&a);
    arena_clear(&a);
}

TEST(a_freed_arena_can_be_used_again) {
    struct arena a = {0};
    arena_alloc(&a, 10);
    arena_free(&a);
    CHECK(a.block == NULL);
    CHECK_STR("again", arena_printf(&a, "again"));
    arena_free(&a);
    arena_free(&a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(allocations_are_aligned_zeroed_and_apart), RUN(an_allocation_larger_than_a_block_works),
        RUN(texts_are_copied_and_formatted),           RUN(a_cleared_arena_gives_zeroed_memory_again),
        RUN(a_freed_arena_can_be_used_again),
    };
    return RUN_ALL(tests);
}
