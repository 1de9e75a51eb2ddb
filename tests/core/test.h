/* SPDX-License-Identifier: Apache-2.0 */
/* What every C test starts with: cmocka, and a test that reads as a sentence.
 *
 *     TEST(empty_text_is_no_number) { CHECK(!str_to_int("", &n)); }
 *     int main(void) { const struct CMUnitTest tests[] = { RUN(empty_text_is_no_number) }; return RUN_ALL(tests); }
 */
#pragma once
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TEST(name)           static void name(void **state __attribute__((unused)))
#define CHECK(condition)     assert_true(condition)
#define CHECK_INT(want, got) assert_int_equal(got, want)
#define CHECK_STR(want, got) assert_string_equal(got, want)
#define RUN(name)            cmocka_unit_test(name)
#define RUN_ALL(tests)       cmocka_run_group_tests(tests, NULL, NULL)
