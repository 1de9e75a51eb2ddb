/* SPDX-License-Identifier: Apache-2.0 */
/* A worker: one loop, one platform VM, its share of the slots, a media thread. Started by the master. */
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "bind/bind_http.h"
#include "bind/bind_telephony.h"
#include "host/host.h"
#include "host/services.h"
#include "io/http_server.h"
#include "io/redis.h"
#include "media/media.h"
#include "metrics/metrics.h"
#include "telephony/telephony.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    BEAT_MS = 50,
    NODES_MAX = 64,
    PROXIES_MAX = 64,
    LINGER_MIN_MS = 500,
    LINGER_MAX_MS = 11000,
    LINGER_LOOK_MS = 100,
    SETTLE_MS = 3000,
    ANNOUNCE_MS = 20,
    ANNOUNCE_LIMIT_MS = 2000
};

static struct worker {
    uv_loop_t loop;
    struct config *config;
    struct vm_services services;
    struct vm *vm;
    struct http_server *http, *https;
    uv_timer_t beat;
    uv_signal_t term;
    uv_pipe_t master;
    struct buf line;                  /* from the master, not yet whole */
    bool stopping, closing_telephony; /* the latter: it is gone, or going */
    uint64_t drained_ms;
    int closing; /* what still has to close before we exit */
} w;

static void tell_master(const char *text) {
    ssize_t n = write(HOST_FD_MASTER, text, strlen(text));
    (void)n; /* a master that is gone is noticed by reading */
}

static void on_beat(uv_timer_t *t) {
    (void)t;
    metrics_beat(w.services.metrics, BEAT_LOOP);
}

static void leave(void) {
    log_info("worker.ended", "worker %d", w.services.worker);
    exit(0); /* connections, threads and memory go with the process: it is crash-only anyway */
}

static void on_settled(void *arg, bool ok, int status) {
    (void)arg, (void)ok, (void)status; /* what went wrong is logged */
    leave();
}

static void on_settle_late(uv_timer_t *t) {
    (void)t;
    log_warn("worker.not_settled", "what waited to be written was not within %d ms", SETTLE_MS);
    leave();
}

/* What Lua keeps in memory to write it a moment later. A worker that is killed loses it: the modules say how much that may be. */
static void settle(void) {
    static uv_timer_t limit;
    struct err e = {0};
    char file[4200];

    uv_timer_init(&w.loop, &limit);
    uv_timer_start(&limit, on_settle_late, SETTLE_MS, 0);
    snprintf(file, sizeof file, "%s/lua/ending.lua", host_root());
    if (vm_run_file(w.vm, file, 0, NULL, on_settled, NULL, &e) < 0) {
        log_error("worker.not_settled", "%s", e.text);
        leave();
    }
}

static void on_server_closed(void *arg) {
    (void)arg;
    if (--w.closing == 0) settle();
}

static void close_servers(int grace_ms) {
    w.closing = 1;
    if (w.http != NULL) {
        w.closing++;
        http_server_close(w.http, grace_ms, on_server_closed, NULL);
    }
    if (w.https != NULL) {
        w.closing++;
        http_server_close(w.https, grace_ms, on_server_closed, NULL);
    }
    on_server_closed(NULL);
}

/* What was said to Redis has gone out, and the successors' sound has taken over from ours. */
static void on_linger(uv_timer_t *t) {
    uint64_t lingered_ms = clock_mono_ms() - w.drained_ms;
    bool heard = w.services.telephony && telephony_lingers(w.services.telephony);

    if (lingered_ms < LINGER_MIN_MS || (heard && lingered_ms < LINGER_MAX_MS)) return;
    uv_timer_stop(t);
    close_servers((int)config_int(w.config, "http.grace_ms"));
}

static void on_drained(void *arg, int left) {
    (void)arg;
    static uv_timer_t linger;

    log_info("worker.drained", "%d slots left to nobody", left);
    tell_master("drained\n");
    uv_timer_init(&w.loop, &linger);
    w.drained_ms = clock_mono_ms();
    uv_timer_start(&linger, on_linger, LINGER_LOOK_MS, LINGER_LOOK_MS);
}

static void drain(void) {
    if (w.stopping) return;
    w.stopping = true;
    log_info("worker.draining", "worker %d", w.services.worker);
    if (w.services.telephony == NULL)
        on_drained(NULL, 0);
    else
        telephony_drain(w.services.telephony, on_drained, NULL);
}

/* A worker without cells leaves its callers on a silent line: it ends at once, others take its calls, and the master starts it anew with
 * a socket to the zygote. While it drains its calls are on their way to others already. */
