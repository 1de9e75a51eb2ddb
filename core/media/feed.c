/* SPDX-License-Identifier: Apache-2.0 */
#include "media/feed.h"
#include "base/mem.h"
#include <speex/speex_resampler.h>
#include <stdlib.h>
#include <string.h>

enum { RATE = 8000, QUALITY = 5, PREBUFFER_MS_MAX = 2000, FADE_SAMPLES = 10 * SAMPLES_PER_MS, FLUSH_MAX = 1024 };

#define GET(counter)    atomic_load_explicit(&(counter), memory_order_relaxed)
#define SET(counter, n) atomic_store_explicit(&(counter), n, memory_order_relaxed)

/* ---- the loop ---- */

static struct feed_chunk *chunk_new(size_t samples) {
    struct feed_chunk *c = mem_alloc(sizeof *c + samples * sizeof *c->pcm);
    atomic_init(&c->next, NULL);
    c->samples = samples;
    return c;
}

int feed_new(struct feed **out, uint64_t id, int rate, int prebuffer_ms, struct err *e) {
    int why = 0;
    if (rate != 8000 && rate != 16000 && rate != 24000)
        return err_set(e, ERR_INVALID, "what is played comes at 8000, 16000 or 24000 Hz, not %d", rate);
    if (prebuffer_ms < 0 || prebuffer_ms > PREBUFFER_MS_MAX)
        return err_set(e, ERR_INVALID, "a play begins with 0 to %d ms of it there", PREBUFFER_MS_MAX);
    struct feed *f = mem_alloc(sizeof *f);
    if (rate != RATE) f->resampler = speex_resampler_init(1, (spx_uint32_t)rate, RATE, QUALITY, &why);
    if (why != RESAMPLER_ERR_SUCCESS) {
        free(f);
        return err_set(e, ERR_INVALID, "cannot resample from %d Hz: %s", rate, speex_resampler_strerror(why));
    }
    if (f->resampler != NULL) speex_resampler_skip_zeros(f->resampler);
    f->id = id;
    f->rate = rate;
    f->enough = (unsigned)prebuffer_ms * SAMPLES_PER_MS;
    f->oldest = f->newest = f->chunk = chunk_new(0);
    *out = f;
    return 0;
}

void feed_free(struct feed *f) {
    for (struct feed_chunk *c = f->oldest, *next; c != NULL; c = next) {
        next = GET(c->next);
        free(c);
    }
    if (f->resampler != NULL) speex_resampler_destroy(f->resampler);
    free(f);
}

static void free_left(struct feed *f) {
    for (uint64_t left = atomic_load_explicit(&f->left, memory_order_acquire); f->freed < left; f->freed++) {
        struct feed_chunk *gone = f->oldest;
        f->oldest = GET(gone->next);
        free(gone);
    }
}

/* The count goes up last: whoever sees it finds the samples behind it. */
static void link_chunk(struct feed *f, struct feed_chunk *c) {
    if (c->samples == 0) {
        free(c);
        return;
    }
    atomic_store_explicit(&f->newest->next, c, memory_order_release);
    f->newest = c;
    atomic_store_explicit(&f->appended, GET(f->appended) + c->samples, memory_order_release);
}

static struct feed_chunk *resample(struct feed *f, const int16_t *pcm, size_t n) {
    size_t room = n * RATE / (size_t)f->rate + FLUSH_MAX, done = 0, used = 0;
    struct feed_chunk *c = chunk_new(room);
    while (used < n && done < room) {
        spx_uint32_t in = (spx_uint32_t)(n - used), got = (spx_uint32_t)(room - done);
        if (speex_resampler_process_int(f->resampler, 0, pcm + used, &in, c->pcm + done, &got) !=
                RESAMPLER_ERR_SUCCESS ||
            (in == 0 && got == 0))
            break;
        used += in;
        done += got;
    }
    c->samples = done;
    return c;
}

static void append_samples(struct feed *f, const int16_t *pcm, size_t n) {
    struct feed_chunk *c;
    if (f->resampler == NULL) {
        c = chunk_new(n);
        memcpy(c->pcm, pcm, n * sizeof *pcm);
    } else {
        c = resample(f, pcm, n);
    }
    link_chunk(f, c);
}

