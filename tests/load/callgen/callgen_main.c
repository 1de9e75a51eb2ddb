/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/err.h"
#include "callgen.h"
#include "io/net.h"
#include <getopt.h>
#include <signal.h>
#include <stdio.h>

#include <sys/resource.h>

struct options options = {.port = 28088,
                          .address = "127.0.0.1",
                          .nodes = 1,
                          .calls = 10,
                          .rate = 5,
                          .limit_s = 120,
                          .user = "parley",
                          .targets = {{.exten = "+15550100"}},
                          .answer_s = 1,
                          .sound_nodes = 1 << 20};

static const char help[] =
    "callgen [OPTIONS]: plays Asterisk nodes and their callers towards Parley; prints what was seen.\n"
    "  --address A        where the nodes listen                                       (127.0.0.1)\n"
    "  --port N           ARI of the first node; node i listens on N + i               (28088)\n"
    "  --nodes N          nodes, 16 applications each                                  (1)\n"
    "  --user NAME        ARI's user                                                   (parley)\n"
    "  --password TEXT    ARI's password, or the environment's PARLEY_ARI_PASSWORD\n"
    "  --calls N          calls in all; 0: only what the platform dials, until SIGINT  (10)\n"
    "  --rate N           new calls a second                                           (5)\n"
    "  --to NUMBER        what they dial, on the first trunk that is made here         (+15550100)\n"
    "  --to TRUNK,NUMBER  on that trunk; more than one: calls take them in turn\n"
    "  --plan \"...\"       what a caller does from the answer on: wait S; keys 94107; say S; hangup\n"
    "                     at its end he waits until the platform hangs up\n"
    "  --limit S          a call that is not over by then has failed                   (120)\n"
    "  --answer S         what the platform dials is answered after S seconds          (1)\n"
    "  --sound            RTP both ways, 50 packets a second each; else signalling only\n"
    "  --sound-nodes N    with --sound: only the calls of the first N nodes have it\n"
    "  --voice FILE       what they say: 16 bit little-endian mono of 8000 Hz, over and over    (a tone)\n"
    "  --loss P           of their packets so many of a hundred are lost               (0)\n"
    "  --jitter MS        each comes up to so much later, in its order; at most 200    (0)\n"
    "  --reorder P        so many of a hundred are overtaken by the next               (0)\n"
    "  --duplicate P      so many of a hundred come twice                              (0)\n"
    "  --report FILE      the figures as JSON\n"
    "  --commands         calls on command, by lines of standard input: call NAME [SECONDS until he hangs up, 0: not\n"
    "                     [TRUNK NUMBER [K: application that is tried first]]]; left; its end ends callgen.\n"
    "                     The I-th call begins at node (I - 1) mod N. Answers: ready; over NAME why (or -);\n"
    "                     left CHANNELS BRIDGES APPLICATIONS (that somebody is there for)\n"
    "It begins when every application of every node has somebody there, and exits 0 when no call failed and nothing "
    "was left.\n";

static uv_loop_t loop;
static struct net *net;
static struct node **nodes;
static uv_timer_t second, last;
static uv_pipe_t input;
static uint64_t began_us;
static bool running;

void calls_progress(FILE *out, double seconds);
json_t *calls_report(void);

