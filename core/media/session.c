/* SPDX-License-Identifier: Apache-2.0 */
#include "media/session.h"
#include "base/clock.h"
#include "media/command.h"
#include "media/feed.h"
#include "media/g711.h"
#include "media/mixer.h"
#include <string.h>
#include <sys/random.h>

enum {
    NEW_SOURCE_AFTER_US = 500 * 1000,
    SILENT_AFTER_US = 2000 * 1000,
    KEY_NEAR_US = 300 * 1000, /* between a gap and what Asterisk says of the key that made it */
    KEY_GAP_MAX = 500,        /* packets: one that is pressed for ten seconds */
};

/* One writer: no read-modify-write needed, only no torn reads. */
#define SET(counter, n)   atomic_store_explicit(&(counter), n, memory_order_relaxed)
#define COUNT(counter, n) SET(counter, atomic_load_explicit(&(counter), memory_order_relaxed) + (n))

void session_init(struct session *s, const struct sockaddr_in *peer, enum media_codec codec) {
    struct {
        uint32_t ssrc, timestamp;
        uint16_t seq;
    } random = {0};
    /* Where the kernel gave none, zeros still make valid RTP. */
    ssize_t got = getrandom(&random, sizeof random, 0);
    (void)got;
    s->peer = *peer;
    s->codec = codec;
    s->out_ssrc = random.ssrc;
    s->out_timestamp = random.timestamp;
    s->out_seq = random.seq;
    s->out_marker = true;
    s->last_heard_us = clock_mono_us();
    vad_init(&s->vad);
}

static bool tell(struct session *s, enum media_event_type type, uint32_t position, session_report *report, void *arg) {
    return report(arg, &(struct report){.session = s, .event = {.type = type, .position = position}});
}

/* RFC 3550 A.8. */
static void measure_jitter(struct session *s, uint32_t timestamp, uint64_t now_us) {
    uint32_t transit = (uint32_t)(now_us * SAMPLES_PER_MS / 1000) - timestamp;
    int64_t step = (int32_t)(transit - s->transit);
    if (s->transit_known && step > -8000 && step < 8000) {
        uint32_t old = atomic_load_explicit(&s->jitter_x16, memory_order_relaxed);
        uint32_t now = old + (uint32_t)(step < 0 ? -step : step) - ((old + 8) >> 4);
        atomic_store_explicit(&s->jitter_x16, now, memory_order_relaxed);
    }
    s->transit = transit;
    s->transit_known = true;
}

static void forgive(struct session *s, int gap) {
    s->sequence.lost = s->sequence.lost > gap ? s->sequence.lost - gap : 0;
    s->gap = 0;
    s->key_us = 0;
}

/* Takes the number, and notes the gap in front of it. */
static bool take_number(struct session *s, uint16_t seq, uint64_t now_us) {
    int64_t before = s->sequence.lost;
    bool fresh = rtp_sequence_take(&s->sequence, seq);
    int64_t gap = s->sequence.lost - before;
    if (gap <= 0 || gap > KEY_GAP_MAX) return fresh;
    s->gap = (int)gap;
    s->gap_us = now_us;
    if (now_us < s->key_us) forgive(s, s->gap);
    return fresh;
}

void session_key(struct session *s, uint64_t now_us) {
    if (s->gap > 0 && now_us - s->gap_us < KEY_NEAR_US)
        forgive(s, s->gap);
    else
        s->key_us = now_us + KEY_NEAR_US;
    SET(s->lost, (uint64_t)s->sequence.lost);
}

bool session_receive(struct session *s, const struct rtp *packet, uint64_t now_us, session_report *report, void *arg) {
    bool is_audio = packet->payload_type == s->codec && packet->payload_len > 0;
    bool quiet_line = now_us - s->last_heard_us >= NEW_SOURCE_AFTER_US;
    if (!s->latched || packet->ssrc != s->in_ssrc) {
        if (!is_audio || (s->latched && !quiet_line)) return false;
        s->latched = true;
        s->in_ssrc = packet->ssrc;
        s->sequence.started = false;
        s->transit_known = false;
        jitter_reset(&s->jitter);
    } else if (is_audio && quiet_line) {
        jitter_reset(&s->jitter);
    }
    /* Telephone events and comfort noise share the numbers with the audio, so they count, and no more. */
    bool fresh = take_number(s, packet->seq, now_us);
    SET(s->lost, (uint64_t)s->sequence.lost);
    SET(s->duplicated, s->sequence.duplicated);
    SET(s->reordered, s->sequence.reordered);
    if (!fresh) return false;
    if (!is_audio) return false;

    s->last_heard_us = now_us;
    COUNT(s->received, 1);
    measure_jitter(s, packet->timestamp, now_us);
    bool in_time = jitter_put(&s->jitter, packet->timestamp, packet->marker, packet->payload, packet->payload_len);
    if (!in_time) COUNT(s->late, 1);
    SET(s->early_x16, (uint32_t)s->jitter.early_x16);
    if (!s->heard && tell(s, MEDIA_HEARD, 0, report, arg)) {
        s->heard = true;
        s->silent_told = false;
    }
    return true;
}

