/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks in a real cell: what they give, what they cannot do, and how they are stopped. */
#include "world_cell.h"

static void load_files(const char *const *files) {
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
}

static void load_file(const char *path, const char *source) {
    const char *files[] = {path, source, NULL};
    load_files(files);
}

TEST(a_hook_gives_what_its_function_makes_of_the_input) {
    load_file("scoring.lua",
              "local base = 10\nreturn function(lead) return { score = base + lead.seconds, why = { lead.name } } end");
    hook(&cell, 1, "v1", "scoring.lua", "scoring", "{ name = 'Ada', seconds = 32 }");
    HEARD("hooked 1 true {score=42 why={Ada}}");
    hook(&cell, 2, "v1", "scoring.lua", "scoring", "{ name = 'Bob', seconds = 1.5 }");
    HEARD("hooked 2 true {score=11.5 why={Bob}}");
}

TEST(a_file_may_return_several_hooks_or_plain_data) {
    const char *files[] = {
        "campaigns.lua",
        "return { may_contact = function(i) return i.hour > 8, 'x' end, next_attempt = function() end, limit = 3 }",
        "prices.lua", "return { currency = 'USD' }", NULL};
    load_files(files);
    hook(&cell, 1, "v1", "campaigns.lua", "may_contact", "{ hour = 9 }");
    HEARD("hooked 1 true true");
    hook(&cell, 2, "v1", "campaigns.lua", "next_attempt", NULL);
    HEARD("hooked 2 true nil");
    hook(&cell, 3, "v1", "prices.lua", "", NULL);
    HEARD("hooked 3 true {currency=USD}");
    hook(&cell, 4, "v1", "campaigns.lua", "limit", NULL);
    HEARD("hooked 4 false {file=campaigns.lua kind=error line=1 text=the file returns no function 'limit'}");
    hook(&cell, 5, "v1", "gone.lua", "x", NULL);
    HEARD("hooked 5 false {file= kind=error line=0 text=the bundle has no file gone.lua}");
    hook(&cell, 6, "v2", "prices.lua", "", NULL);
    HEARD("hooked 6 false {file= kind=form line=0 text=this version is not loaded}");
}

TEST(a_hook_that_fails_says_where) {
    load_file("routing.lua",
              "return function(call)\n  if call.bare then return tostring end\n  return call.from.digits.x\nend");
    hook(&cell, 1, "v1", "routing.lua", "routing", NULL);
    HEARD("hooked 1 false {file=routing.lua kind=error line=3 text=attempt to index field 'from' (a nil value)}");
    hook(&cell, 2, "v1", "routing.lua", "routing", "{ bare = true }");
    HEARD("hooked 2 false {file=routing.lua kind=form line=1 text=the result: a function cannot be sent, at 'the "
          "value'}");
}

