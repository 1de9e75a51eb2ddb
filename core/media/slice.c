/* SPDX-License-Identifier: Apache-2.0 */
#include "media/slice.h"
#include "media/recording.h"
#include "media/session.h"
#include <stddef.h>

static int choose(const struct slice slices[SLICES]) {
    int fewest = 0;
    for (int i = 0; i < SLICES; i++) {
        if (slices[i].session_count < SLICE_FULL) return i;
        if (slices[i].session_count < slices[fewest].session_count) fewest = i;
    }
    return fewest;
}

void slice_add_session(struct slice slices[SLICES], struct session *s) {
    s->slice = choose(slices);
    struct slice *to = &slices[s->slice];
    s->prev = NULL;
    s->next = to->sessions;
    if (s->next != NULL) s->next->prev = s;
    to->sessions = s;
    to->session_count++;
}

void slice_remove_session(struct slice slices[SLICES], struct session *s) {
    struct slice *of = &slices[s->slice];
    if (s->prev != NULL) s->prev->next = s->next;
    if (s->next != NULL) s->next->prev = s->prev;
    if (of->sessions == s) of->sessions = s->next;
    of->session_count--;
}

void slice_add_recording(struct slice slices[SLICES], struct recording *r) {
    const struct session *left = r->sides[RECORDING_LEFT].session;
    r->slice = left != NULL ? left->slice : 0;
    struct slice *to = &slices[r->slice];
    r->prev = NULL;
    r->next = to->recordings;
    if (r->next != NULL) r->next->prev = r;
    to->recordings = r;
}

void slice_remove_recording(struct slice slices[SLICES], struct recording *r) {
    if (r->prev != NULL) r->prev->next = r->next;
    if (r->next != NULL) r->next->prev = r->prev;
    if (slices[r->slice].recordings == r) slices[r->slice].recordings = r->next;
}

bool slice_is_empty(const struct slice *s) {
    return s->sessions == NULL && s->recordings == NULL;
}
