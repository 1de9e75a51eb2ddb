/* SPDX-License-Identifier: Apache-2.0 */
/* What core.media gives to Lua of a leg whose media stream is real; the leg itself is played here (see CMakeLists.txt). */
#include "bind/vm.h"
#include "telephony/leg.h"
#include "world_media.h"

struct leg {
    struct media_stream *stream;
};
static struct peer *party; /* of the next leg */

struct slot *__wrap_bind_check_slot(lua_State *L, int arg);
struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o);
struct media_stream *__wrap_leg_stream(struct leg *l);
void __wrap_leg_close(struct leg *l, bool keep);

struct slot *__wrap_bind_check_slot(lua_State *L, int arg) {
    (void)L, (void)arg;
    return (struct slot *)party; /* not looked into */
}
struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o) {
    struct leg *l = calloc(1, sizeof *l);
    struct media_stream_opts m = {"127.0.0.1", party->port, o->codec, o->on_media, o->arg};
    (void)s;
    CHECK_INT(0, media_stream_open(&l->stream, w.media, &m, NULL));
    o->on_ready(o->arg, NULL);
    return l;
}
struct media_stream *__wrap_leg_stream(struct leg *l) {
    return l->stream;
}
void __wrap_leg_close(struct leg *l, bool keep) {
    (void)keep;
    media_stream_close(l->stream);
    free(l);
}

static struct vm *vm;
static void on_done(void *arg, lua_State *co, bool ok, int n) {
    (void)n;
    if (!ok) fail_msg("%s", lua_tostring(co, -1));
    *(bool *)arg = true;
}
/* Runs text as a task and the loop until it has ended. */
static void lua(const char *text) {
    bool done = false;
    if (luaL_loadstring(vm_lua(vm), text) != 0) fail_msg("%s", lua_tostring(vm_lua(vm), -1));
    vm_spawn(vm, 0, on_done, &done);
    for (int i = 0; i < 100 && !done; i++) run_ms(10);
    CHECK(done);
}

static void open_world(void) {
    world_open(NULL);
    vm = vm_new(&(struct vm_services){.loop = &w.loop, .media = w.media, .zygote_fd = -1}, ".");
    party = peer_open(MEDIA_ULAW);
    lua("media = require 'core.media'\n"
        "events = {}\n"
        "leg = assert(media.leg('n1.1', { id = 'a', channel = 'c', on_media = function(...) events[#events + 1] = { "
        "... } end }))\n"
        "function told(kind, id)\n"
        "  for _, e in ipairs(events) do if e[1] == kind and e[2] == id then return e end end\n"
        "end");
}
static void close_world(void) {
    media_close(w.media, on_closed, &w.closed);
    while (!w.closed) uv_run(&w.loop, UV_RUN_ONCE);
    vm_free(vm);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK_INT(0, uv_loop_close(&w.loop));
    for (int i = 0; i < w.peer_count; i++) {
        close(w.peers[i]->fd);
        free(w.peers[i]);
    }
}

TEST(a_listener_gets_batches_with_their_position_until_it_or_the_leg_is_closed) {
    open_world();
    lua("heard, at, batches, lost = {}, 0, 0, 0\n"
        "listener = assert(leg:listen{ rate = 16000, batch_ms = 40, on_audio = function(pcm, position, dropped)\n"
        "  assert(position == at + dropped * 320, position)\n"
        "  assert(#pcm > 0 and #pcm <= 2 * 640 and #pcm % 640 == 0)\n"
        "  at, batches, lost = position + #pcm / 2, batches + 1, lost + dropped\n"
        "  heard[batches] = pcm\n"
        "end })");
    talk(party, 20, 10);
    run_ms(100);
    lua("assert(batches >= 8 and batches <= 20, batches)\n"
        "assert(at >= 16 * 320)\n"
        "assert(table.concat(heard):find('[^%z]'))\n"
        "listener:close() listener:close()\n"
        "kept = batches");
    run_ms(120);
    lua("assert(batches == kept)\n"
        "second = assert(leg:listen{ on_audio = function(pcm) assert(#pcm == 1600) batches = batches + 1 end })");
    run_ms(350);
    lua("assert(batches >= kept + 2, batches)\n"
        "leg:close()\n"
        "kept = batches\n"
        "second:close()\n"
        "local none, err = leg:listen{ on_audio = print }\n"
        "assert(none == nil and err.code == 'closed')\n"
        "second, listener = nil\n"
        "collectgarbage() collectgarbage()");
    run_ms(150);
    lua("assert(batches == kept)");
    close_world();
}

