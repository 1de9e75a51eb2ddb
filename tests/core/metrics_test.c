/* SPDX-License-Identifier: Apache-2.0 */
/* Several handles on one page stand for several processes; where death matters, they are real ones. */
#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics.h"
#include "metrics/page.h"
#include "test.h"
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct metrics *m;

static int open_page(void **state) {
    (void)state;
    return metrics_open(&m, -1, 3, 0, NULL);
}

static int close_page(void **state) {
    (void)state;
    metrics_close(m);
    return 0;
}

static struct metrics *join(int column) {
    struct metrics *other = NULL;
    CHECK_INT(0, metrics_open(&other, metrics_fd(m), 3, column, NULL));
    return other;
}

static void check_shows(const char *want, bool shown) {
    struct buf b = {0};
    metrics_write(m, &b);
    if ((strstr(b.data, want) != NULL) != shown) fail_msg("%s%s in:\n%s", want, shown ? " is not" : " is", b.data);
    buf_free(&b);
}

TEST(columns_are_summed_wherever_one_asks) {
    struct metrics *other = join(2);
    metric_add(metrics_counter(m, "calls_total", "tenant=\"a\"", "Calls"), 2);
    struct metric *theirs = metrics_counter(other, "calls_total", "tenant=\"a\"", "Calls");
    metric_add(theirs, 0.5);
    CHECK(metric_value(theirs) == 0.5);
    check_shows("# HELP calls_total Calls\n# TYPE calls_total counter\ncalls_total{tenant=\"a\"} 2.5\n", true);

    struct buf b = {0};
    metrics_write(other, &b);
    CHECK(strstr(b.data, "calls_total{tenant=\"a\"} 2.5\n") != NULL);
    buf_free(&b);
    metrics_close(other);
    check_shows("calls_total{tenant=\"a\"} 2.5\n", true);
}

TEST(a_series_is_found_again_and_not_made_twice) {
    struct metric *a = metrics_gauge(m, "g", "x=\"1\"", "");
    CHECK(metrics_gauge(m, "g", "x=\"1\"", "other help") == a);
    CHECK(metrics_gauge(m, "g", "x=\"2\"", "") != a);
    CHECK(metrics_gauge(m, "g", "", "") != a);
    CHECK_INT(4, m->page->series_count);
}

TEST(series_of_one_name_stand_together_under_one_head) {
    metrics_counter(m, "a_total", "n=\"1\"", "first");
    metrics_counter(m, "b_total", "", "");
    metrics_counter(m, "a_total", "n=\"2\"", "second");
    metrics_counter(m, "a_total", "n=\"3\"", "");
    check_shows(
        "# HELP a_total first\n# TYPE a_total counter\na_total{n=\"1\"} 0\na_total{n=\"2\"} 0\na_total{n=\"3\"} 0\n"
        "# TYPE b_total counter\nb_total 0\n",
        true);
    check_shows("second", false);
}

TEST(a_gauge_is_set_and_a_counter_never_falls) {
    struct metric *g = metrics_gauge(m, "g", "", ""), *c = metrics_counter(m, "c", "", "");
    metric_set(g, 5);
    metric_add(g, -7);
    CHECK(metric_value(g) == -2);
    metric_add(c, 3);
    metric_add(c, -1);
    metric_add(c, NAN);
    metric_add(c, INFINITY);
    metric_set(c, 0);
    CHECK(metric_value(c) == 3);
}

TEST(an_observation_falls_into_its_bucket_and_all_above) {
    struct metric *h = metrics_histogram(m, "wait_seconds", "q=\"1\"", "Waiting");
    metric_observe(h, 0.001); /* a bound belongs to its bucket */
    metric_observe(h, 0.0015);
    metric_observe(h, 32.768);
    metric_observe(h, 33);
    metric_observe(h, NAN);
    CHECK(metric_value(h) == 4);
    check_shows("# TYPE wait_seconds histogram\nwait_seconds_bucket{q=\"1\",le=\"0.001\"} 1\n"
                "wait_seconds_bucket{q=\"1\",le=\"0.002\"} 2\nwait_seconds_bucket{q=\"1\",le=\"0.004\"} 2\n",
                true);
    check_shows("wait_seconds_bucket{q=\"1\",le=\"16.384\"} 2\nwait_seconds_bucket{q=\"1\",le=\"32.768\"} 3\n"
                "wait_seconds_bucket{q=\"1\",le=\"+Inf\"} 4\nwait_seconds_sum{q=\"1\"} "
                "65.7705\nwait_seconds_count{q=\"1\"} 4\n",
                true);
}

