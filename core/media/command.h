/* SPDX-License-Identifier: Apache-2.0 */
/* What the loop and the media thread say to each other, each over a ring of its own.
 *
 * Whatever the thread has been given stays valid until it has reported that it is done with it: REPORT_GONE for a session,
 * REPORT_RECORDING_GONE, REPORT_TAP_GONE, the end of a play for its audio or feed. Only then does the loop free it.
 */
#pragma once
#include "media/media.h"
#include "media/player.h"

struct session;
struct recording;
struct tap;

enum command_type {
    COMMAND_OPEN = 0,   /* a */
    COMMAND_CLOSE,      /* a */
    COMMAND_PLAY,       /* a, play */
    COMMAND_STOP,       /* a, play.id */
    COMMAND_DUCK,       /* a, cut_to, samples */
    COMMAND_JOIN,       /* a, b */
    COMMAND_UNJOIN,     /* a, b */
    COMMAND_MUTE,       /* a, flag */
    COMMAND_KEY,        /* a */
    COMMAND_RECORD,     /* recording, a left, b right */
    COMMAND_RECORD_SET, /* recording, a left, b right */
    COMMAND_RECORD_END, /* recording */
    COMMAND_LISTEN,     /* tap */
    COMMAND_LISTEN_END, /* tap */
    COMMAND_QUIT,
};
struct command {
    enum command_type type;
    struct session *a, *b;
    struct recording *recording;
    struct tap *tap;
    struct play play;
    int cut_to, samples;
    bool flag;
};

enum report_type {
    REPORT_EVENT = 0,      /* session, event, sent_us of some; audio or feed: of the play that ended, or NULL */
    REPORT_GONE,           /* session */
    REPORT_RECORDED,       /* recording: a chunk of it is whole */
    REPORT_RECORDING_GONE, /* recording */
    REPORT_HEARD,          /* tap: a batch of it is whole */
    REPORT_TAP_GONE,       /* tap */
    REPORT_QUIT,           /* the last one */
};
struct report {
    enum report_type type;
    struct session *session;
    struct recording *recording;
    struct tap *tap;
    struct media_audio *audio;
    struct feed *feed;
    uint64_t sent_us;
    struct media_event event;
};
