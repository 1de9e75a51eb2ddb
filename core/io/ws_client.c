/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket client on libwebsockets.
 *
 * Life of one: the name is resolved (uv's thread pool; libwebsockets itself would block), its addresses are tried in
 * turn, the handshake runs, messages flow. Whatever ends it, the wsi goes first, then our timer closes, and on_close is
 * called from the timer's close callback: once, from the loop, with nothing of ours on the stack. */
#include "io/ws_client.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/net_inside.h"
#include "io/ws_url.h"
#include <arpa/inet.h>
#include <libwebsockets.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

enum { SEND_LIMIT = 16 * 1024 * 1024, MESSAGES_MAX = 65536, ADDRESS_LIMIT = 8 };

/* libwebsockets writes the request's line into 2048 bytes and "Host: " into 128, and cuts what is longer without a word:
 * the next header then stands in the middle of it. */
enum { TARGET_MAX = 2047 - 15, AUTHORITY_MAX = 127 - 8, PROTOCOL_MAX = 1000 };

struct ws_client_times ws_client_times = {.ping = 10000, .pong = 5000, .close = 5000};

/* A close frame; libwebsockets has the value in a private header only. */
enum { WRITE_CLOSE = 4 };

struct message {
    struct message *next;
    size_t len;
    bool binary;
    unsigned char bytes[]; /* LWS_PRE, then the data */
};

struct lookup { /* outlives a client that does not wait for it */
    uv_getaddrinfo_t req;
    struct ws_client *client;
};

enum state { RESOLVING, CONNECTING, OPEN, CLOSING, ENDED };

struct ws_client {
    struct net *net;              /* borrowed; closes us before it goes */
    struct ws_client *next, **at; /* in net->clients */
    struct ws_client_opts o;      /* its strings are not kept */
    struct ws_url url;
    char *protocol, *ca_file;
    struct buf headers; /* as they go on the wire */
    enum state state;
    struct lookup *lookup;
    char addresses[ADDRESS_LIMIT][INET6_ADDRSTRLEN];
    int address_count, address;
    uint64_t connect_by; /* uv_now() */
    struct lws *wsi;
    uv_timer_t timer;         /* connecting: the limit; open: ping and pong; closing: the limit */
    bool ping_due, ping_sent; /* to be written; its answer's time runs */
    bool heard;               /* anything since the ping */
    bool paused;              /* nothing is read */
    int status;               /* of the HTTP answer that refused us */
    struct buf in;
    struct message *out, **out_end;
    size_t queued;
    int messages; /* in out: empty ones are not free either */
    int close_code;
    bool close_sent;
    struct err why;
};

static void on_timer(uv_timer_t *timer);

static void on_timer_closed(uv_handle_t *handle) {
    struct ws_client *c = handle->data;
    struct net *net = c->net;

    *c->at = c->next;
    if (c->next) c->next->at = c->at;
    if (c->o.on_close) c->o.on_close(c->o.arg, &c->why);
    for (struct message *m = c->out, *next; m; m = next) {
        next = m->next;
        free(m);
    }
    ws_url_free(&c->url);
    free(c->protocol);
    free(c->ca_file);
    buf_free(&c->headers);
    buf_free(&c->in);
    free(c);
    net_client_closed(net);
}

static void end(struct ws_client *c) {
    if (c->state == ENDED) return;
    c->state = ENDED;
    uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

/* The first reason is the true one: what follows is only its wake. */
static void because(struct ws_client *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void because(struct ws_client *c, int code, const char *fmt, ...) {
    char text[sizeof c->why.text];
    va_list args;
    if (c->why.code) return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    err_set(&c->why, code, "%s", text);
}

/* Some servers say only here why they refuse. It is theirs to write what they like: one line of ASCII is kept. */
static void closed_by_peer(struct ws_client *c, const unsigned char *in, size_t len) {
    char reason[126] = "";
    size_t n = 0;

    for (size_t i = 2; i < len && n < sizeof reason - 1; i++)
        reason[n++] = in[i] >= ' ' && in[i] < 0x7f ? (char)in[i] : '?';
    reason[n] = '\0';
    because(c, ERR_CLOSED, "the server closed the WebSocket with code %d%s%s", in[0] << 8 | in[1], n ? ": " : "",
            reason);
}

/* Drops the connection at once; its end comes from the loop. */
static void kill_wsi(struct ws_client *c) {
    if (c->lookup) {
        uv_cancel((uv_req_t *)&c->lookup->req);
        c->lookup->client = NULL;
        c->lookup = NULL;
    }
    if (c->wsi) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_KILLED_BY_PARENT, LWS_TO_KILL_ASYNC);
        lws_cancel_service(c->net->lws); /* it looks at its timers only when something else wakes it */
    } else {
        end(c);
    }
}

static void connect_next(struct ws_client *c);

/* The wsi is gone: the next address, or the end. */
static void on_wsi_gone(struct ws_client *c) {
    c->wsi = NULL;
    if (c->state == CONNECTING && c->why.code == ERR_IO && c->address < c->address_count) {
        uv_timer_start(&c->timer, on_timer, 0, 0);
        return;
    }
    because(c, ERR_CLOSED, "the connection closed");
    end(c);
}

static void tell_refusal(struct ws_client *c, struct lws *wsi, const char *text) {
    unsigned status = lws_http_client_http_response(wsi);
    const char *host = c->url.host;
    if (status != 101) c->status = (int)status;
    if (status && status != 101)
        because(c, status == 401 || status == 403 ? ERR_DENIED : ERR_PROTOCOL,
                "%s:%d refused the WebSocket with HTTP %u", host, c->url.port, status);
    else if (status || (text && strncmp(text, "HS:", 3) == 0))
        because(c, ERR_PROTOCOL, "%s:%d gave no valid WebSocket handshake (%s)", host, c->url.port, text ? text : "");
    else
        because(c, ERR_IO, "cannot connect to %s:%d (%s)", host, c->url.port, text && *text ? text : "no reason given");
}

static int add_headers(struct ws_client *c, char **at, size_t room) {
    if (c->headers.len > room) {
        because(c, ERR_INVALID, "the headers are longer than %zu bytes", room);
        return -1;
    }
    memcpy(*at, c->headers.data ? c->headers.data : "", c->headers.len);
    *at += c->headers.len;
    return 0;
}

static void set_socket(struct ws_client *c, bool fresh) {
    int fd = lws_get_socket_fd(c->wsi), on = 1;
    if (fresh) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    /* The kernel drops the option after a while by itself. */
    if (c->o.quick_ack) setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
}

/* Says good-bye; the server's answer, or the timer, ends it. */
static void begin_close(struct ws_client *c, int code) {
    if (c->paused) ws_client_pause(c, false); /* the server's own close stands behind what was not read */
    c->state = CLOSING;
    c->close_code = code;
    lws_callback_on_writable(c->wsi);
    uv_timer_start(&c->timer, on_timer, (uint64_t)ws_client_times.close, 0);
}

static void fail(struct ws_client *c, int close_code, int err_code, const char *text) {
    because(c, err_code, "%s", text);
    begin_close(c, close_code);
}

static void on_bytes(struct ws_client *c, const char *data, size_t len) {
    if (c->state != OPEN) return;
    if (lws_is_first_fragment(c->wsi)) buf_clear(&c->in);
    c->heard = true; /* any byte shows that it lives */
    if (c->in.len + len > c->o.message_limit) {
        fail(c, LWS_CLOSE_STATUS_MESSAGE_TOO_LARGE, ERR_LIMIT, "the server sent a message larger than the limit");
        return;
    }
    buf_add(&c->in, data, len);
    if (!lws_is_final_fragment(c->wsi) || lws_remaining_packet_payload(c->wsi)) return;
    if (c->in.len && !lws_frame_is_binary(c->wsi) && !str_is_utf8(c->in.data, c->in.len)) {
        fail(c, LWS_CLOSE_STATUS_INVALID_PAYLOAD, ERR_PROTOCOL, "the server sent text that is not UTF-8");
        return;
    }
    set_socket(c, false);
    if (c->o.on_message) c->o.on_message(c->o.arg, c->in.data ? c->in.data : "", c->in.len);
    if (c->in.cap > 256 * 1024) buf_free(&c->in);
}

static int on_writable(struct ws_client *c) {
    int n = 0;
    bool wrote = false;
    if (c->close_sent) return 0;
    if (c->ping_due) {
        unsigned char ping[LWS_PRE + 1];
        c->ping_due = false;
        n = lws_write(c->wsi, ping + LWS_PRE, 0, LWS_WRITE_PING);
    } else if (c->out) {
        struct message *m = c->out;
        n = lws_write(c->wsi, m->bytes + LWS_PRE, m->len, m->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
        c->out = m->next;
        if (c->out == NULL) c->out_end = &c->out;
        c->queued -= m->len;
        c->messages--;
        free(m);
        wrote = true;
    } else if (c->state == CLOSING) {
        /* By hand: Debian's libwebsockets drops the connection when a callback asks it to close with a reason. */
        unsigned char code[LWS_PRE + 2];
        code[LWS_PRE] = (unsigned char)(c->close_code >> 8);
        code[LWS_PRE + 1] = (unsigned char)c->close_code;
        c->close_sent = true;
        n = lws_write(c->wsi, code + LWS_PRE, 2, (enum lws_write_protocol)WRITE_CLOSE);
    }
    if (n < 0) return -1;
    if (wrote && c->out == NULL && c->o.on_drain) c->o.on_drain(c->o.arg);
    if (!c->close_sent && (c->out || c->ping_due || c->state == CLOSING)) lws_callback_on_writable(c->wsi);
    return 0;
}

static int on_lws(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t len) {
    struct ws_client *c = wsi ? lws_get_opaque_user_data(wsi) : NULL;
    (void)user;
    if (c == NULL) return 0;
    switch (reason) {
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
        return add_headers(c, in, len);
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
        tell_refusal(c, wsi, in);
        return 0;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
        if (c->state != CONNECTING) return -1;
        c->why = (struct err){0}; /* of an address that did not answer */
        c->wsi = wsi;
        c->state = OPEN;
        set_socket(c, true);
        uv_timer_start(&c->timer, on_timer, (uint64_t)ws_client_times.ping, 0);
        if (c->o.on_open) c->o.on_open(c->o.arg);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE:
        on_bytes(c, in, len);
        return 0;
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
        c->heard = true;
        return 0;
    case LWS_CALLBACK_CLIENT_WRITEABLE:
        return on_writable(c);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        if (len >= 2)
            closed_by_peer(c, in, len);
        else
            because(c, ERR_CLOSED, "the server closed the WebSocket without a code");
        return 0;
    case LWS_CALLBACK_WSI_DESTROY:
        lws_set_opaque_user_data(wsi, NULL);
        on_wsi_gone(c);
        return 0;
    default:
        return 0;
    }
}

static const struct lws_protocols protocols[] = {{"ws-client", on_lws, 0, 64 * 1024, 0, NULL, 0},
                                                 {NULL, NULL, 0, 0, 0, NULL, 0}};

/* libwebsockets keeps the pointer to a vhost's name, so a name lives as long as the program; CA files are few. */
static const char *vhost_name(const char *ca_file) {
    static struct name {
        struct name *next;
        char text[512];
    } * names;
    char text[sizeof names->text];
    struct name *n;

    snprintf(text, sizeof text, "ws-client %s", ca_file ? ca_file : "");
    for (n = names; n; n = n->next)
        if (strcmp(n->text, text) == 0) return n->text;
    n = mem_alloc(sizeof *n);
    memcpy(n->text, text, sizeof text);
    n->next = names;
    names = n;
    return n->text;
}

/* One vhost for each CA file, because that is where libwebsockets keeps a client's TLS settings. */
static struct lws_vhost *vhost(struct net *n, const char *ca_file) {
    const char *name = vhost_name(ca_file);
    struct lws_context_creation_info info = {0};

    struct lws_vhost *v = lws_get_vhost_by_name(n->lws, name);
    if (v) return v;
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.vhost_name = name;
    info.protocols = protocols;
    info.client_ssl_ca_filepath = ca_file;
    info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    if (ca_file) info.options |= LWS_SERVER_OPTION_DISABLE_OS_CA_CERTS;
    return lws_create_vhost(n->lws, &info);
}

static void connect_next(struct ws_client *c) {
    struct lws_client_connect_info info = {0};

    c->why = (struct err){0};
    info.context = c->net->lws;
    info.vhost = vhost(c->net, c->ca_file);
    if (info.vhost == NULL) {
        because(c, ERR_INVALID, "cannot use the CA file %s", c->ca_file ? c->ca_file : "of the system");
        end(c);
        return;
    }
    info.address = c->addresses[c->address++];
    info.port = c->url.port;
    info.path = c->url.target;
    info.host = c->url.authority;
    info.protocol = c->protocol;
    info.local_protocol_name = protocols[0].name;
    info.ietf_version_or_minus_one = -1;
    info.ssl_connection = (c->url.tls ? LCCSCF_USE_SSL : 0) | LCCSCF_HTTP_NO_FOLLOW_REDIRECT;
    info.alpn = "http/1.1";
    info.opaque_user_data = c;
    info.pwsi = &c->wsi;
    struct lws *wsi = lws_client_connect_via_info(&info);
    if (wsi) {
        c->wsi = wsi;
    } else if (c->wsi == NULL && c->state == CONNECTING && !uv_is_active((uv_handle_t *)&c->timer)) {
        because(c, ERR_IO, "cannot connect to %s:%d", c->url.host, c->url.port);
        on_wsi_gone(c);
    }
}

static void begin_connect(struct ws_client *c) {
    c->state = CONNECTING;
    connect_next(c);
    uint64_t now = uv_now(c->net->loop);
    if (c->wsi) uv_timer_start(&c->timer, on_timer, c->connect_by > now ? c->connect_by - now : 0, 0);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found) {
    struct lookup *l = (struct lookup *)req;
    struct ws_client *c = l->client;

    free(l);
    if (c) {
        c->lookup = NULL;
        for (struct addrinfo *a = found; a && status == 0 && c->address_count < ADDRESS_LIMIT; a = a->ai_next) {
            const void *ip = a->ai_family == AF_INET    ? (void *)&((struct sockaddr_in *)a->ai_addr)->sin_addr
                             : a->ai_family == AF_INET6 ? (void *)&((struct sockaddr_in6 *)a->ai_addr)->sin6_addr
                                                        : NULL;
            if (ip) inet_ntop(a->ai_family, ip, c->addresses[c->address_count++], INET6_ADDRSTRLEN);
        }
        if (c->address_count) {
            uv_timer_stop(&c->timer);
            begin_connect(c);
        } else {
            because(c, ERR_IO, "cannot resolve %s: %s", c->url.host, status ? uv_strerror(status) : "no address");
            end(c);
        }
    }
    uv_freeaddrinfo(found);
}

static void resolve(struct ws_client *c) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    unsigned char ip[16];

    if (inet_pton(AF_INET, c->url.host, ip) == 1 || inet_pton(AF_INET6, c->url.host, ip) == 1) {
        str_copy(c->addresses[0], sizeof c->addresses[0], c->url.host);
        c->address_count = 1;
        begin_connect(c);
        return;
    }
    c->lookup = mem_alloc(sizeof *c->lookup);
    c->lookup->client = c;
    uv_timer_start(&c->timer, on_timer, (uint64_t)c->o.connect_timeout_ms, 0);
    int rc = uv_getaddrinfo(c->net->loop, &c->lookup->req, on_resolved, c->url.host, NULL, &hints);
    if (rc == 0) return;
    free(c->lookup);
    c->lookup = NULL;
    because(c, ERR_IO, "cannot resolve %s: %s", c->url.host, uv_strerror(rc));
    end(c);
}

static void on_ping_timer(struct ws_client *c) {
    if (c->paused) {
        c->ping_sent = false; /* its answer may lie among what is not read */
        uv_timer_start(&c->timer, on_timer, (uint64_t)ws_client_times.ping, 0);
        return;
    }
    if (c->ping_sent && !c->heard) {
        because(c, ERR_TIMEOUT, "%s:%d did not answer a ping in %d ms", c->url.host, c->url.port, ws_client_times.pong);
        kill_wsi(c);
        return;
    }
    c->ping_sent = !c->ping_sent;
    if (c->ping_sent) {
        c->ping_due = true;
        c->heard = false;
        lws_callback_on_writable(c->wsi);
    }
    uv_timer_start(&c->timer, on_timer,
                   (uint64_t)(c->ping_sent ? ws_client_times.pong : ws_client_times.ping - ws_client_times.pong), 0);
}

static void on_timer(uv_timer_t *timer) {
    struct ws_client *c = timer->data;
    switch (c->state) {
    case RESOLVING:
        if (c->why.code) { /* the URL is wrong, or a close came before the first turn */
            kill_wsi(c);
        } else if (c->lookup == NULL) {
            resolve(c);
        } else {
            because(c, ERR_TIMEOUT, "%s was not resolved in %d ms", c->url.host, c->o.connect_timeout_ms);
            kill_wsi(c);
        }
        break;
    case CONNECTING:
        if (c->wsi == NULL && c->address < c->address_count && uv_now(timer->loop) < c->connect_by) {
            begin_connect(c);
            break;
        }
        c->why = (struct err){0};
        because(c, ERR_TIMEOUT, "no WebSocket with %s:%d in %d ms", c->url.host, c->url.port, c->o.connect_timeout_ms);
        kill_wsi(c);
        break;
    case OPEN:
        on_ping_timer(c);
        break;
    case CLOSING:
        kill_wsi(c);
        break;
    case ENDED:
        break;
    }
}

static void keep_headers(struct ws_client *c) {
    if (c->o.user) {
        char *pair = mem_printf("%s:%s", c->o.user, c->o.password ? c->o.password : "");
        size_t len = strlen(pair);
        char *b64 = mem_alloc(4 * ((len + 2) / 3) + 1);
        EVP_EncodeBlock((unsigned char *)b64, (const unsigned char *)pair, (int)len);
        buf_printf(&c->headers, "Authorization: Basic %s\r\n", b64);
        free(b64);
        free(pair);
    }
    for (const char *const *h = c->o.headers; h && *h; h++) {
        if (strpbrk(*h, "\r\n") || strchr(*h, ':') == NULL)
            because(c, ERR_INVALID, "a header is not \"Name: value\"");
        else
            buf_printf(&c->headers, "%s\r\n", *h);
    }
}

static void check_request(struct ws_client *c) {
    if (c->why.code) return;
    if (strlen(c->url.target) > TARGET_MAX)
        because(c, ERR_INVALID, "the WebSocket URL is longer than %d bytes behind its host", TARGET_MAX);
    else if (strlen(c->url.authority) > AUTHORITY_MAX)
        because(c, ERR_INVALID, "the WebSocket URL's host and port are longer than %d bytes", AUTHORITY_MAX);
    for (const char *p = c->protocol ? c->protocol : ""; *p; p++)
        if (*p < 0x20 || *p > 0x7E || p - c->protocol == PROTOCOL_MAX)
            because(c, ERR_INVALID, "the protocol holds a byte that is not allowed, or is longer than %d bytes",
                    PROTOCOL_MAX);
}

struct ws_client *ws_client_open(struct net *net, const struct ws_client_opts *o) {
    struct ws_client *c = mem_alloc(sizeof *c);

    c->net = net;
    c->o = *o;
    if (c->o.connect_timeout_ms <= 0) c->o.connect_timeout_ms = 5000;
    if (c->o.message_limit == 0) c->o.message_limit = 4 * 1024 * 1024;
    c->protocol = mem_strdup(o->protocol);
    c->ca_file = mem_strdup(o->ca_file);
    c->out_end = &c->out;
    ws_url_parse(&c->url, o->url, &c->why);
    check_request(c);
    keep_headers(c);
    c->o.url = c->o.user = c->o.password = c->o.protocol = c->o.ca_file = NULL;
    c->o.headers = NULL;
    if (net->closing) because(c, ERR_CLOSED, "the network is closing");
    c->next = net->clients;
    c->at = &net->clients;
    if (c->next) c->next->at = &c->next;
    net->clients = c;
    uv_timer_init(net->loop, &c->timer);
    c->timer.data = c;
    c->connect_by = uv_now(net->loop) + (uint64_t)c->o.connect_timeout_ms;
    uv_timer_start(&c->timer, on_timer, 0, 0);
    return c;
}

static int queue(struct ws_client *c, const void *data, size_t len, bool binary, struct err *e) {
    if (c->state != OPEN) return err_set(e, ERR_CLOSED, "the WebSocket is not open");
    if (c->queued + len > SEND_LIMIT || c->messages == MESSAGES_MAX)
        return err_set(e, ERR_LIMIT, "%d messages of %zu bytes wait to be sent already", c->messages, c->queued);
    struct message *m = mem_alloc(sizeof *m + LWS_PRE + len);
    m->len = len;
    m->binary = binary;
    if (len) memcpy(m->bytes + LWS_PRE, data, len);
    *c->out_end = m;
    c->out_end = &m->next;
    c->queued += len;
    c->messages++;
    lws_callback_on_writable(c->wsi);
    return 0;
}

int ws_client_send(struct ws_client *c, const char *text, size_t len, struct err *e) {
    return queue(c, text, len, false, e);
}

int ws_client_send_binary(struct ws_client *c, const void *data, size_t len, struct err *e) {
    return queue(c, data, len, true, e);
}

size_t ws_client_queued(const struct ws_client *c) {
    return c->queued;
}

bool ws_client_is_drained(const struct ws_client *c) {
    return c->out == NULL;
}

bool ws_client_is_binary(const struct ws_client *c) {
    return c->wsi && lws_frame_is_binary(c->wsi);
}

int ws_client_status(const struct ws_client *c) {
    return c->status;
}

void ws_client_pause(struct ws_client *c, bool paused) {
    if (c->state != OPEN || c->paused == paused) return;
    c->paused = paused;
    if (!paused) c->heard = true; /* the answer to a ping may stand behind what was not read */
    lws_rx_flow_control(c->wsi, !paused);
}

void ws_client_close(struct ws_client *c, int code) {
    if (c->state == CLOSING || c->state == ENDED) return;
    because(c, ERR_CLOSED, "closed by us");
    if (c->state == OPEN) {
        begin_close(c, code);
    } else if (c->state == CONNECTING) {
        c->state = CLOSING;
        kill_wsi(c);
    } else {
        uv_timer_start(&c->timer, on_timer, 0, 0);
    }
}

void ws_client_drop(struct ws_client *c) {
    /* A close would leave the kernel to deliver the rest, minutes later if the network comes back only then. */
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (c->state == ENDED) return;
    because(c, ERR_CLOSED, "dropped by us");
    if (c->state == OPEN || c->state == CLOSING) {
        if (c->wsi) setsockopt(lws_get_socket_fd(c->wsi), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        c->state = CLOSING;
        kill_wsi(c);
    } else {
        ws_client_close(c, 1000);
    }
}

void ws_client_abort(struct ws_client *c) {
    if (c->state == ENDED) return;
    because(c, ERR_CLOSED, "the network is closing");
    c->state = CLOSING;
    kill_wsi(c);
}

struct ws_client *ws_client_next(struct ws_client *c) {
    return c->next;
}