static void finish(uv_timer_t *timer) {
    uint64_t channels = 0, bridges = 0, requests = 0, failed = 0, sound[3];
    struct rusage used;
    (void)timer;
    sound_counts(sound);
    getrusage(RUSAGE_SELF, &used);
    for (int i = 0; i < options.nodes; i++) node_counts(nodes[i], &channels, &bridges, &requests, &failed);
    json_t *out = calls_report();
    double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
                 (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    json_object_update_new(out,
                           json_pack("{s:f, s:I, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}, s:f}", "seconds",
                                     (double)(clock_mono_us() - began_us) / 1e6, "requests", (json_int_t)requests,
                                     "requests_refused", (json_int_t)failed, "requests_stale", (json_int_t)node_stale(),
                                     "channels_left", (json_int_t)channels, "bridges_left", (json_int_t)bridges,
                                     "packets", "sent", (json_int_t)sound[0], "received", (json_int_t)sound[1],
                                     "unexpected", (json_int_t)sound[2], "callgen_cpu_s", cpu));
    char *text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    puts(text);
    if (options.report) {
        FILE *file = fopen(options.report, "w");
        if (file == NULL || fprintf(file, "%s\n", text) < 0 || fclose(file) != 0) {
            fprintf(stderr, "callgen: %s: %m\n", options.report);
            exit(2);
        }
    }
    bool good = json_integer_value(json_object_get(out, "failed")) == 0 && channels == 0 && bridges == 0;
    if (options.sound) sound_close();
    exit(good ? 0 : 1);
}

/* Media channels and bridges are cleared away after the caller is gone. */
static void on_over(void) {
    uv_timer_start(&last, finish, 3000, 0);
}

static void on_signal(uv_signal_t *signal, int number) {
    (void)signal, (void)number;
    finish(NULL);
}

static void on_command(char *line) {
    uint64_t channels = 0, bridges = 0, requests = 0, failed = 0;
    int there = 0, app = 0;
    char name[40], endpoint[40] = "", exten[40] = "";
    double stay_s = 0;
    if (sscanf(line, "call %39s %lf %39s %39s %d", name, &stay_s, endpoint, exten, &app) >= 1) {
        call_begin(name, stay_s, endpoint, exten, app);
    } else if (strcmp(line, "left") == 0) {
        for (int i = 0; i < options.nodes; i++) node_counts(nodes[i], &channels, &bridges, &requests, &failed);
        for (int i = 0; i < options.nodes; i++) there += node_apps(nodes[i]);
        printf("left %llu %llu %d\n", (unsigned long long)channels, (unsigned long long)bridges, there);
        fflush(stdout);
    }
}

static void on_input_alloc(uv_handle_t *h, size_t size, uv_buf_t *b) {
    static char space[4096];
    (void)h, (void)size;
    *b = uv_buf_init(space, sizeof space);
}

static void on_input(uv_stream_t *in, ssize_t n, const uv_buf_t *b) {
    static char line[256];
    static size_t len;
    (void)in;
    if (n < 0) finish(NULL);
    for (ssize_t i = 0; i < n; i++) {
        if (b->base[i] != '\n') {
            if (len < sizeof line - 1) line[len++] = b->base[i];
            continue;
        }
        line[len] = '\0';
        len = 0;
        on_command(line);
    }
}

static void on_second(uv_timer_t *timer) {
    static int waited;
    int there = 0;
    (void)timer;
    if (running) {
        if (clock_mono_us() - began_us > 900000) calls_progress(stderr, (double)(clock_mono_us() - began_us) / 1e6);
        return;
    }
    for (int i = 0; i < options.nodes; i++) there += node_apps(nodes[i]);
    if (there < options.nodes * SLOTS) {
        if (++waited % 5 == 0)
            fprintf(stderr, "callgen: %d of %d applications have somebody there\n", there, options.nodes * SLOTS);
        if (waited > 60) {
            fprintf(stderr,
                    "callgen: nobody came to all applications within a minute; do the worker's nodes point to "
                    "%s:%d?\n",
                    options.address, options.port);
            exit(2);
        }
        return;
    }
    running = true;
    began_us = clock_mono_us();
    if (options.commands) {
        puts("ready");
        fflush(stdout);
    }
    calls_start(&loop, nodes, on_over);
}

static bool read_plan(char *text) {
    for (char *word; (word = strsep(&text, ";")) != NULL;) {
        struct step *s = &options.plan[options.steps];
        char verb[16] = "", value[32] = "";
        if (sscanf(word, " %15s %31s", verb, value) < 1) continue;
        if (options.steps == PLAN_STEPS) return false;
        if (strcmp(verb, "wait") == 0 || strcmp(verb, "say") == 0) {
            s->kind = verb[0] == 'w' ? STEP_WAIT : STEP_SAY;
            s->seconds = atof(value);
            if (s->seconds <= 0) return false;
        } else if (strcmp(verb, "keys") == 0 && value[0] && strspn(value, "0123456789*#") == strlen(value)) {
            s->kind = STEP_KEYS;
            memcpy(s->keys, value, sizeof value);
        } else if (strcmp(verb, "hangup") == 0 && value[0] == '\0') {
            s->kind = STEP_HANG_UP;
        } else {
            return false;
        }
        options.steps++;
    }
    return true;
}

static double number(const char *name, const char *text, double least) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || value < least) {
        fprintf(stderr, "callgen: --%s %s is no number of at least %g\n", name, text, least);
        exit(2);
    }
    return value;
}

static double between(const char *name, const char *text, double least, double most) {
    double value = number(name, text, least);
    if (value > most) {
        fprintf(stderr, "callgen: --%s %s is more than %g\n", name, text, most);
        exit(2);
    }
    return value;
}

static double share(const char *name, const char *text) {
    return between(name, text, 0, 100) / 100;
}

static bool add_target(char *text) {
    char *comma = strchr(text, ',');
    if (options.target_count == TARGETS_MAX || *text == '\0') return false;
    if (comma) *comma = '\0';
    options.targets[options.target_count++] =
        (struct target){.endpoint = comma ? text : NULL, .exten = comma ? comma + 1 : text};
    return true;
}

