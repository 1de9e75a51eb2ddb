/* SPDX-License-Identifier: Apache-2.0 */
/* Who may send to us: (address, port) to session, found in constant time. A hash with open addressing, at most a quarter
 * full; fixed size, so that the media thread allocates nothing. */
#pragma once
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct peers {
    struct peer {
        uint64_t key;            /* 0: free */
        struct session *session; /* borrowed */
    } * slots;
    size_t mask;
};

void peers_init(struct peers *p, size_t max);
void peers_deinit(struct peers *p);
void peers_put(struct peers *p, const struct sockaddr_in *from, struct session *session); /* not there yet */
struct session *peers_get(const struct peers *p, const struct sockaddr_in *from);         /* or NULL */
void peers_remove(struct peers *p, const struct sockaddr_in *from);