void session_listen(struct session *s, uint64_t now_us, session_report *report, void *arg) {
    uint32_t quiet_ms = 0;
    if (!s->silent_told && now_us - s->last_heard_us >= SILENT_AFTER_US && tell(s, MEDIA_SILENT, 0, report, arg)) {
        s->silent_told = true;
        s->heard = false;
    }
    jitter_get(&s->jitter, s->says, g711_decode_table(s->codec));
    SET(s->concealed, s->jitter.concealed);
    enum vad_change change = vad_frame(&s->vad, s->says, s->hears, &quiet_ms);
    if (change == VAD_SPEECH)
        report(arg, &(struct report){.session = s, .sent_us = clock_mono_us(), .event = {.type = MEDIA_SPEECH}});
    if (change == VAD_QUIET) tell(s, MEDIA_QUIET, quiet_ms, report, arg);
    /* The VAD hears a muted party: that somebody talks into a muted microphone is worth knowing. */
    if (s->muted) memset(s->says, 0, sizeof s->says);
}

struct of_play {
    struct session *session;
    session_report *report;
    void *arg;
};
static bool on_play(void *arg, const struct play *play, enum play_moment moment) {
    const struct of_play *to = arg;
    const struct feed *feed = play->feed;
    if (moment == PLAY_BEGUN)
        return to->report(to->arg, &(struct report){.session = to->session,
                                                    .sent_us = clock_mono_us(),
                                                    .event = {.type = MEDIA_BEGUN, .id = play->id}});
    struct report report = {
        .session = to->session,
        .audio = play->audio,
        .feed = play->feed,
        .event = {.type = moment == PLAY_STOPPED ? MEDIA_STOPPED : MEDIA_PLAYED,
                  .id = play->id,
                  .position = (uint32_t)(play->sent / SAMPLES_PER_MS)},
    };
    if (feed != NULL) {
        report.event.underruns = atomic_load_explicit(&feed->underruns, memory_order_relaxed);
        report.event.starved_ms =
            (uint32_t)(atomic_load_explicit(&feed->starved, memory_order_relaxed) / SAMPLES_PER_MS);
    }
    return to->report(to->arg, &report);
}

void session_stop(struct session *s, uint64_t id, session_report *report, void *arg) {
    player_stop(&s->player, id, on_play, &(struct of_play){s, report, arg});
}

void session_speak(struct session *s, uint8_t packet[SESSION_PACKET_BYTES], session_report *report, void *arg) {
    int32_t sum[FRAME_SAMPLES] = {0};
    bool played = player_frame(&s->player, sum, on_play, &(struct of_play){s, report, arg});
    for (int i = 0; i < s->joined_count; i++) mixer_add(sum, s->joined[i]->says);
    if (played || s->joined_count > 0) {
        mixer_out(s->hears, sum);
        g711_encode(s->codec, packet + RTP_HEADER_BYTES, s->hears, FRAME_SAMPLES);
    } else {
        memset(s->hears, 0, sizeof s->hears);
        memset(packet + RTP_HEADER_BYTES, g711_silence(s->codec), FRAME_SAMPLES);
    }
    rtp_build(packet, &(struct rtp){.payload_type = (uint8_t)s->codec,
                                    .marker = s->out_marker,
                                    .seq = s->out_seq,
                                    .timestamp = s->out_timestamp,
                                    .ssrc = s->out_ssrc});
    s->out_marker = false;
    s->out_seq++;
    s->out_timestamp += FRAME_SAMPLES;
    COUNT(s->sent, 1);
}

void session_skip(struct session *s, unsigned frames) {
    s->out_timestamp += frames * FRAME_SAMPLES;
    s->out_marker = true;
    jitter_skip(&s->jitter, frames);
}

static void join_one(struct session *s, struct session *other) {
    if (s->joined_count < SESSION_JOINED_MAX) s->joined[s->joined_count++] = other;
}

static void unjoin_one(struct session *s, const struct session *other) {
    for (int i = 0; i < s->joined_count; i++)
        if (s->joined[i] == other) s->joined[i--] = s->joined[--s->joined_count];
}

void session_join(struct session *a, struct session *b) {
    join_one(a, b);
    join_one(b, a);
}

void session_unjoin(struct session *a, struct session *b) {
    unjoin_one(a, b);
    unjoin_one(b, a);
}
