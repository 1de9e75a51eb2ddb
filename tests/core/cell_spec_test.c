/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle's own tests in a real cell, and which lines have run; the test is the worker. */
#include "world_cell.h"

static const char flow[] = "local flow = require 'flow'\n"
                           "return flow.define{\n"
                           "start = 'a',\n"
                           "a = function(call)\n"
                           "  if call.data.x then\n"
                           "    return 'b'\n"
                           "  end\n"
                           "end,\n"
                           "b = function(call) for i = 1, 3e6 do\n"
                           "  local x = i\n"
                           "end end,\n"
                           "c = function() while true do local x = 1 end end,\n"
                           "d = function() local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end end,\n"
                           "e = function(call) call.data.it = type(it) call.data.assert = type(assert) end,\n"
                           "}\n";

static void load_with(const char *spec) {
    const char *files[] = {"flows/main.lua", flow, "spec/a.lua", spec, "text.md", "# text", NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
}

static void run_spec(const char *call, const char *data) {
    run(&cell, call, "v1", "spec/a.lua", "spec", 1, data, NULL);
}

static void cover(const char *path) {
    struct buf b = {0};
    message_begin(&b, MESSAGE_COVER);
    add_str(&b, "v1");
    add_str(&b, path);
    say(&cell, &b);
}

TEST(each_test_is_told_as_it_begins_and_ends) {
    load_with(
        "describe('a', function()\n it('is', function() end)\n it('is not', function()\n assert.equal(1, 2) end) end)");
    run_spec("s", "{ first = 1 }");
    HEARD("verb s 1 1 testing {1 a is spec/a.lua 2}");
    answer(&cell, "s", 1, 1, true, "true");
    HEARD("verb s 1 2 tested {1 true}");
    answer(&cell, "s", 1, 2, true, "true");
    HEARD("verb s 1 3 testing {2 a is not spec/a.lua 3}");
    answer(&cell, "s", 1, 3, true, "true");
    HEARD("verb s 1 4 tested {2 false expected 1, got 2 spec/a.lua 4}");
    answer(&cell, "s", 1, 4, true, "true");
    HEARD("next s 1 nil {}");
}

TEST(a_file_is_gone_on_with_from_a_later_test) {
    load_with("it('one', function() end) it('two', function() end)");
    run_spec("s", "{ first = 2 }");
    HEARD("verb s 1 1 testing {2 two spec/a.lua 1}");
}

TEST(a_simulated_call_is_a_verb_and_its_result_a_value) {
    load_with("it('x', function() assert.equal('done', simulate{ steps = {} }.outcome) end)");
    run_spec("s", "{ first = 1 }");
    HEARD("verb s 1 1 testing {1 x spec/a.lua 1}");
    answer(&cell, "s", 1, 1, true, "true");
    HEARD("verb s 1 2 simulate {{steps={}}}");
    answer(&cell, "s", 1, 2, true, "{ outcome = 'done' }");
    HEARD("verb s 1 3 tested {1 true}");
}

TEST(a_flow_knows_nothing_of_specs) {
    load_with("it('x', function() end)");
    run_spec("s", "{ first = 1 }");
    HEARD("verb s 1 1 testing {1 x spec/a.lua 1}");
    run(&cell, "c", "v1", "flows/main.lua", "e", 1, NULL, NULL);
    HEARD("next c 1 nil {assert=function it=nil}");
}

TEST(lines_that_ran_are_told_by_file) {
    load_with("");
    cover("flows/main.lua");
    HEARD("covered flows/main.lua nil"); /* nobody has begun to note them */
    cover("");
    run(&cell, "c", "v1", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("next c 1 nil {}");
    cover("flows/main.lua");
    HEARD("covered flows/main.lua 11--10-10011111-"); /* b is made on its last line */
    run(&cell, "c", "v1", "flows/main.lua", "a", 2, "{ x = 1 }", NULL);
    HEARD("next c 2 b {x=1}");
    run(&cell, "c", "v1", "flows/main.lua", "b", 3, NULL, NULL); /* longer than many slices */
    HEARD("next c 3 nil {}");
    cover("flows/main.lua");
    HEARD("covered flows/main.lua 11--11-11111111-");
    cover("text.md");
    HEARD("covered text.md nil");
    cover("flows/none.lua");
    HEARD("covered flows/none.lua nil");
}

TEST(budgets_hold_while_lines_are_noted) {
    load_with("");
    cover("");
    limit(&cell, "c", 2, 50, 10000);
    run(&cell, "c", "v1", "flows/main.lua", "c", 1, NULL, NULL);
    HEARD("failed c 1 cpu ran too long without asking for anything flows/main.lua 12");
    limit(&cell, "d", 2, 60000, 60000);
    run(&cell, "d", "v1", "flows/main.lua", "d", 1, NULL, NULL);
    HEARD("failed d 1 memory used too much memory flows/main.lua 13");
    run(&cell, "e", "v1", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("next e 1 nil {}");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CELL(each_test_is_told_as_it_begins_and_ends),
        CELL(a_file_is_gone_on_with_from_a_later_test),
        CELL(a_simulated_call_is_a_verb_and_its_result_a_value),
        CELL(a_flow_knows_nothing_of_specs),
        CELL(lines_that_ran_are_told_by_file),
        CELL(budgets_hold_while_lines_are_noted),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
