/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a message in the order that its first bytes say; every answer lies within the message. */
#include "script/message.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    struct message m;
    unsigned order = len ? bytes[0] : 0;

    if (!message_read(&m, bytes, len)) return 0;
    while (!m.bad && m.at < m.end) {
        const char *start = m.at, *text;
        size_t n;
        switch (order & 3) {
        case 0:
            text = message_get_str(&m, &n);
            if (text && (text < start || text + n != m.at)) abort();
            break;
        case 1:
            message_get_int(&m);
            break;
        case 2:
            message_get_bool(&m);
            break;
        default:
            text = message_get_any(&m, &n);
            if (text && (text != start || text + n != m.at)) abort();
        }
        if (m.at > m.end || (!m.bad && m.at == start)) abort();
        order = order >> 2 | order << 6;
    }
    return 0;
}
