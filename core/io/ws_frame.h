/* SPDX-License-Identifier: Apache-2.0 */
/* The frames of RFC 6455 as a server reads and writes them: pure bytes, no I/O. */
#pragma once
#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum { WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

/* Zero-initialised is ready. */
struct ws_reader {
    unsigned char head[14];
    size_t head_len;
    uint64_t left; /* payload of the frame still to come */
    size_t mask_at;
    bool in_payload;
    bool deflate;       /* set by the caller when permessage-deflate was agreed on */
    bool packed;        /* the message is */
    int opcode;         /* of the frame */
    int message_opcode; /* of the message its fragments build; 0: none begun */
    struct buf message; /* data frames so far */
    struct buf control; /* payload of a control frame */
};

/* Reads up to one whole message or control frame; the limit holds for a message as it comes and as it is unpacked. Returns its opcode with *payload (valid until the next call), 0 when
 * all bytes are used and more are needed, or -close_code when the peer broke the protocol. *used: bytes consumed. */
int ws_read(struct ws_reader *r, const char *data, size_t len, size_t limit, size_t *used, const struct buf **payload);
void ws_reader_free(struct ws_reader *r);

/* The head of an unmasked frame; returns its length. opcode may carry WS_PACKED. */
enum { WS_PACKED = 0x40 };
size_t ws_frame_head(unsigned char out[10], int opcode, size_t len);
bool ws_close_code_ok(int code); /* may it stand in a close frame? */