static void on_zygote_lost(void) {
    if (w.stopping) return;
    log_warn("worker.ending", "without cells; to be started anew");
    _exit(1);
}

static void on_term(uv_signal_t *s, int signum) {
    (void)s;
    (void)signum;
    drain();
}

/* "stop": everybody stops, so calls stay in Asterisk for the next start; their records are written at every step. */
static void on_telephony_closed(void *arg) {
    (void)arg;
    close_servers(200);
}

static void on_master_line(const char *line) {
    if (strncmp(line, "dead ", 5) == 0) {
        log_info("owner.died", "%s", line + 5);
        if (w.services.telephony != NULL && !w.closing_telephony) telephony_owner_died(w.services.telephony, line + 5);
    } else if (strcmp(line, "stop") == 0 && !w.stopping) {
        w.stopping = true;
        if (w.services.telephony == NULL)
            on_telephony_closed(NULL);
        else
            telephony_close(w.services.telephony, on_telephony_closed, NULL);
        w.closing_telephony = true;
    }
}

static void on_master_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    (void)s;
    if (n < 0) { /* the master is gone: so are we; the next one starts new workers */
        log_warn("master.gone", "leaving");
        _exit(1);
    }
    buf_add(&w.line, b->base, (size_t)n);
    for (char *nl; w.line.len > 0 && (nl = memchr(w.line.data, '\n', w.line.len)) != NULL;) {
        *nl = 0;
        on_master_line(w.line.data);
        buf_drop(&w.line, (size_t)(nl - w.line.data) + 1);
    }
}

static void on_master_alloc(uv_handle_t *h, size_t size, uv_buf_t *b) {
    static char space[4096];

    (void)h;
    (void)size;
    *b = uv_buf_init(space, sizeof space);
}

