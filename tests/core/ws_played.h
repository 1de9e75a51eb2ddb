/* SPDX-License-Identifier: Apache-2.0 */
/* A WebSocket server that a test plays byte by byte, for what no decent server does. */
#pragma once
#include "http_world.h"

/* The next client of a listener, with its handshake heard and not answered. */
static inline int played_accept(struct world *w, int listener, struct buf *heard) {
    bool never = false;
    int fd = -1;
    fcntl(listener, F_SETFL, O_NONBLOCK);
    for (int i = 0; i < 1000 && fd < 0; i++) {
        world_turn(w, &never, 2);
        fd = accept(listener, NULL, NULL);
    }
    assert_true(fd >= 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    buf_clear(heard);
    assert_true(hear(w, fd, heard, "\r\n\r\n"));
    return fd;
}

/* The answer to a handshake, with the frames that follow at once. */
static inline void played_answer(int fd, const struct buf *heard, const void *frames, size_t len) {
    unsigned char hash[20], b64[40];
    struct buf answer = {0};
    char *key = strstr(heard->data, "Sec-WebSocket-Key: ");
    assert_non_null(key);
    char *proof = mem_printf("%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key + 19);
    EVP_Digest(proof, strlen(proof), hash, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock(b64, hash, 20);
    buf_printf(&answer,
               "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
               (char *)b64);
    if (len) buf_add(&answer, frames, len);
    say_bytes(fd, answer.data, answer.len);
    free(proof);
    buf_free(&answer);
}
