/* SPDX-License-Identifier: Apache-2.0 */
/* Every attempt (escapes.h) in a real cell, behind sandbox and walls. */
#include "escapes.h"

static const char *const options[] = {"--soft-mb", "16", "--hard-mb", "64", "--share-percent", "100", NULL};

/* What is left of a VERB or NEXT: file and line where the script stands, and no more. */
static bool is_placed(struct message *m) {
    size_t len;
    message_get_str(m, &len);
    message_get_int(m);
    return !m->bad && m->at == m->end;
}

/* Hears until the visit has ended: "next" with data, or how it failed. */
static void hear_end(struct zygote *z, struct cell *c, struct buf *data, char got[2048]) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    size_t len, name_len;
    int fds[3];

    for (;;) {
        ssize_t n = readable(c->fd, HANG_MS) ? recv(c->fd, bytes, sizeof bytes, 0) : -2;
        if (n == -2) {
            snprintf(got, 2048, "a cell that hangs");
            kill(c->pid, SIGKILL);
        }
        if (n <= 0) {
            struct zygote_message end = zygote_hear(z->worker, fds);
            int status = end.value;
            if (n == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 72)
                snprintf(got, 2048, "hard");
            else if (n != -2)
                snprintf(got, 2048, "a cell that dies with status %x", (unsigned)status);
            return;
        }
        if (!message_read(&m, bytes, (size_t)n)) break;
        if (m.type == MESSAGE_LOADED) continue;
        const char *call = message_get_str(&m, &len);
        int64_t number = message_get_int(&m);
        (void)call;
        if (m.type == MESSAGE_FAILED) {
            const char *kind = message_get_str(&m, &name_len), *text = message_get_str(&m, &len);
            if (m.bad) break;
            if (name_len == 4 && memcmp(kind, "form", 4) == 0) kind = "error", name_len = 5;
            snprintf(got, 2048, "%.*s %.*s", (int)name_len, kind, (int)len, text);
            return;
        }
        if (m.type == MESSAGE_NEXT) {
            message_get_any(&m, &name_len);
            const char *value = message_get_any(&m, &len);
            if (!is_placed(&m)) break;
            buf_clear(data);
            buf_add(data, value, len);
            snprintf(got, 2048, "ok");
            return;
        }
        if (m.type != MESSAGE_VERB) break;
        int64_t step = message_get_int(&m);
        const char *name = message_get_str(&m, &name_len), *args = message_get_any(&m, &len);
        if (!is_placed(&m)) break;
        struct buf b = {0};
        lua_State *L = luaL_newstate();
        bool ok = name[0] == 's' || name[0] == 'a';
        message_begin(&b, MESSAGE_ANSWER);
        add_str(&b, "c1");
        message_int(&b, number);
        message_int(&b, step);
        message_bool(&b, ok);
        if (ok && value_unpack(L, args, args + len, NULL)) {
            lua_rawgeti(L, -1, 1);
            CHECK_INT(0, value_pack(L, -1, &b, MESSAGE_MAX, NULL));
        } else {
            add_lua(&b, name[0] == 'r' ? "{ code = 'failed', raise = true }" : "{ code = 'failed' }");
        }
        lua_close(L);
        say(c, &b);
    }
    snprintf(got, 2048, "a message that its worker would refuse");
}

static void run_visit(struct cell *c, const char *version, const char *file, const char *state, int number,
                      const struct buf *data) {
    struct buf b = {0};

    message_begin(&b, MESSAGE_RUN);
    add_str(&b, "c1");
    add_str(&b, version);
    add_str(&b, file);
    add_str(&b, state);
    message_int(&b, number);
    buf_add(&b, data->data, data->len);
    add_lua(&b, "{ id = 'c1', from = '+15550001', seed = 'x', why = 'hangup', error = { text = 'x' } }");
    say(c, &b);
}

static void load_bundle(struct cell *c, const char *version, const struct buf *bundle) {
    struct buf b = {0};
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, bundle->data, bundle->len), bundle->len);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    message_begin(&b, MESSAGE_LOAD);
    add_str(&b, version);
    send_with_fd(c->fd, b.data, b.len, fd);
    close(fd);
    buf_free(&b);
}

static struct cell new_cell(struct zygote *z, uint32_t id) {
    struct cell c = spawn_cell(z->worker, id);
    const char *probe[] = {"flows/probe.lua", PROBE, NULL};

    offer_verbs(&c, VERBS);
    load(&c, "probe", probe);
    return c;
}

TEST(a_cell_stops_every_attempt_and_serves_on) {
    struct zygote z = start_zygote(options);
    uint32_t id = 1;
    int failed = 0, number = 0, fds[3];
    struct cell c = new_cell(&z, id);

    for (int i = 0; i < attempt_count; i++) {
        const struct attempt *a = &attempts[i];
        struct buf bundle = {0}, data = {0};
        struct err e = {0};
        char got[2048] = "", name[64], version[32];
        if (!wanted(a)) continue;
        snprintf(version, sizeof version, "v%d", i);
        if (!make_bundle(a, &bundle, &e)) { /* its worker refuses it too, before a cell sees it */
            if (strcmp(a->expect, "refused") != 0) failed++;
            buf_free(&bundle);
            continue;
        }
        load_bundle(&c, version, &bundle);
        limit(&c, "c1", SLICE_MS, strcmp(a->expect, "cpu") == 0 ? SPIN_MS : CPU_MS, CPU_MS);
        const char *states = is_flow(a) ? a->states : "a";
        message_open(&data);
        message_shut(&data);
        bool well = true;
        while (well && next_state(&states, name)) {
            run_visit(&c, version, is_flow(a) ? "flows/attack.lua" : "flows/main.lua", name, ++number, &data);
            hear_end(&z, &c, &data, got);
            well = strcmp(got, "ok") == 0;
        }
        if (well) snprintf(got, sizeof got, "%s", shown_result(a, data.data, data.len));
        bool refused = strcmp(a->expect, "refused") == 0 && strncmp(got, "error ", 6) == 0;
        bool right = as_expected(a, got) || (refused && (!*a->text || strstr(got, a->text)));
        bool dead = strcmp(got, "hard") == 0 || strncmp(got, "a cell", 6) == 0;
        if (dead) {
            close_cell(&c);
            c = new_cell(&z, ++id);
        } else {
            say_one(&c, MESSAGE_UNLOAD, version);
            say_one(&c, MESSAGE_DROP, "c1");
        }
        char after[2048];
        buf_clear(&data);
        message_nil(&data);
        run_visit(&c, "probe", "flows/probe.lua", "a", ++number, &data);
        hear_end(&z, &c, &data, after);
        if (strcmp(after, "ok") != 0) {
            right = false;
            print_error("%s: harms another version: %s\n", a->name, after);
            if (strncmp(after, "a cell", 6) == 0) {
                close_cell(&c);
                c = new_cell(&z, ++id);
            }
        }
        if (!right) {
            failed++;
            print_error("%s: wanted %s %s, got %s\n", a->name, a->expect, a->text, got);
        }
        buf_free(&bundle);
        buf_free(&data);
    }
    close_cell(&c);
    CHECK_INT(ZYGOTE_ENDED, zygote_hear(z.worker, fds).type);
    stop_zygote(&z);
    CHECK_INT(0, failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {RUN(a_cell_stops_every_attempt_and_serves_on)};
    return cmocka_run_group_tests(tests, read_attempts, free_attempts);
}