TEST(a_dead_workers_gauges_go_and_its_counters_stay) {
    struct metrics *dead = join(1);
    metric_set(metrics_gauge(dead, "g", "", ""), 5);
    metric_set(metrics_gauge(m, "g", "", ""), 1);
    metric_add(metrics_counter(dead, "c", "", ""), 5);
    metric_observe(metrics_histogram(dead, "h", "", ""), 1);
    metrics_beat(dead, BEAT_LOOP);
    metrics_close(dead);
    metrics_reset_column(m, 1);
    check_shows("\ng 1\n", true);
    check_shows("\nc 5\n", true);
    check_shows("\nh_count 1\n", true);
    CHECK_INT(0, metrics_last_beat(m, 1, BEAT_LOOP).at_ms);
    metrics_reset_column(m, 99);
}

TEST(beats_are_seen_by_others) {
    struct metrics *other = join(1);
    CHECK_INT(0, metrics_last_beat(m, 1, BEAT_MEDIA).at_ms);
    uint64_t before = clock_mono_ms();
    metrics_beat(other, BEAT_MEDIA);
    CHECK(metrics_last_beat(m, 1, BEAT_MEDIA).at_ms >= before &&
          metrics_last_beat(m, 1, BEAT_MEDIA).at_ms <= clock_mono_ms());
    CHECK_INT(0, metrics_last_beat(m, 1, BEAT_LOOP).at_ms);
    CHECK_INT(0, metrics_last_beat(m, 0, BEAT_MEDIA).at_ms);
    CHECK_INT(0, metrics_last_beat(m, 3, BEAT_MEDIA).at_ms);
    metrics_close(other);
}

TEST(what_would_spoil_the_exposition_is_dropped_and_counted) {
    static const char *const names[] = {"", "1a", "a-b", "a b", "a\n", "\xC3\xA9"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) metric_add(metrics_counter(m, names[i], "", ""), 1);
    metrics_counter(m, "a", "x=\"\n\"", "");
    metrics_counter(m, "a", "x=\"\xFF\"", "");
    metrics_counter(m, "a", "", "two\nlines");
    char *large = mem_printf("x=\"%02000d\"", 1);
    metrics_counter(m, "a", large, "");
    free(large);
    CHECK_INT(1, m->page->series_count);
    check_shows("\nmetrics_dropped_total 10\n", true);
}

TEST(a_name_keeps_its_kind) {
    metrics_counter(m, "a", "", "");
    metric_set(metrics_gauge(m, "a", "", ""), 7);
    metric_set(metrics_gauge(m, "a", "x=\"1\"", ""), 7);
    metric_observe(metrics_histogram(m, "a", "", ""), 7);
    check_shows("# TYPE a counter\na 0\n", true);
    check_shows(" 7\n", false);
    check_shows("\nmetrics_dropped_total 3\n", true);
}

TEST(a_full_page_drops_new_series_and_keeps_the_old) {
    struct metric *old = metrics_counter(m, "old", "", "");
    char labels[32];
    for (int i = 0; i < SERIES_MAX + 10; i++) {
        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        metric_add(metrics_counter(m, "many", labels, ""), 1);
    }
    CHECK_INT(SERIES_MAX, m->page->series_count);
    metric_add(old, 1);
    CHECK(metrics_counter(m, "old", "", "") == old);
    check_shows("\nold 1\n", true);
    check_shows("\nmetrics_dropped_total 12\n", true);
    metric_add(metrics_counter(m, "many", "n=\"5000\"", ""), 1);
    check_shows("\nmany{n=\"5000\"} 2\n", true);
}

TEST(histograms_run_out_of_cells_before_memory) {
    char labels[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(labels, sizeof labels, "n=\"%d\"", i);
        metric_observe(metrics_histogram(m, "h", labels, ""), 1);
    }
    CHECK(m->page->cells_used <= CELLS_MAX);
    CHECK(metric_value(m->dropped) > 0);
}

