/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets. */
#include "host/port.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int port_listen(const char *bind_to, int port, struct err *e) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int fd, one = 1;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(bind_to, service, &hints, &found) != 0)
        return err_set(e, ERR_INVALID, "http.bind: '%s' is not an IP address", bind_to);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        freeaddrinfo(found);
        return err_set(e, ERR_IO, "no socket: %s", strerror(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
        err_set(e, ERR_IO, "cannot listen on %s port %d: %s%s", bind_to, port, strerror(errno),
                errno == EADDRINUSE ? "; stop what uses it or set http.port / http.tls_port" : "");
        freeaddrinfo(found);
        close(fd);
        return e->code;
    }
    freeaddrinfo(found);
    return fd;
}

/* SO_REUSEPORT would let two masters share a port without a word, so the port is first tried without it. */
int port_is_free(const char *bind_to, int port, struct err *e) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int fd, one = 1, rc = 0;

    if (port == 0) return 0;
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(bind_to, service, &hints, &found) != 0)
        return err_set(e, ERR_INVALID, "http.bind: '%s' is not an IP address", bind_to);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
        rc = err_set(e, ERR_IO, "cannot listen on %s port %d: %s%s", bind_to, port, strerror(errno),
                     errno == EADDRINUSE ? "; stop what uses it or set http.port / http.tls_port" : "");
    freeaddrinfo(found);
    close(fd);
    return rc;
}
