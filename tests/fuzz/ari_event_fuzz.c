/* SPDX-License-Identifier: Apache-2.0 */
/* What comes from Asterisk and from Redis publish: a message, the listings in it, and news of leases. */
#include "base/buf.h"
#include "telephony/ari.h"
#include "telephony/lease.h"
#include "telephony/leg.h"
#include "telephony/slot.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct ari_message m;
    struct err e;
    struct lease_news news;
    struct buf encoded = {0};
    char *text = malloc(size + 1);

    memcpy(text, data, size);
    text[size] = '\0';
    if (ari_read(text, size, &m, &e) == 0) {
        const json_t *body = m.body ? m.body : m.json;
        struct listing_part parts[2] = {{.app = "parley-1", .of_app = m.json}, {.app = "parley-2", .of_app = m.json}};
        listing_share(body, body, parts, 2);
        for (int i = 0; i < 2; i++) {
            json_decref(parts[i].channels);
            json_decref(parts[i].bridges);
        }
        if (m.is_answer && (m.id == 0 || m.status < 100 || m.status > 599)) abort();
        /* No leg is open: whatever it is, it is handled without one. */
        struct slot none = {0};
        leg_event(&none, m.json);
        json_decref(m.body);
        json_decref(m.json);
    }
    if (lease_news_read(text, &news) && news.slot[0] == '\0') abort();
    ari_encode(&encoded, text);
    if (encoded.data && strpbrk(encoded.data, "/?&# \r\n\"")) abort();
    buf_free(&encoded);
    free(text);
    return 0;
}