TEST(what_is_asked_wrongly_is_refused) {
    open_world();
    lua("local function raises(text, ...) local ok, err = pcall(...) assert(not ok and err:find(text, 1, true), err) "
        "end\n"
        "raises('table expected', leg.listen, leg)\n"
        "raises('function expected', leg.listen, leg, {})\n"
        "raises('rate', leg.listen, leg, { rate = -1, on_audio = print })\n"
        "raises('table expected', leg.play_begin, leg, 1, 8000)\n"
        "raises('number expected', leg.play_append, leg)\n"
        "raises('decibels', leg.duck, leg, 6)\n"
        "raises('milliseconds', leg.duck, leg, -6, 0)\n"
        "local none, err = leg:listen{ rate = 44100, on_audio = print }\n"
        "assert(none == nil and err.code == 'invalid')\n"
        "none, err = leg:play_begin(1, { rate = 11025 })\n"
        "assert(none == nil and err.code == 'invalid')\n"
        "for _, name in ipairs{ 'play_append', 'play_end', 'play_state' } do\n"
        "  none, err = leg[name](leg, 7, '')\n"
        "  assert(none == nil and err.code == 'not_found', name)\n"
        "end\n"
        "leg:close()\n"
        "for _, name in ipairs{ 'play_begin', 'play_append', 'play_end', 'play_state', 'duck', 'stats' } do\n"
        "  none, err = leg[name](leg, name == 'duck' and -6 or 7, name == 'play_append' and '' or nil)\n"
        "  assert(none == nil and err.code == 'closed', name)\n"
        "end");
    close_world();
}

TEST(a_play_comes_in_pieces_of_any_length_and_tells_what_became_of_it) {
    open_world();
    lua("local pcm = {}\n"
        "for i = 0, 4799 do\n"
        "  local v = math.floor(6000 * math.cos(2 * math.pi * 300 * i / 24000) + 0.5) % 65536\n"
        "  pcm[#pcm + 1] = string.char(v % 256, math.floor(v / 256))\n"
        "end\n"
        "sound = table.concat(pcm)\n" /* 200 ms */
        "assert(leg:play_begin(3, { rate = 24000, prebuffer_ms = 40 }))\n"
        "local none, err = leg:play_begin(3)\n"
        "assert(none == nil and err.code == 'exists')\n"
        "local waiting = assert(leg:play_append(3, sound:sub(1, 4801)))\n"
        "assert(waiting >= 80 and waiting <= 105, waiting)\n"
        "assert(leg:play_append(3, sound:sub(4802)))\n"
        "local now = assert(leg:play_state(3))\n"
        "assert(now.sent_ms + now.waiting_ms >= 195 and now.starved_ms == 0 and now.underruns == 0)");
    run_ms(500); /* it runs out, and goes on */
    lua("assert(leg:play_append(3, sound))\n"
        "assert(leg:play_end(3))");
    run_ms(400);
    lua("local played = assert(told('played', 3))\n"
        "assert(played[3] >= 398 and played[3] <= 402, played[3])\n"
        "assert(played[4] == 1 and played[5] >= 100, played[5])\n"
        "local begun = assert(told('begun', 3))\n"
        "assert(begun[3] >= 0 and begun[3] < 400, begun[3])\n"
        "assert(leg:duck())\n"
        "assert(leg:play_begin(4))\n"
        "assert(leg:play_append(4, sound .. sound))\n"
        "assert(leg:duck(0, 20))");
    run_ms(150);
    lua("assert(leg:stop(4))");
    run_ms(100);
    lua("local stopped = assert(told('stopped', 4))\n"
        "assert(stopped[3] > 40 and stopped[3] < 500 and stopped[4] == 0, stopped[3])\n"
        "leg:close()");
    close_world();
}

TEST(the_figures_of_a_leg_have_all_their_names) {
    open_world();
    talk(party, 10, 10);
    party->seq += 3;
    party->timestamp += 3 * FRAME;
    talk(party, 5, 10);
    run_ms(40);
    lua("local s = leg:stats()\n"
        "assert(s.received == 15 and s.lost == 3 and s.sent > 10 and s.duplicated == 0 and s.reordered == 0)\n"
        "assert(s.late >= 0 and s.concealed_ms >= 20 and s.jitter_ms >= 0 and s.delay_ms >= 20)\n"
        "assert(s.mos > 1 and s.mos < 4)\n"
        "leg:close()");
    close_world();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_listener_gets_batches_with_their_position_until_it_or_the_leg_is_closed),
        RUN(what_is_asked_wrongly_is_refused),
        RUN(a_play_comes_in_pieces_of_any_length_and_tells_what_became_of_it),
        RUN(the_figures_of_a_leg_have_all_their_names),
    };
    return RUN_ALL(tests);
}