static bool is_socket(int fd) {
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

static int read_config(struct err *e) {
    struct buf b = {0};
    char chunk[4096];
    ssize_t n;
    off_t at = 0;
    int rc;

    while ((n = pread(HOST_FD_CONFIG, chunk, sizeof chunk, at)) > 0) {
        buf_add(&b, chunk, (size_t)n);
        at += n;
    }
    rc = config_from_json(&w.config, b.data == NULL ? "" : b.data, b.len, e);
    buf_free(&b);
    return rc;
}

static int open_telephony(struct err *e) {
    const struct config *c = w.config;
    const json_t *nodes = json_object_get(json_object_get(config_tree(c), "telephony"), "nodes");
    static struct telephony_node list[NODES_MAX];
    struct media_opts m = {.address = config_str(c, "telephony.bind"),
                           .port_min = (int)config_int(c, "telephony.rtp_min"),
                           .port_max = (int)config_int(c, "telephony.rtp_max"),
                           .metrics = w.services.metrics};
    struct telephony_opts o = {.loop = &w.loop,
                               .net = w.services.net,
                               .redis = w.services.redis,
                               .metrics = w.services.metrics,
                               .owner = w.services.owner,
                               .nodes = list,
                               .slots_per_node = (int)config_int(c, "telephony.slots"),
                               .lease_ms = (int)config_int(c, "telephony.lease_ms"),
                               .prefix = config_str(c, "redis.prefix"),
                               .on_slot_ready = bind_telephony_on_ready,
                               .on_slot_lost = bind_telephony_on_lost,
                               .on_slot_giving = bind_telephony_on_giving,
                               .on_event = bind_telephony_on_event};
    size_t i;
    json_t *node;

    json_array_foreach(nodes, i, node) {
        if (i >= NODES_MAX) return err_set(e, ERR_LIMIT, "telephony.nodes: at most %d", NODES_MAX);
        list[i].name = json_string_value(json_object_get(node, "name"));
        list[i].ari_url = json_string_value(json_object_get(node, "ari_url"));
        list[i].user = json_string_value(json_object_get(node, "user"));
        list[i].password = json_string_value(json_object_get(node, "password"));
        o.node_count++;
    }
    if (w.services.redis == NULL && o.node_count == 0) return 0; /* else nodes may be added at run time */
    if (w.services.redis == NULL)
        return err_set(e, ERR_INVALID, "telephony.nodes needs redis.url: slots are leased there");
    if (media_open(&w.services.media, &w.loop, &m, e) < 0) return e->code;
    o.media = w.services.media;
    return telephony_open(&w.services.telephony, &o, e);
}

static int open_server(struct http_server **out, int fd, bool tls, struct err *e) {
    static const struct http_body_limit limits[] = {{"/scripts", 6 * 1024 * 1024}, {NULL, 0}};
    static const char *proxies[PROXIES_MAX + 1];
    struct http_server_opts o = {.listen_fd = fd,
                                 .connections = (int)config_int(w.config, "http.connections"),
                                 .connections_per_address = (int)config_int(w.config, "http.connections_per_address"),
                                 .proxies = proxies,
                                 .body_limit = (size_t)config_int(w.config, "http.body_limit"),
                                 .body_limits = limits,
                                 .on_request = bind_http_on_request,
                                 .on_upgrade = bind_http_on_upgrade,
                                 .on_ws_open = bind_http_on_ws_open,
                                 .on_ws_message = bind_http_on_ws_message,
                                 .on_ws_drain = bind_http_on_ws_drain,
                                 .on_ws_close = bind_http_on_ws_close,
                                 .ws_deflate = config_bool(w.config, "http.websocket_deflate"),
                                 .arg = w.vm};
    size_t i;
    json_t *proxy;

    json_array_foreach(json_object_get(json_object_get(config_tree(w.config), "http"), "proxies"), i,
                       proxy) if (i < PROXIES_MAX) proxies[i] = json_string_value(proxy);

    if (tls) {
        o.cert_file = config_str(w.config, "http.tls_cert");
        o.key_file = config_str(w.config, "http.tls_key");
    }
    return http_server_open(out, w.services.net, &o, e);
}

/* The master lets an old worker drain when a new one is ready: the others must know of it by then. Redis may be away. */
static void on_announce(uv_timer_t *t) {
    static int waited_ms;

    if (!w.closing_telephony && !telephony_is_announced(w.services.telephony) &&
        (waited_ms += ANNOUNCE_MS) < ANNOUNCE_LIMIT_MS)
        return;
    uv_timer_stop(t);
    tell_master("ready\n");
}

static void on_main_ended(void *arg, bool ok, int status) {
    (void)arg;
    (void)status;
    if (!ok) {
        log_error("worker.failed", "lua/main.lua ended with an error");
        exit(1);
    }
    struct err e = {0};
    if (is_socket(HOST_FD_HTTP) && open_server(&w.http, HOST_FD_HTTP, false, &e) < 0) goto fail;
    if (is_socket(HOST_FD_HTTPS) && open_server(&w.https, HOST_FD_HTTPS, true, &e) < 0) goto fail;
    log_info("worker.ready", "worker %d owner %s", w.services.worker, w.services.owner);
    if (w.services.telephony == NULL) {
        tell_master("ready\n");
        return;
    }
    static uv_timer_t announce;
    uv_timer_init(&w.loop, &announce);
    uv_timer_start(&announce, on_announce, 0, ANNOUNCE_MS);
    return;
fail:
    log_error("worker.failed", "%s", e.text);
    exit(1);
}

int worker_main(int index, const char *owner) {
    struct err e = {0};
    char main_file[4200];
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* a terminal's ^C is the master's to handle */
    log_open("worker", index, STDERR_FILENO, LOG_INFO);
    for (int fd = HOST_FD_HTTP; fd <= HOST_FD_MASTER; fd++) fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    uv_loop_init(&w.loop);
    if (read_config(&e) < 0) goto fail;
    log_open("worker", index, STDERR_FILENO, (enum log_level)log_level_parse(config_str(w.config, "log.level")));
    fault_open();
    w.services.loop = &w.loop;
    w.services.config = w.config;
    w.services.worker = index;
    w.services.owner = owner;
    w.services.program = "parleyd";
    w.services.zygote_lost = on_zygote_lost;
    w.services.zygote_fd = is_socket(HOST_FD_ZYGOTE) ? HOST_FD_ZYGOTE : -1;
    if (metrics_open(&w.services.metrics, HOST_FD_METRICS, 0, index, &e) < 0) goto fail;
    if (services_open(&w.services, &e) < 0) goto fail;
    if (open_telephony(&e) < 0) goto fail;
    w.vm = vm_new(&w.services, host_root());

    uv_timer_init(&w.loop, &w.beat);
    uv_timer_start(&w.beat, on_beat, 0, BEAT_MS);
    uv_signal_init(&w.loop, &w.term);
    uv_signal_start(&w.term, on_term, SIGTERM);
    uv_pipe_init(&w.loop, &w.master, 0);
    uv_pipe_open(&w.master, HOST_FD_MASTER);
    uv_read_start((uv_stream_t *)&w.master, on_master_alloc, on_master_read);

    snprintf(main_file, sizeof main_file, "%s/lua/main.lua", host_root());
    if (vm_run_file(w.vm, main_file, 0, NULL, on_main_ended, NULL, &e) < 0) goto fail;
    uv_run(&w.loop, UV_RUN_DEFAULT);
    return 0;
fail:
    log_error("worker.failed", "%s", e.text);
    return 1;
}