int feed_append(struct feed *f, const void *pcm, size_t len, struct err *e) {
    free_left(f);
    if (GET(f->ended)) return err_set(e, ERR_CLOSED, "the play was said to be whole already");
    uint64_t waiting = GET(f->appended) - GET(f->sent);
    if (waiting + len / 2 * RATE / (size_t)f->rate > FEED_WAITING_MAX)
        return err_set(e, ERR_LIMIT, "%d seconds of sound wait to be played already",
                       FEED_WAITING_MAX / SAMPLES_PER_MS / 1000);
    if (len == 0) return 0;

    uint8_t *bytes = mem_alloc(len + 1); /* which is aligned, as the caller's need not be */
    size_t count = 0;
    if (f->half_waits) bytes[count++] = f->half;
    memcpy(bytes + count, pcm, len);
    count += len;
    f->half_waits = count % 2 == 1;
    if (f->half_waits) f->half = bytes[count - 1];
    append_samples(f, (const int16_t *)(const void *)bytes, count / 2);
    free(bytes);
    return 0;
}

void feed_end(struct feed *f) {
    static const int16_t silence[FLUSH_MAX];
    if (GET(f->ended)) return;
    if (f->resampler != NULL) { /* what is still in the filter */
        size_t rest = (size_t)speex_resampler_get_input_latency(f->resampler);
        append_samples(f, silence, rest < FLUSH_MAX ? rest : FLUSH_MAX);
    }
    atomic_store_explicit(&f->ended, true, memory_order_release);
}

/* ---- the media thread ---- */

/* Copies n samples, which are there. */
static void take(struct feed *f, int16_t *out, size_t n) {
    for (size_t done = 0; done < n;) {
        if (f->at == f->chunk->samples) {
            f->chunk = atomic_load_explicit(&f->chunk->next, memory_order_acquire);
            f->at = 0;
            /* Released: the loop may free what lies behind only after we have gone on. */
            atomic_store_explicit(&f->left, GET(f->left) + 1, memory_order_release);
        }
        size_t run = f->chunk->samples - f->at < n - done ? f->chunk->samples - f->at : n - done;
        memcpy(out + done, f->chunk->pcm + f->at, run * sizeof *out);
        f->at += run;
        done += run;
    }
    plc_hear(&f->plc, out, n);
    SET(f->sent, GET(f->sent) + n);
}

static void fade_out(int16_t *pcm, int n) {
    for (int i = 0; i < n; i++) pcm[i] = (int16_t)(pcm[i] * (n - i) / (n + 1));
}

/* The last ones: of what is there, else of what would have gone on. None when it was silent anyway. */
static int take_last(struct feed *f, int16_t *out, int room, uint64_t there) {
    int n = room < FADE_SAMPLES ? room : FADE_SAMPLES;
    int real = !f->running ? 0 : there < (uint64_t)n ? (int)there : n;
    take(f, out, (size_t)real);
    int made = (int)plc_conceal(&f->plc, out + real, (size_t)(n - real));
    fade_out(out, real + made);
    return real + made;
}

int feed_take(struct feed *f, int16_t *out, int room, bool stop, bool *over) {
    /* In this order: when it has ended, what had been appended before that is seen. */
    bool ended = atomic_load_explicit(&f->ended, memory_order_acquire);
    uint64_t there = atomic_load_explicit(&f->appended, memory_order_acquire) - GET(f->sent);
    if (!f->running && there > 0 && (there >= f->enough || ended)) {
        f->running = true;
        if (f->waiting > 0) {
            SET(f->underruns, GET(f->underruns) + 1);
            SET(f->starved, GET(f->starved) + f->waiting);
        }
        f->waiting = 0;
    }
    *over = stop || (ended && there <= (uint64_t)(f->running ? room : 0));
    if (stop || (*over && !f->running)) return take_last(f, out, room, there);
    int n = !f->running ? 0 : there < (uint64_t)room ? (int)there : room;
    take(f, out, (size_t)n);
    if (*over) return n;
    if (n < room) {
        plc_conceal(&f->plc, out + n, (size_t)(room - n));
        f->running = false;
        if (GET(f->sent) > 0) f->waiting += (uint64_t)(room - n);
    }
    return room;
}
