/* SPDX-License-Identifier: Apache-2.0 */
#include "host/inherit.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void inherit_listener(struct inherit *h, const char *kind, int index, int fd) {
    if (h->listener_count == 2 * INHERIT_MAX) return;
    struct inherit_listener *l = &h->listeners[h->listener_count++];
    snprintf(l->kind, sizeof l->kind, "%s", kind);
    l->index = index;
    l->fd = fd;
}

void inherit_worker(struct inherit *h, int index, int pid, int pipe, const char *owner) {
    if (h->worker_count == INHERIT_MAX) return;
    struct inherit_worker *w = &h->workers[h->worker_count++];
    *w = (struct inherit_worker){.index = index, .pid = pid, .pipe = pipe};
    snprintf(w->owner, sizeof w->owner, "%s", owner);
}

void inherit_zygote(struct inherit *h, int pid, int fd) {
    h->zygote = pid;
    h->zygote_fd = fd;
}

static void keep_over_exec(const struct inherit *h, bool keep) {
    int flags = keep ? 0 : FD_CLOEXEC;
    for (int i = 0; i < h->listener_count; i++) fcntl(h->listeners[i].fd, F_SETFD, flags);
    for (int i = 0; i < h->worker_count; i++) fcntl(h->workers[i].pipe, F_SETFD, flags);
    if (h->zygote) fcntl(h->zygote_fd, F_SETFD, flags);
}

int inherit_seal(struct inherit *h, struct err *e) {
    json_t *listeners = json_array(), *workers = json_array();
    for (int i = 0; i < h->listener_count; i++) {
        const struct inherit_listener *l = &h->listeners[i];
        json_array_append_new(listeners, json_pack("{s:s, s:i, s:i}", "kind", l->kind, "index", l->index, "fd", l->fd));
    }
    for (int i = 0; i < h->worker_count; i++) {
        const struct inherit_worker *w = &h->workers[i];
        json_array_append_new(workers, json_pack("{s:i, s:i, s:i, s:s}", "index", w->index, "pid", w->pid, "pipe",
                                                 w->pipe, "owner", w->owner));
    }
    json_t *all = json_pack("{s:o, s:o, s:i, s:i}", "listeners", listeners, "workers", workers, "zygote", h->zygote,
                            "zygote_fd", h->zygote_fd);
    char *text = json_dumps(all, JSON_COMPACT);
    size_t len = strlen(text);
    json_decref(all);
    h->fd = memfd_create("parley-inherit", 0);
    bool written = h->fd >= 0 && write(h->fd, text, len) == (ssize_t)len;
    free(text);
    if (!written) {
        err_set(e, ERR_IO, "no memory file: %s", strerror(errno));
        if (h->fd >= 0) close(h->fd);
        h->fd = -1;
        return e->code;
    }
    keep_over_exec(h, true);
    return 0;
}

void inherit_undo(struct inherit *h) {
    keep_over_exec(h, false);
    if (h->fd >= 0) close(h->fd);
    h->fd = -1;
}

static int number(const json_t *object, const char *key) {
    return (int)json_integer_value(json_object_get(object, key));
}

int inherit_read(struct inherit *h, int fd, struct err *e) {
    json_error_t why;
    json_t *item;
    size_t i;

    lseek(fd, 0, SEEK_SET);
    json_t *all = json_loadfd(fd, 0, &why);
    close(fd);
    if (all == NULL) return err_set(e, ERR_PROTOCOL, "--inherit %d: %s", fd, why.text);
    memset(h, 0, sizeof *h);
    h->fd = -1;
    json_array_foreach(json_object_get(all, "listeners"), i, item) {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        inherit_listener(h, kind ? kind : "", number(item, "index"), number(item, "fd"));
    }
    json_array_foreach(json_object_get(all, "workers"), i, item) {
        const char *owner = json_string_value(json_object_get(item, "owner"));
        inherit_worker(h, number(item, "index"), number(item, "pid"), number(item, "pipe"), owner ? owner : "");
    }
    inherit_zygote(h, number(all, "zygote"), number(all, "zygote_fd"));
    json_decref(all);
    keep_over_exec(h, false);
    return 0;
}

/* What a listener is bound to is asked of itself. */
static bool is_bound_to(int fd, const char *bind_to, int port) {
    struct sockaddr_storage at = {0};
    socklen_t len = sizeof at;
    char text[INET6_ADDRSTRLEN] = "";
    int bound = 0;

    if (fd < 0 || getsockname(fd, (struct sockaddr *)&at, &len) < 0) return false;
    if (at.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&at)->sin_addr, text, sizeof text);
        bound = ntohs(((struct sockaddr_in *)&at)->sin_port);
    } else if (at.ss_family == AF_INET6) {
        struct in6_addr given;
        if (inet_pton(AF_INET6, bind_to, &given) != 1 ||
            memcmp(&given, &((struct sockaddr_in6 *)&at)->sin6_addr, sizeof given))
            return false;
        return ntohs(((struct sockaddr_in6 *)&at)->sin6_port) == port;
    }
    return bound == port && strcmp(text, bind_to) == 0;
}

int inherit_take_listener(struct inherit *h, const char *kind, int index, const char *bind_to, int port) {
    for (int i = 0; i < h->listener_count; i++) {
        struct inherit_listener *l = &h->listeners[i];
        if (l->index != index || strcmp(l->kind, kind) != 0 || !is_bound_to(l->fd, bind_to, port)) continue;
        int fd = l->fd;
        l->fd = -1;
        return fd;
    }
    return -1;
}

void inherit_close_listeners(struct inherit *h) {
    for (int i = 0; i < h->listener_count; i++)
        if (h->listeners[i].fd >= 0) close(h->listeners[i].fd);
    h->listener_count = 0;
}