TEST(additions_of_many_threads_and_processes_all_count) {
    enum { PROCESSES = 3, ROUNDS = 20000 };
    pid_t children[PROCESSES];
    for (int p = 0; p < PROCESSES; p++) {
        children[p] = fork();
        if (children[p] == 0) {
            struct metrics *mine;
            /* Two of them share a column, as two threads of a process do. */
            if (metrics_open(&mine, metrics_fd(m), 3, p ? 1 : 0, NULL) < 0) _exit(1);
            for (int i = 0; i < ROUNDS; i++) {
                char labels[32];
                snprintf(labels, sizeof labels, "n=\"%d\"", i % 50);
                metric_add(metrics_counter(mine, "sum", labels, ""), 1);
            }
            metrics_close(mine);
            _exit(0);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        CHECK_INT(children[p], waitpid(children[p], &status, 0));
        CHECK_INT(0, status);
    }
    CHECK_INT(51, m->page->series_count); /* none was made twice */
    for (int i = 0; i < 50; i++) {
        char line[64];
        snprintf(line, sizeof line, "\nsum{n=\"%d\"} %d\n", i, PROCESSES * ROUNDS / 50);
        check_shows(line, true);
    }
}

/* Dies by SIGKILL with the lock in its hand, after doing what `work` says. */
static void die_with_lock(void (*work)(struct page *page)) {
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(&m->page->lock);
        work(m->page);
        kill(getpid(), SIGKILL);
    }
    int status;
    CHECK_INT(child, waitpid(child, &status, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void half_made(struct page *page) {
    page->series[page->series_count].hash = 77;
    page->texts_used += 10;
}

/* The newest series counts already, and neither index nor chain know it. */
static void not_published(struct page *page) {
    uint32_t n = page->series_count - 1;
    for (int i = 0; i < INDEX_SIZE; i++)
        if (page->index[i] == n + 1) page->index[i] = 0;
    struct series *head = &page->series[page->series[n].first];
    head->next = 0;
    head->last = page->series[n].first;
}

TEST(a_process_killed_in_the_lock_wedges_nobody) {
    metric_add(metrics_counter(m, "before", "", ""), 1);
    die_with_lock(half_made);
    struct metrics *other = join(1);
    metric_add(metrics_counter(other, "after", "", ""), 2);
    metric_add(metrics_counter(m, "after", "", ""), 1);
    check_shows("\nbefore 1\n", true);
    check_shows("\nafter 3\n", true);
    metrics_close(other);
}

TEST(a_series_whose_maker_was_killed_is_found_and_shown) {
    metrics_counter(m, "pair", "n=\"1\"", "");
    struct metric *second = metrics_counter(m, "pair", "n=\"2\"", "");
    metric_add(second, 4);
    die_with_lock(not_published);
    check_shows("pair{n=\"2\"} 4\n", false);
    CHECK(metrics_counter(m, "pair", "n=\"2\"", "") == second);
    check_shows("pair{n=\"1\"} 0\npair{n=\"2\"} 4\n", true);
    CHECK_INT(3, m->page->series_count);
}

TEST(only_a_page_of_ours_can_be_joined) {
    struct metrics *other = NULL;
    struct err e = {0};
    int pipes[2];
    CHECK_INT(0, pipe(pipes));
    CHECK_INT(ERR_INVALID, metrics_open(&other, pipes[0], 3, 0, &e));
    close(pipes[0]);
    close(pipes[1]);
    FILE *file = tmpfile();
    CHECK_INT(0, ftruncate(fileno(file), (off_t)sizeof(struct page) + 100));
    CHECK_INT(ERR_INVALID, metrics_open(&other, fileno(file), 3, 0, &e));
    CHECK_STR("metrics: the page was made by another version", e.text);
    fclose(file);
    CHECK_INT(ERR_INVALID, metrics_open(&other, metrics_fd(m), 2, 0, &e));
    CHECK_INT(ERR_INVALID, metrics_open(&other, metrics_fd(m), 3, 3, &e));
    CHECK_INT(ERR_INVALID, metrics_open(&other, metrics_fd(m), 3, -1, &e));
    CHECK_INT(ERR_INVALID, metrics_open(&other, -1, 0, 0, &e));
    CHECK_INT(ERR_INVALID, metrics_open(&other, -1, 100000, 0, &e));
    CHECK(other == NULL);
    CHECK_INT(-1, ftruncate(metrics_fd(m), 0)); /* sealed: nobody can pull the page away */
}

#define RUN_PAGE(name) cmocka_unit_test_setup_teardown(name, open_page, close_page)
int main(void) {
    const struct CMUnitTest tests[] = {
        RUN_PAGE(columns_are_summed_wherever_one_asks),
        RUN_PAGE(a_series_is_found_again_and_not_made_twice),
        RUN_PAGE(series_of_one_name_stand_together_under_one_head),
        RUN_PAGE(a_gauge_is_set_and_a_counter_never_falls),
        RUN_PAGE(an_observation_falls_into_its_bucket_and_all_above),
        RUN_PAGE(a_dead_workers_gauges_go_and_its_counters_stay),
        RUN_PAGE(beats_are_seen_by_others),
        RUN_PAGE(what_would_spoil_the_exposition_is_dropped_and_counted),
        RUN_PAGE(a_name_keeps_its_kind),
        RUN_PAGE(a_full_page_drops_new_series_and_keeps_the_old),
        RUN_PAGE(histograms_run_out_of_cells_before_memory),
        RUN_PAGE(additions_of_many_threads_and_processes_all_count),
        RUN_PAGE(a_process_killed_in_the_lock_wedges_nobody),
        RUN_PAGE(a_series_whose_maker_was_killed_is_found_and_shown),
        RUN_PAGE(only_a_page_of_ours_can_be_joined),
    };
    return RUN_ALL(tests);
}
