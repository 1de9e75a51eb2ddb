/* SPDX-License-Identifier: Apache-2.0 */
/* Workers whose loop or media thread stands still are killed; those that are only given no time to run are waited for. */
#include "base/clock.h"
#include "base/log.h"
#include "host/master.h"
#include "metrics/metrics.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    WATCH_MS = 100,
    START_GRACE_MS = 20000, /* until the first heartbeat */
    TELL_MS = 60000,        /* that it starves */
    STARVED_TIMES = 10,     /* the limit for a thread that would run if it were let */
};

/* CPU time of a thread and whether it waits for a processor: proc_pid_stat(5), fields 3, 14 and 15. */
static bool thread_stat(int pid, int thread, uint64_t *cpu_ms, bool *runnable) {
    char path[64], text[512], state;
    unsigned long user, system;

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, thread);
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = '\0';
    const char *behind_name = strrchr(text, ')');
    if (behind_name == NULL ||
        sscanf(behind_name + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &state, &user, &system) != 3)
        return false;
    *cpu_ms = (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
    *runnable = state == 'R';
    return true;
}

/* Ready to run and yet hardly run since its last beat: the machine has no time to give. To kill it would cost more. */
static bool starves(const struct child *c, const struct heartbeat *last, uint64_t silent_ms) {
    uint64_t cpu_ms;
    bool runnable;

    if (!thread_stat(c->pid, last->thread, &cpu_ms, &runnable) || !runnable) return false;
    return cpu_ms < last->cpu_ms + silent_ms / 2; /* the kernel tells it in ticks of 10 ms, cut off */
}

/* NULL, or what of the worker stands still. */
static const char *stands_still(struct child *c, uint64_t now, uint64_t limit_ms) {
    static const char *names[] = {[BEAT_LOOP] = "its loop", [BEAT_MEDIA] = "its media thread"};

    for (int which = BEAT_LOOP; which <= BEAT_MEDIA; which++) {
        struct heartbeat last = metrics_last_beat(master.metrics, c->index, which);
        if (last.at_ms < c->started_ms) { /* not begun in this incarnation */
            if (which == BEAT_LOOP && now - c->started_ms > START_GRACE_MS) return names[which];
            continue;
        }
        if (now <= last.at_ms || now - last.at_ms <= limit_ms) continue;
        if (now - last.at_ms > STARVED_TIMES * limit_ms || !starves(c, &last, now - last.at_ms)) return names[which];
        if (c->starved_ms != 0 && now - c->starved_ms < TELL_MS) continue;
        c->starved_ms = now;
        log_warn("worker.starved",
                 "worker %d pid %d: %s has run too little for more than %llu ms; the machine is overloaded", c->index,
                 c->pid, names[which], (unsigned long long)limit_ms);
    }
    return NULL;
}

static void on_watch(uv_timer_t *t) {
    uint64_t now = clock_mono_ms(), limit = (uint64_t)config_int(master.config, "watchdog_ms");
    uint64_t gap = master.last_watch_ms == 0 ? WATCH_MS : now - master.last_watch_ms;

    (void)t;
    master.last_watch_ms = now;
    /* We stood still ourselves (the machine was stopped, or has no time to give): nobody else can be blamed for it. */
    if (gap > 3 * WATCH_MS) return;
    for (int i = 0; i < master.count; i++) {
        struct child *c = &master.children[i];
        const char *what = c->running ? stands_still(c, now, limit) : NULL;
        if (what == NULL) continue;
        log_error("worker.stuck", "worker %d pid %d: %s stood still for more than %llu ms; killed", c->index, c->pid,
                  what, (unsigned long long)limit);
        uv_process_kill(&c->process, SIGKILL);
        c->started_ms = now; /* not twice while it dies */
    }
}

void watchdog_start(void) {
    uv_timer_init(&master.loop, &master.watch);
    uv_timer_start(&master.watch, on_watch, WATCH_MS, WATCH_MS);
}
