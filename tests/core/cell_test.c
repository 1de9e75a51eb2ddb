/* SPDX-License-Identifier: Apache-2.0 */
/* A real cell, and the test as its worker. */
#include "world_cell.h"

static void load_flow(const char *source) {
    const char *files[] = {"flows/main.lua", source, NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
}

static void run_a(const char *data, const char *info) {
    run(&cell, "c1", "v1", "flows/main.lua", "a", 1, data, info);
}

TEST(a_state_asks_and_goes_on_with_the_answer) {
    load_flow(FLOW("a = function(call) call:say 'Hello.'\n local key = call:menu{ prompt = 'One?', ['1'] = 'yes' }\n"
                   "call.data.key = key return key == '1' and 'b' or flow.done end, b = function() end"));
    run_a("{ old = true }", "{ id = 'c1', from = '+1' }");
    HEARD("verb c1 1 1 say {Hello.}");
    answer(&cell, "c1", 1, 1, true, "nil");
    HEARD("verb c1 1 2 menu {{1=yes prompt=One?}}");
    answer(&cell, "c1", 1, 2, true, "'1'");
    HEARD("next c1 1 b {key=1 old=true}");
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, "{ key = '1' }", NULL);
    HEARD("next c1 2 nil {key=1}");
}

TEST(a_verb_and_the_end_of_a_state_say_where_they_stand) {
    load_flow(FLOW("a = function(call)\n  call:say 'Hello.'\n  local function ask() return call:gather{} end\n  local "
                   "key = ask()\n"
                   "  return 'b'\nend,\nb = function(call)\n  return call:menu{}\nend"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {Hello.}");
    CHECK_STR("flows/main.lua:5", heard_at);
    answer(&cell, "c1", 1, 1, true, "nil");
    HEARD("verb c1 1 2 gather {{}}");
    CHECK_STR("flows/main.lua:7", heard_at); /* the tail call has left no frame but its caller's */
    answer(&cell, "c1", 1, 2, true, "nil");
    HEARD("next c1 1 b {}");
    CHECK_STR("flows/main.lua:4", heard_at);
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL);
    HEARD("verb c1 2 1 menu {{}}");
    CHECK_STR("flows/main.lua:10", heard_at);
    run(&cell, "c1", "v1", "flows/main.lua", "ended", 3, NULL, "{ why = 'caller' }");
    HEARD("next c1 3 nil {}");
    CHECK_STR(":0", heard_at); /* there is none */
}

TEST(the_call_object_tells_whose_call_it_is) {
    load_flow(
        FLOW("a = function(call) call:say(call.id, call.from, call.to, call.direction, call.started, tostring(call))\n"
             "assert(not pcall(function() call.id = 'x' end)) assert(not pcall(function() call.data = 1 end))\n"
             "assert(getmetatable(call) == false) call.data = { new = 1 } return flow.done end"));
    run_a(NULL, "{ id = 'c1', from = '+15550001', to = '+15550002', direction = 'in', started_us = 1500000 }");
    HEARD("verb c1 1 1 say {c1 +15550001 +15550002 in 1.5 call}");
    answer(&cell, "c1", 1, 1, true, "nil");
    HEARD("next c1 1 nil {new=1}");
}

TEST(the_worlds_failure_is_nil_and_an_error) {
    load_flow(FLOW("a = function(call) local ok, err = call:transfer('x') call.data.got = { tostring(ok), err.code, "
                   "err.text } end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 transfer {x}");
    answer(&cell, "c1", 1, 1, false, "{ code = 'busy', text = 'the line is busy' }");
    HEARD("next c1 1 nil {got={nil busy the line is busy}}");
}

TEST(the_scripts_mistake_is_raised_where_it_stands) {
    load_flow(FLOW(
        "a = function(call)\n\n  call:say(5)\nend,\nb = function(call)\n  local x = 1\n  return call:menu{}\nend,\n"
        "c = function(call)\n local ok, e = pcall(call.say, call, 1)\n call.data.e = e\nend"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {5}");
    answer(&cell, "c1", 1, 1, false, "{ code = 'invalid', text = 'text must be a string', raise = true }");
    HEARD("failed c1 1 error say: text must be a string flows/main.lua 6");
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL); /* a tail call leaves no frame */
    HEARD("verb c1 2 1 menu {{}}");
    answer(&cell, "c1", 2, 1, false, "{ code = 'invalid', text = 'prompt is missing', raise = true }");
    HEARD("failed c1 2 error menu: prompt is missing flows/main.lua 10");
    run(&cell, "c1", "v1", "flows/main.lua", "c", 3, NULL, NULL);
    HEARD("verb c1 3 1 say {1}");
    answer(&cell, "c1", 3, 1, false, "{ text = 'no', raise = true }");
    HEARD("next c1 3 nil {e=flows/main.lua:13: say: no}");
}

TEST(arguments_that_cannot_be_sent_are_the_scripts_mistake) {
    load_flow(FLOW("a = function(call)\n call:say(print or tostring)\nend,\nb = function(call)\n call.say 'x'\nend,\n"
                   "c = function(call)\n call:say(('x'):rep(70000))\nend"));
    run_a(NULL, NULL);
    HEARD("failed c1 1 error say: a function cannot be sent, at 'the value' flows/main.lua 5");
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL);
    HEARD("failed c1 2 error write call:say(...), on the call the state was given flows/main.lua 8");
    run(&cell, "c1", "v1", "flows/main.lua", "c", 3, NULL, NULL);
    HEARD("failed c1 3 error say: the value is too large at '' flows/main.lua 11");
}

TEST(an_uncaught_error_names_file_and_line) {
    const char *files[] = {
        "flows/main.lua", FLOW("a = function(call)\n local util = require 'lib.util'\n return util.next(call)\nend"),
        "lib/util.lua", "return { next = function(call)\n  return call.data.lead.score\nend }", NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    run_a(NULL, NULL);
    HEARD("failed c1 1 error attempt to index field 'lead' (a nil value) lib/util.lua 2");
}

TEST(an_uncaught_error_tells_how_the_script_came_there) {
    const char *files[] = {
        "flows/main.lua",
        FLOW("a = function(call)\n local util = require 'lib.util'\n util.deeper(call, tonumber(call.from))\nend"),
        "lib/util.lua",
        "local util = {}\nlocal function inner(call) local x = call.data.lead.score return x end\n"
        "function util.deeper(call, n)\n  if n > 0 then util.deeper(call, n - 1) return n end\n"
        "  local sum = pcall(error, 'caught') and 1 or inner(call)\n  return sum\nend\nreturn util",
        NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    run(&cell, "c1", "v1", "flows/main.lua", "a", 1, NULL, "{ from = '1' }");
    HEARD("failed c1 1 error attempt to index field 'lead' (a nil value) lib/util.lua 2");
    CHECK_STR("{lib/util.lua:2: in function 'inner' lib/util.lua:5: in function 'deeper' lib/util.lua:4: in function "
              "'deeper' "
              "flows/main.lua:6: in the function of line 4}",
              heard_trace);
    run(&cell, "c1", "v1", "flows/main.lua", "a", 2, NULL, "{ from = '50' }"); /* no more than ten */
    HEARD("failed c1 2 error attempt to index field 'lead' (a nil value) lib/util.lua 2");
    CHECK(strstr(heard_trace, "inner") != NULL);
    int frames = 0;
    for (const char *at = heard_trace; (at = strstr(at, ": in ")) != NULL; at++) frames++;
    CHECK_INT(10, frames);
}

TEST(a_script_that_is_stopped_tells_where_it_stood) {
    load_flow(FLOW("a = function(call)\n local function spin() while true do end end\n spin()\n return 'a'\nend"));
    run_a(NULL, NULL);
    HEARD("failed c1 1 cpu ran too long without asking for anything flows/main.lua 5");
    CHECK_STR("{flows/main.lua:5: in function 'spin' flows/main.lua:6: in the function of line 4}", heard_trace);
}

TEST(a_bad_return_value_names_the_function_and_the_value) {
    load_flow(
        FLOW("a = function()\n return 42\nend,\nb = function() return 'nowhere' end, c = function() return {} end"));
    run_a(NULL, NULL);
    HEARD("failed c1 1 form state 'a' returned 42; it must be a state's name, nil or flow.done flows/main.lua 4");
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL);
    HEARD("failed c1 2 form state 'b' returned 'nowhere', which is no state flows/main.lua 7");
    run(&cell, "c1", "v1", "flows/main.lua", "c", 3, NULL, NULL);
    HEARD("failed c1 3 form state 'c' returned a table; it must be a state's name, nil or flow.done flows/main.lua 7");
    run(&cell, "c1", "v1", "flows/main.lua", "zz", 4, NULL, NULL);
    HEARD("failed c1 4 form flows/main.lua has no state 'zz'  0");
    run(&cell, "c1", "v2", "flows/main.lua", "a", 5, NULL, NULL);
    HEARD("failed c1 5 form this version is not loaded  0");
    run(&cell, "c1", "v1", "flows/other.lua", "a", 6, NULL, NULL);
    HEARD("failed c1 6 error the bundle has no file flows/other.lua  0");
}

TEST(data_that_cannot_travel_is_refused) {
    load_flow(
        FLOW("a = function(call) call.data.f = tostring end, b = function(call) call.data.x = ('x'):rep(20000) end"));
    run_a(NULL, NULL);
    HEARD("failed c1 1 form call.data: a function cannot be sent, at 'f' flows/main.lua 4");
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL);
    HEARD("failed c1 2 form call.data: the value is too large at 'x' flows/main.lua 4");
}

TEST(ended_and_failed_run_with_their_reason_or_are_skipped) {
    load_flow(FLOW("a = function() end, ended = function(call, why) call:say(why) call.data.x = why return 'a' end"));
    run(&cell, "c1", "v1", "flows/main.lua", "ended", 7, "{ k = 1 }", "{ why = 'hangup' }");
    HEARD("verb c1 7 1 say {hangup}");
    answer(&cell, "c1", 7, 1, true, "nil");
    HEARD("next c1 7 nil {k=1 x=hangup}");
    run(&cell, "c1", "v1", "flows/main.lua", "failed", 8, "{ k = 1 }", "{ error = { text = 'x' } }");
    HEARD("next c1 8 nil {k=1}");
}

TEST(an_endless_loop_ends_its_call_and_no_other) {
    load_flow(FLOW("a = function(call)\n pcall(function()\n  while true do end\n end)\nend,\nb = function(call) "
                   "call:say 'b' end"));
    limit(&cell, "c1", 2, 60, 1000);
    run_a(NULL, NULL);
    run(&cell, "c2", "v1", "flows/main.lua", "b", 1, NULL, NULL);
    HEARD("verb c2 1 1 say {b}"); /* while c1 spins */
    HEARD("failed c1 1 cpu ran too long without asking for anything flows/main.lua 6");
    answer(&cell, "c2", 1, 1, true, "nil");
    HEARD("next c2 1 nil {}");
}

TEST(many_short_steps_use_up_the_calls_time) {
    load_flow(FLOW("a = function(call)\n while true do\n  for i = 1, 1e6 do end\n  call:say 'x'\n end\nend"));
    limit(&cell, "c1", 2, 1000, 100);
    run_a(NULL, NULL);
    for (int n = 1;; n++) {
        const char *line = heard(&cell);
        if (strncmp(line, "verb", 4) != 0) {
            CHECK(strncmp(line, "failed c1 1 cpu used up the call's time flows/main.lua ", 55) == 0);
            CHECK(n > 1);
            break;
        }
        CHECK(n < 1000);
        answer(&cell, "c1", 1, n, true, "nil");
    }
}

TEST(a_memory_bomb_ends_its_call_and_the_cell_lives_on) {
    load_flow(FLOW("a = function(call)\n local t = {}\n while true do t[#t + 1] = { t } end\nend,\n"
                   "b = function(call) call.data.ok = true end"));
    for (int i = 1; i <= 3; i++) {
        run(&cell, "c1", "v1", "flows/main.lua", "a", i, NULL, NULL);
        char want[100];
        snprintf(want, sizeof want, "failed c1 %d memory used too much memory flows/main.lua 6", i);
        HEARD(want);
        run(&cell, "c2", "v1", "flows/main.lua", "b", i, NULL, NULL);
        snprintf(want, sizeof want, "next c2 %d nil {ok=true}", i);
        HEARD(want);
    }
    CHECK(cell.page->memory < 32 << 20);
}

TEST(memory_kept_in_a_files_own_data_does_not_stop_later_calls) {
    load_flow("local kept = {}\n" FLOW(
        "a = function(call)\n while true do kept[#kept + 1] = { kept } end\nend,\n"
        "b = function(call) local t = {} for i = 1, 1e5 do t[i] = { i } end call.data.ok = true end"));
    run_a(NULL, NULL);
    HEARD("failed c1 1 memory used too much memory flows/main.lua 6");
    run(&cell, "c2", "v1", "flows/main.lua", "b", 1, NULL, NULL);
    HEARD("next c2 1 nil {ok=true}");
}

TEST(the_page_tells_what_ran_when_the_hard_limit_ended_the_cell) {
    int fds[3];
    load_flow(FLOW(
        "a = function(call)\n local s = ('x'):rep(1e6)\n call:say 'go'\n s = s .. s .. s .. s\n"
        " s = s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s .. s\nend"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {go}");
    answer(&cell, "c1", 1, 1, true, "nil");
    CHECK(readable(cell.fd, PATIENCE_MS));
    char byte;
    CHECK_INT(0, recv(cell.fd, &byte, 1, 0));
    CHECK_INT(1, cell.page->running);
    CHECK_STR("c1", cell.page->call);
    CHECK_STR("flows/main.lua", cell.page->file);
    CHECK(cell.page->memory > 64 << 20);
    CHECK_INT(ZYGOTE_ENDED, zygote_hear(zygote.worker, fds).type);
    close_cell(&cell);
    setup(NULL); /* for the teardown */
}

TEST(random_numbers_depend_on_the_seed_alone) {
    char first[200], second[200];
    load_flow("local at_load = math.random(1e9)\n" FLOW(
        "a = function(call) call:say(math.random(1e9), math.random(1e9), at_load) end"));
    run_a(NULL, "{ seed = 12345 }");
    snprintf(first, sizeof first, "%s", heard(&cell));
    run_a(NULL, "{ seed = 12345 }"); /* the file is loaded by now; that must not matter */
    snprintf(second, sizeof second, "%s", heard(&cell));
    CHECK_STR(first, second);
    run_a(NULL, "{ seed = 54321 }");
    CHECK(strcmp(first, heard(&cell)) != 0);
}

TEST(time_is_a_verb) {
    load_flow(FLOW("a = function(call) call.data.t = os.time() call.data.n = call:now() end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 now {}");
    answer(&cell, "c1", 1, 1, true, "1700000000.75");
    HEARD("verb c1 1 2 now {}");
    answer(&cell, "c1", 1, 2, true, "1700000001.5");
    HEARD("next c1 1 nil {n=1700000001.5 t=1700000000}");
}

TEST(answers_for_something_else_are_ignored) {
    load_flow(FLOW("a = function(call) call.data.x = call:say 'x' end"));
    answer(&cell, "c1", 1, 1, true, "1");
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    answer(&cell, "c1", 2, 1, true, "2");
    answer(&cell, "c1", 1, 2, true, "3");
    answer(&cell, "c9", 1, 1, true, "4");
    answer(&cell, "c1", 1, 1, true, "5");
    HEARD("next c1 1 nil {x=5}");
    answer(&cell, "c1", 1, 1, true, "6");
    say_one(&cell, MESSAGE_PING, "p");
    HEARD("pong p");
}

TEST(a_dropped_call_is_forgotten) {
    load_flow(FLOW("a = function(call) call:say 'x' end, b = function() while true do end end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    run(&cell, "c2", "v1", "flows/main.lua", "b", 1, NULL, NULL);
    say_one(&cell, MESSAGE_DROP, "c1");
    say_one(&cell, MESSAGE_DROP, "c2");
    say_one(&cell, MESSAGE_DROP, "c3");
    answer(&cell, "c1", 1, 1, true, "nil");
    say_one(&cell, MESSAGE_PING, "p");
    HEARD("pong p");
}

TEST(two_versions_run_side_by_side) {
    const char *one[] = {"flows/main.lua", FLOW("a = function(call) call:say 'x' call.data.v = 1 end"), NULL};
    const char *two[] = {"flows/main.lua", FLOW("a = function(call) call.data.v = 2 end"), NULL};
    load(&cell, "v1", one);
    HEARD("loaded v1 true ");
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    load(&cell, "v2", two);
    HEARD("loaded v2 true ");
    run(&cell, "c2", "v2", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("next c2 1 nil {v=2}");
    answer(&cell, "c1", 1, 1, true, "nil");
    HEARD("next c1 1 nil {v=1}");
    say_one(&cell, MESSAGE_UNLOAD, "v1");
    run(&cell, "c3", "v1", "flows/main.lua", "a", 1, NULL, NULL);
    HEARD("failed c3 1 form this version is not loaded  0");
}

TEST(a_bundle_is_refused_unless_sealed_and_well_formed) {
    struct buf b = {0};
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    message_begin(&b, MESSAGE_LOAD);
    add_str(&b, "v1");
    CHECK_INT(4, write(fd, "PB1\n", 4));
    send_with_fd(cell.fd, b.data, b.len, fd);
    HEARD("loaded v1 false the bundle is not in a sealed memory file");
    send_with_fd(cell.fd, b.data, b.len, -1);
    HEARD("loaded v1 false the bundle is not in a sealed memory file");
    CHECK_INT(4, write(fd, "xxxx", 4));
    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
    send_with_fd(cell.fd, b.data, b.len, fd);
    HEARD("loaded v1 false the bundle is cut off");
    close(fd);
    buf_free(&b);
}

TEST(a_check_reports_flows_states_and_the_bundles_table) {
    const char *files[] = {
        "bundle.lua",
        "return { fallback = { say = 'Sorry.' }, numbers = { '+1' } }",
        "flows/main.lua",
        FLOW("a = function() return 'b' end, b = function() return flow.done end, ended = function() end"),
        "lib/util.lua",
        "return 1",
        NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    say_one(&cell, MESSAGE_CHECK, "v1");
    HEARD("checked v1 true {bundle={fallback={say=Sorry.} numbers={+1}} flows={flows/main.lua={ended=true start=a "
          "states={a b}}} "
          "problems={}}");
}

TEST(a_bundles_table_nested_to_the_last_level_is_a_problem_and_no_broken_message) {
    static const char *const deep[] = {"bundle.lua", "local t = {} for _ = 1, 14 do t = { t } end return t", NULL};
    static const char *const too_deep[] = {"bundle.lua", "local t = {} for _ = 1, 15 do t = { t } end return t", NULL};
    load(&cell, "v1", deep);
    HEARD("loaded v1 true ");
    say_one(&cell, MESSAGE_CHECK, "v1");
    HEARD("checked v1 true {bundle={{{{{{{{{{{{{{{}}}}}}}}}}}}}}} flows={} problems={}}");
    load(&cell, "v2", too_deep);
    HEARD("loaded v2 true ");
    say_one(&cell, MESSAGE_CHECK, "v2");
    HEARD(
        "checked v2 false {flows={} problems={{file=bundle.lua line=1 text=the file must return plain data: a table is "
        "nested deeper than "
        "15}}}");
}

TEST(a_check_collects_every_problem) {
    const char *files[] = {
        "bundle.lua",
        "return { f = function() end }",
        "flows/a.lua",
        "local x = = 1",
        "flows/b.lua",
        "local flow = require 'flow'\n\nreturn flow.define{ start = 'nowhere', a = function() end }",
        "flows/c.lua",
        "return 5",
        "flows/d.lua",
        "local x\nreturn x.y",
        "flows/e.lua",
        "\nwhile true do end",
        "flows/f.lua",
        "local flow = require 'flow'\nreturn flow.define{ start = 'a',\n a = function(call)\n"
        "  -- return \"comment\"\n  table.sort({}, function() return 'inner' end)\n  if call then\n    return 'b'\n"
        "  elseif x then return 'typo' else return \"missing\"; end\n  return 'a' .. 'b'\n end,\n"
        " b = function() return [[gone]] end }",
        "spec/x.lua",
        "(",
        NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    say_one(&cell, MESSAGE_CHECK, "v1");
    HEARD("checked v1 false {flows={flows/f.lua={start=a states={a b}}} problems={"
          "{file=bundle.lua line=1 text=the file must return plain data: a function cannot be sent, at 'f'} "
          "{file=flows/a.lua line=1 text=unexpected symbol near '='} "
          "{file=flows/b.lua line=3 text=flow.define: start names 'nowhere', which is no state} "
          "{file=flows/c.lua line=1 text=the file must return flow.define{ ... }} "
          "{file=flows/d.lua line=2 text=attempt to index local 'x' (a nil value)} "
          "{file=flows/e.lua line=2 text=loading the file takes too long} "
          "{file=flows/f.lua line=8 text=state 'a' returns 'typo', which is no state of this flow} "
          "{file=flows/f.lua line=8 text=state 'a' returns 'missing', which is no state of this flow} "
          "{file=flows/f.lua line=11 text=state 'b' returns 'gone', which is no state of this flow} "
          "{file=spec/x.lua line=1 text=unexpected symbol near '<eof>'}}}");
}

TEST(files_that_require_each_other_in_a_circle_are_an_error) {
    const char *files[] = {"flows/main.lua",
                           FLOW("a = function(call) require 'lib.one' end"),
                           "lib/one.lua",
                           "require 'lib.two'",
                           "lib/two.lua",
                           "\nrequire 'lib.one'",
                           NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    run_a(NULL, NULL);
    HEARD("failed c1 1 error lib/one.lua requires itself lib/two.lua 2");
}

TEST(a_file_cannot_ask_for_anything_while_it_loads) {
    const char *files[] = {"flows/main.lua", FLOW("a = function(call) shared = call require 'lib.one' end"),
                           "lib/one.lua", "\n\nshared:say 'x'", NULL};
    load(&cell, "v1", files);
    HEARD("loaded v1 true ");
    run_a(NULL, NULL);
    HEARD("failed c1 1 error say: a file cannot ask for anything while it loads; do it in a state lib/one.lua 3");
}

TEST(a_call_object_of_another_call_is_refused) {
    load_flow(FLOW("a = function(call) kept = call call:say 'x' end,\nb = function(call) kept:say 'y' end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 say {x}");
    run(&cell, "c2", "v1", "flows/main.lua", "b", 1, NULL, NULL);
    HEARD("failed c2 1 error write call:say(...), on the call the state was given flows/main.lua 5");
}

TEST(a_malformed_message_ends_the_cell) {
    char byte;
    CHECK_INT(8, send(cell.fd, "\x04\0\0\0zzzz", 8, MSG_NOSIGNAL));
    CHECK(readable(cell.fd, PATIENCE_MS));
    CHECK_INT(0, recv(cell.fd, &byte, 1, 0));
}

TEST(a_spinning_cell_uses_no_more_than_its_share) {
    load_flow(FLOW("a = function(call) while true do end end"));
    limit(&cell, "c1", 2, 100000, 100000);
    run_a(NULL, NULL);
    usleep(2200000);
    double used = cpu_of(&cell);
    CHECK(used > 0.1 && used < 1.8); /* half of 2.2 s, and a window of slack */
    say_one(&cell, MESSAGE_PING, "still there");
    HEARD("pong still there");
}

static void other_cell(struct zygote_budget budget) {
    teardown(NULL);
    cell = spawn_with(zygote.worker, ++last_id, budget);
}

/* How often it has gone to sleep. */
static long sleeps(const struct cell *c) {
    char path[64], line[128];
    long n = -1;

    snprintf(path, sizeof path, "/proc/%d/status", c->pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f) && sscanf(line, "voluntary_ctxt_switches: %ld", &n) != 1) {
    }
    fclose(f);
    return n;
}

/* Thousands of cells wait at a time; the timer of a cell's last slice must not go on ticking in each. */
TEST(a_cell_that_waits_is_not_woken) {
    load_flow(FLOW("a = function(call) while true do call:now() end end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 now {}");
    for (int n = 1; n <= 50; n++) {
        answer(&cell, "c1", 1, n, true, "1");
        CHECK(hear(&cell).type == MESSAGE_VERB);
    }
    usleep(200000);
    long before = sleeps(&cell);
    usleep(300000);
    CHECK_INT(before, sleeps(&cell));
    CHECK(before > 0);
}

/* What uses little at a time is told by another clock than what uses much. */
TEST(a_cell_of_many_short_turns_uses_no_more_than_its_share) {
    other_cell((struct zygote_budget){.share_percent = 5, .invocation_ms = 1000000, .call_ms = 1000000});
    offer_verbs(&cell, "now");
    load_flow(FLOW("a = function(call) while true do call:now() end end"));
    run_a(NULL, NULL);
    HEARD("verb c1 1 1 now {}");
    uint64_t began = clock_mono_ms();
    int n = 1;
    for (; clock_mono_ms() - began < 4500; n++) {
        answer(&cell, "c1", 1, n, true, "1");
        if (hear(&cell).type != MESSAGE_VERB) fail_msg("it asks no more");
    }
    double used = cpu_of(&cell);
    if (used > 0.8) fail_msg("%.3f s of 4.5, where 5 %% are its share", used);
    CHECK(n > 100);
}

/* Each second gave a whole slice to a cell whose share is less than that. */
TEST(what_a_second_took_beyond_the_share_is_missing_in_the_next) {
    other_cell((struct zygote_budget){.share_percent = 5});
    load_flow(FLOW("a = function(call) while true do end end"));
    limit(&cell, "c1", 400, 100000, 100000);
    run_a(NULL, NULL);
    usleep(4500000);
    double used = cpu_of(&cell);
    if (used < 0.1 || used > 0.8) fail_msg("%.3f s of 4.5, where 5 %% are its share", used);
}

TEST(a_budget_of_its_own_is_what_a_cell_lives_by) {
    other_cell((struct zygote_budget){.invocation_ms = 30, .slice_ms = 1, .soft_mb = 4, .hard_mb = 8});
    load_flow(FLOW("a = function(call) while true do end end,\n"
                   "b = function(call) local t = {} for i = 1, 1e7 do t[i] = ('x'):rep(1000) .. i end end"));
    double before = cpu_of(&cell);
    run_a(NULL, NULL);
    HEARD("failed c1 1 cpu ran too long without asking for anything flows/main.lua 4");
    CHECK(cpu_of(&cell) - before < 0.3); /* a second, by the zygote's own options */
    limit(&cell, "c1", 2, 60000, 60000);
    run(&cell, "c1", "v1", "flows/main.lua", "b", 2, NULL, NULL);
    HEARD("failed c1 2 memory used too much memory flows/main.lua 5");
    CHECK(cell.page->memory < 8 << 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CELL(a_state_asks_and_goes_on_with_the_answer),
        CELL(a_verb_and_the_end_of_a_state_say_where_they_stand),
        CELL(the_call_object_tells_whose_call_it_is),
        CELL(the_worlds_failure_is_nil_and_an_error),
        CELL(the_scripts_mistake_is_raised_where_it_stands),
        CELL(arguments_that_cannot_be_sent_are_the_scripts_mistake),
        CELL(an_uncaught_error_names_file_and_line),
        CELL(an_uncaught_error_tells_how_the_script_came_there),
        CELL(a_script_that_is_stopped_tells_where_it_stood),
        CELL(a_bad_return_value_names_the_function_and_the_value),
        CELL(data_that_cannot_travel_is_refused),
        CELL(ended_and_failed_run_with_their_reason_or_are_skipped),
        CELL(an_endless_loop_ends_its_call_and_no_other),
        CELL(many_short_steps_use_up_the_calls_time),
        CELL(a_memory_bomb_ends_its_call_and_the_cell_lives_on),
        CELL(memory_kept_in_a_files_own_data_does_not_stop_later_calls),
        CELL(the_page_tells_what_ran_when_the_hard_limit_ended_the_cell),
        CELL(random_numbers_depend_on_the_seed_alone),
        CELL(time_is_a_verb),
        CELL(answers_for_something_else_are_ignored),
        CELL(a_dropped_call_is_forgotten),
        CELL(two_versions_run_side_by_side),
        CELL(a_bundle_is_refused_unless_sealed_and_well_formed),
        CELL(a_check_reports_flows_states_and_the_bundles_table),
        CELL(a_bundles_table_nested_to_the_last_level_is_a_problem_and_no_broken_message),
        CELL(a_check_collects_every_problem),
        CELL(files_that_require_each_other_in_a_circle_are_an_error),
        CELL(a_file_cannot_ask_for_anything_while_it_loads),
        CELL(a_call_object_of_another_call_is_refused),
        CELL(a_malformed_message_ends_the_cell),
        CELL(a_spinning_cell_uses_no_more_than_its_share),
        CELL(a_cell_that_waits_is_not_woken),
        CELL(a_cell_of_many_short_turns_uses_no_more_than_its_share),
        CELL(what_a_second_took_beyond_the_share_is_missing_in_the_next),
        CELL(a_budget_of_its_own_is_what_a_cell_lives_by),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