int main(int argc, char **argv) {
    static const struct option names[] = {{"port", 1, 0, 'p'},        {"address", 1, 0, 'A'},
                                          {"nodes", 1, 0, 'n'},       {"user", 1, 0, 'u'},
                                          {"password", 1, 0, 'w'},    {"calls", 1, 0, 'c'},
                                          {"rate", 1, 0, 'r'},        {"to", 1, 0, 't'},
                                          {"plan", 1, 0, 'P'},        {"limit", 1, 0, 'l'},
                                          {"answer", 1, 0, 'a'},      {"sound", 0, 0, 's'},
                                          {"sound-nodes", 1, 0, 'S'}, {"voice", 1, 0, 'v'},
                                          {"loss", 1, 0, 'L'},        {"jitter", 1, 0, 'J'},
                                          {"reorder", 1, 0, 'O'},     {"duplicate", 1, 0, 'D'},
                                          {"report", 1, 0, 'R'},      {"commands", 0, 0, 'C'},
                                          {"help", 0, 0, 'h'},        {0, 0, 0, 0}};
    struct err e;
    int c, at = 0;
    static uv_signal_t interrupt;
    options.password = getenv("PARLEY_ARI_PASSWORD");
    while ((c = getopt_long(argc, argv, "h", names, &at)) != -1) {
        const char *name = c == '?' ? "" : names[at].name;
        switch (c) {
        case 'p':
            options.port = (int)number(name, optarg, 1);
            break;
        case 'A':
            options.address = optarg;
            break;
        case 'n':
            options.nodes = (int)number(name, optarg, 1);
            break;
        case 'u':
            options.user = optarg;
            break;
        case 'w':
            options.password = optarg;
            break;
        case 'c':
            options.calls = (int)number(name, optarg, 0);
            break;
        case 'r':
            options.rate = number(name, optarg, 0.01);
            break;
        case 't':
            if (add_target(strdup(optarg))) break;
            fprintf(stderr, "callgen: --to %s: [TRUNK,]NUMBER, at most %d of them\n", optarg, TARGETS_MAX);
            return 2;
        case 'l':
            options.limit_s = number(name, optarg, 1);
            break;
        case 'a':
            options.answer_s = number(name, optarg, 0);
            break;
        case 's':
            options.sound = true;
            break;
        case 'S':
            options.sound_nodes = (int)number(name, optarg, 0);
            break;
        case 'v':
            sound_options.voice = optarg;
            break;
        case 'L':
            sound_options.line.loss = share(name, optarg);
            break;
        case 'J':
            sound_options.line.jitter_us = (uint64_t)(between(name, optarg, 0, SOUND_JITTER_MAX_MS) * 1000);
            break;
        case 'O':
            sound_options.line.overtaken = share(name, optarg);
            break;
        case 'D':
            sound_options.line.duplicated = share(name, optarg);
            break;
        case 'R':
            options.report = optarg;
            break;
        case 'P':
            if (read_plan(strdup(optarg))) break;
            fprintf(stderr, "callgen: --plan \"%s\" is none: use wait S; keys DIGITS; say S; hangup\n", optarg);
            return 2;
        case 'C':
            options.commands = true;
            break;
        case 'h':
            fputs(help, stdout);
            return 0;
        default:
            fprintf(stderr, "callgen: --help tells what there is\n");
            return 2;
        }
    }
    if (optind < argc || options.password == NULL) {
        fprintf(stderr, "callgen: %s; --help tells what there is\n",
                optind < argc ? "it takes options only" : "--password is missing");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    if (net_open(&net, &loop, NULL, &e) < 0) {
        fprintf(stderr, "callgen: %s\n", e.text);
        return 2;
    }
    if (options.sound && sound_open(0) < 0) {
        fprintf(stderr, "callgen: its sound (%s): %m\n", sound_options.voice ? sound_options.voice : "a tone");
        return 2;
    }
    nodes = mem_alloc((size_t)options.nodes * sizeof(struct node *));
    for (int i = 0; i < options.nodes; i++) nodes[i] = node_open(i, net);
    uv_timer_init(&loop, &second);
    uv_timer_init(&loop, &last);
    uv_timer_start(&second, on_second, 0, 1000);
    if (options.commands) {
        options.calls = 0;
        uv_pipe_init(&loop, &input, 0);
        if (uv_pipe_open(&input, 0) < 0) {
            fprintf(stderr, "callgen: --commands needs a pipe as standard input\n");
            return 2;
        }
        uv_read_start((uv_stream_t *)&input, on_input_alloc, on_input);
    }
    uv_signal_init(&loop, &interrupt);
    uv_signal_start(&interrupt, on_signal, SIGINT);
    uv_run(&loop, UV_RUN_DEFAULT);
    return 0;
}
