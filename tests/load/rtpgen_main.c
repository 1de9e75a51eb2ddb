/* SPDX-License-Identifier: Apache-2.0 */
/* rtpgen: callers' RTP towards one media port, of thousands of streams, and what comes back: the sound of callgen without its
 * calls. How the streams are known to the other side is that one's matter: the address of each follows from its number. */
#include "base/clock.h"
#include "base/mem.h"
#include "callgen/sound.h"
#include "callgen/track.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { FRAMES_MOST = 50 * 120, EDGE_US = 200000 /* what is on its way is not judged */ };

static const char help[] =
    "rtpgen --to ADDRESS:PORT [OPTIONS]: sends RTP of many callers, 50 packets a second each, and judges what comes "
    "back.\n"
    "  --to ADDRESS:PORT  where the media thread listens\n"
    "  --streams N        stream i, from 0 on, has the address 127.64.0.1 + i          (100)\n"
    "  --port N           the port of all of them; 0: any                              (0)\n"
    "  --alaw             they speak A-law, else u-law\n"
    "  --voice FILE       what they say: 16 bit little-endian mono of 8000 Hz, over and over    (a tone)\n"
    "  --loss P           of their packets so many of a hundred are lost               (0)\n"
    "  --jitter MS        each comes up to so much later, in its order; at most 200    (0)\n"
    "  --reorder P        so many of a hundred are overtaken by the next               (0)\n"
    "  --duplicate P      so many of a hundred come twice                              (0)\n"
    "  --forge P          for a hundred packets so many more, from the same address, of another source (0)\n"
    "  --new-source S     another SSRC, numbers and timestamps each S seconds\n"
    "  --other-codec S    S seconds in the law of G.711 that was not agreed on, S seconds in the other, in turn\n"
    "  --flood N          N packets a second more, from strangers\n"
    "  --flood-known N    N packets a second more, from the first stream's address and source; that is not judged "
    "then\n"
    "  --seed N           of all that is random                                        (1)\n"
    "It says \"ready PORT\" and sends. Its input: \"begin\", from then on it judges, forges and floods; \"end\", then "
    "it tells, as JSON, "
    "and ends.\n"
    "Pacing error: how far a frame is from its stream's own plan, by the kernel's times of arrival, in us.\n";

static double number(const char *name, const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || value < least || value > most) {
        fprintf(stderr, "rtpgen: --%s %s is no number from %g to %g\n", name, text, least, most);
        exit(2);
    }
    return value;
}

static void wait_for(const char *word) {
    char line[32] = "";
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, word) == 0) return;
    }
    exit(1); /* who asked has gone */
}