TEST(a_hook_cannot_ask_for_anything) {
    const char *files[] = {"flows/main.lua", FLOW("a = function(call) kept = call call:say 'x' end"), "routing.lua",
                           "return function(input)\n  if input.keep then return kept:say 'y' end\n  local now = "
                           "os.time()\n  return now\nend",
                           NULL};
    load_files(files);
    hook(&cell, 1, "v1", "routing.lua", "routing", NULL);
    HEARD("hooked 1 false {file=routing.lua kind=error line=3 "
          "text=now: no call is running here; what a hook may know, the time too, is in its input}");
    run(&cell, "c1", "v1", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    hook(&cell, 2, "v1", "routing.lua", "routing", "{ keep = true }");
    HEARD("hooked 2 false {file=routing.lua kind=error line=2 text=write call:say(...), on the call the state was "
          "given}");
    answer(&cell, "c1", 1, 1, true, "nil");
    HEARD("next c1 1 nil {}");
}

TEST(an_endless_hook_is_stopped_soon_and_calls_go_on) {
    const char *files[] = {"flows/main.lua", FLOW("a = function(call) call:say 'x' end"), "routing.lua",
                           "return function()\n  pcall(function()\n    while true do end\n  end)\nend", NULL};
    load_files(files);
    uint64_t began = clock_mono_ms();
    hook(&cell, 1, "v1", "routing.lua", "routing", NULL);
    run(&cell, "c1", "v1", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    HEARD("hooked 1 false {file=routing.lua kind=cpu line=3 text=ran too long}");
    CHECK(clock_mono_ms() - began >= 40); /* not at once: 50 ms of CPU were its own */
}

TEST(a_hook_that_takes_all_memory_is_stopped_and_the_next_one_runs) {
    /* 20 MB in a step, so that it is memory and not time that runs out first */
    load_file("scoring.lua",
              "local kept = {}\nreturn function(i)\n  if i.ok then return 1 end\n"
              "  local s = ('x'):rep(1e6)\n"
              "  while true do\n    kept[#kept + 1] = #kept .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s"
              " .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s\n  end\nend");
    int for_memory = 0;
    for (int id = 1; id <= 12; id += 2) {
        char want[64];
        hook(&cell, id, "v1", "scoring.lua", "scoring", NULL);
        const char *line = heard(&cell);
        if (strstr(line, "kind=memory"))
            for_memory++;
        else if (!strstr(line, "kind=cpu")) /* under a sanitizer its 50 ms may be over first */
            fail_msg("%s", line);
        hook(&cell, id + 1, "v1", "scoring.lua", "scoring", "{ ok = true }");
        snprintf(want, sizeof want, "hooked %d true 1", id + 1);
        HEARD(want);
    }
    CHECK(for_memory > 0);
    CHECK(cell.page->memory < 64 << 20);
}

TEST(more_hooks_than_a_cell_takes_are_told_to_come_later) {
    load_file("routing.lua", "return function() while true do end end");
    int busy = 0, stopped = 0;
    for (int id = 1; id <= 300; id++) hook(&cell, id, "v1", "routing.lua", "routing", NULL);
    for (int id = 1; id <= 300 && !busy; id++) {
        const char *line = heard(&cell);
        if (strstr(line, "kind=busy")) busy++;
        if (strstr(line, "kind=cpu")) stopped++;
    }
    CHECK(busy > 0);
    CHECK(stopped < 300);
}

TEST(chance_starts_from_the_inputs_seed) {
    char first[100];
    load_file("routing.lua", "return function() return math.random(1e9) end");
    hook(&cell, 1, "v1", "routing.lua", "routing", "{ seed = 7 }");
    snprintf(first, sizeof first, "%s", heard(&cell) + 8);
    hook(&cell, 1, "v1", "routing.lua", "routing", "{ seed = 7 }");
    CHECK_STR(first, heard(&cell) + 8);
    hook(&cell, 1, "v1", "routing.lua", "routing", "{ seed = 8 }");
    CHECK(strcmp(first, heard(&cell) + 8) != 0);
}

TEST(a_check_loads_the_files_it_is_asked_for_and_tells_what_they_return) {
    const char *files[] = {"bundle.lua",
                           "return {}",
                           "campaigns.lua",
                           "local x\nreturn { b = function() end, a = tostring, n = 1 }",
                           "lib.lua",
                           "error('is not loaded')",
                           "routing.lua",
                           "\nlocal x = nil\nreturn x.y",
                           "scoring.lua",
                           "\n\nreturn 5",
                           NULL};
    struct buf b = {0};
    load_files(files);
    message_begin(&b, MESSAGE_CHECK);
    add_str(&b, "v1");
    add_lua(&b, "{ 'routing.lua', 'scoring.lua', 'campaigns.lua', 'assignment.lua' }");
    say(&cell, &b);
    HEARD("checked v1 false {bundle={} files={campaigns.lua={line=2 names={a b} type=table} scoring.lua={line=3 "
          "names={} type=number}} "
          "flows={} problems={{file=routing.lua line=3 text=attempt to index local 'x' (a nil value)}}}");
}

TEST(a_malformed_hook_ends_the_cell) {
    struct buf b = {0};
    char byte;
    message_begin(&b, MESSAGE_HOOK);
    message_int(&b, 1);
    add_str(&b, "v1");
    add_str(&b, "routing.lua");
    add_str(&b, "routing");
    add_str(&b, "no table");
    say(&cell, &b);
    CHECK(readable(cell.fd, PATIENCE_MS));
    CHECK_INT(0, recv(cell.fd, &byte, 1, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CELL(a_hook_gives_what_its_function_makes_of_the_input),
        CELL(a_file_may_return_several_hooks_or_plain_data),
        CELL(a_hook_that_fails_says_where),
        CELL(a_hook_cannot_ask_for_anything),
        CELL(an_endless_hook_is_stopped_soon_and_calls_go_on),
        CELL(a_hook_that_takes_all_memory_is_stopped_and_the_next_one_runs),
        CELL(more_hooks_than_a_cell_takes_are_told_to_come_later),
        CELL(chance_starts_from_the_inputs_seed),
        CELL(a_check_loads_the_files_it_is_asked_for_and_tells_what_they_return),
        CELL(a_malformed_hook_ends_the_cell),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