static double cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void judge(struct track *tracks, int from, int to, uint64_t begin_us) {
    static struct pacing all;
    uint64_t counts[3], before[3];
    double cpu = cpu_s(), began = (double)clock_wall_us();
    sound_counts(before);
    wait_for("end");
    cpu = cpu_s() - cpu;
    double seconds = ((double)clock_wall_us() - began) / 1e6;
    sound_counts(counts);
    uint64_t end_us = (uint64_t)clock_wall_us();
    sound_close();
    for (int i = from; i < to; i++) track_judge(&tracks[i], begin_us + EDGE_US, end_us - EDGE_US, &all);
    printf("{\"seconds\": %.2f, \"sent_a_second\": %.0f, \"frames\": %llu, \"missing\": %llu, \"again\": %llu, "
           "\"out_of_order\": %llu, \"strange\": %llu, \"pacing_us\": {\"p50\": %u, \"p99\": %u, \"p999\": %u, "
           "\"max\": %u}, "
           "\"own_lateness_us\": {\"p50\": %llu, \"p99\": %llu, \"max\": %llu}, \"cpu_percent\": %.1f}\n",
           seconds, (double)(counts[0] - before[0]) / seconds, (unsigned long long)all.frames,
           (unsigned long long)all.missing, (unsigned long long)all.again, (unsigned long long)all.overtaken,
           (unsigned long long)(all.strange + counts[2] - before[2]), pacing_error(&all, 0.5), pacing_error(&all, 0.99),
           pacing_error(&all, 0.999), pacing_error(&all, 1), (unsigned long long)sound_lateness(0.5),
           (unsigned long long)sound_lateness(0.99), (unsigned long long)sound_lateness(1), cpu * 100 / seconds);
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"to", 1, 0, 't'},
                                          {"streams", 1, 0, 'n'},
                                          {"port", 1, 0, 'p'},
                                          {"alaw", 0, 0, 'a'},
                                          {"voice", 1, 0, 'v'},
                                          {"loss", 1, 0, 'L'},
                                          {"jitter", 1, 0, 'J'},
                                          {"reorder", 1, 0, 'O'},
                                          {"duplicate", 1, 0, 'D'},
                                          {"forge", 1, 0, 'F'},
                                          {"new-source", 1, 0, 'S'},
                                          {"other-codec", 1, 0, 'C'},
                                          {"flood", 1, 0, 'f'},
                                          {"flood-known", 1, 0, 'k'},
                                          {"seed", 1, 0, 's'},
                                          {"help", 0, 0, 'h'},
                                          {0, 0, 0, 0}};
    struct sound_opts *o = &sound_options;
    char address[16] = "";
    int c, at = 0, streams = 100, port = 0, to = 0;
    bool alaw = false;
    o->line.random = 1;
    o->first = true;
    while ((c = getopt_long(argc, argv, "h", names, &at)) != -1) {
        const char *name = c == '?' ? "" : names[at].name;
        switch (c) {
        case 't':
            if (sscanf(optarg, "%15[0-9.]:%d", address, &to) != 2) address[0] = '\0';
            break;
        case 'n':
            streams = (int)number(name, optarg, 1, SOUND_STREAMS);
            break;
        case 'p':
            port = (int)number(name, optarg, 0, 65535);
            break;
        case 'a':
            alaw = true;
            break;
        case 'v':
            o->voice = optarg;
            break;
        case 'L':
            o->line.loss = number(name, optarg, 0, 100) / 100;
            break;
        case 'J':
            o->line.jitter_us = (uint64_t)(number(name, optarg, 0, SOUND_JITTER_MAX_MS) * 1000);
            break;
        case 'O':
            o->line.overtaken = number(name, optarg, 0, 100) / 100;
            break;
        case 'D':
            o->line.duplicated = number(name, optarg, 0, 100) / 100;
            break;
        case 'F':
            o->forged = number(name, optarg, 0, 10000) / 100;
            break;
        case 'S':
            o->new_source_s = number(name, optarg, 0.1, 1e6);
            break;
        case 'C':
            o->other_codec_s = number(name, optarg, 0.1, 1e6);
            break;
        case 'f':
        case 'k':
            o->flood = number(name, optarg, 1, 1e7);
            o->flood_known = c == 'k';
            break;
        case 's':
            o->line.random = (uint64_t)number(name, optarg, 0, 1e15);
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fprintf(stderr, "rtpgen: --help tells what there is\n");
            return 2;
        }
    }
    if (optind < argc || address[0] == '\0' || to < 1 || to > 65535) {
        fprintf(stderr, "rtpgen: %s; --help tells what there is\n",
                optind < argc ? "it takes options only" : "--to ADDRESS:PORT is missing");
        return 2;
    }
    if (sound_open(port) < 0) {
        fprintf(stderr, "rtpgen: its socket or its voice: %m\n");
        return 2;
    }
    struct track *tracks = mem_alloc((size_t)streams * sizeof *tracks);
    for (int i = 0; i < streams; i++) {
        track_open(&tracks[i], FRAMES_MOST);
        sound_start_tracked(address, to, alaw, &tracks[i]);
    }
    printf("ready %d\n", sound_port());
    fflush(stdout);
    wait_for("begin");
    atomic_store(&o->hostile, true);
    judge(tracks, o->flood_known ? 1 : 0, streams, (uint64_t)clock_wall_us());
    return 0;
}
