/* SPDX-License-Identifier: Apache-2.0 */
#include "io/work.h"
#include "world.h"
#include <pthread.h>
#include <stdatomic.h>

static uv_loop_t loop;
static atomic_int at_once, most_at_once;
static int done_count;
static int order[64];

struct task {
    int number;
    uv_sem_t *gate; /* run waits for it; NULL: does not */
    pthread_t ran_on;
    struct work_queue *queue;
    int len_when_done;
};

static void run(void *arg) {
    struct task *t = arg;
    int now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);
    while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now)) continue;
    if (t->gate) uv_sem_wait(t->gate);
    t->ran_on = pthread_self();
    atomic_fetch_sub(&at_once, 1);
}

static void done(void *arg) {
    struct task *t = arg;
    if (t->queue) t->len_when_done = work_queue_len(t->queue);
    order[done_count++] = t->number;
}

static void begin(void) {
    CHECK_INT(0, uv_loop_init(&loop));
    atomic_store(&at_once, 0);
    atomic_store(&most_at_once, 0);
    done_count = 0;
}

static void end(struct work_queue *q) {
    CHECK_INT(0, work_queue_len(q));
    work_queue_free(q);
    CHECK_INT(0, uv_loop_close(&loop));
}

TEST(work_runs_elsewhere_and_ends_on_the_loop_in_order) {
    struct task tasks[40] = {{0}};
    struct err e;
    begin();
    struct work_queue *q = work_queue_new(&loop, "tests", 1, 100);
    for (int i = 0; i < 40; i++) {
        tasks[i].number = i;
        CHECK_INT(0, work_submit(q, run, done, &tasks[i], &e));
    }
    CHECK_INT(0, done_count);
    CHECK_INT(40, work_queue_len(q));
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(40, done_count);
    for (int i = 0; i < 40; i++) {
        CHECK_INT(i, order[i]);
        CHECK(!pthread_equal(tasks[i].ran_on, pthread_self()));
    }
    CHECK_INT(1, atomic_load(&most_at_once));
    end(q);
}

TEST(no_more_run_at_once_than_the_queue_says) {
    struct task tasks[30] = {{0}};
    struct err e;
    uv_sem_t gate;
    begin();
    uv_sem_init(&gate, 0);
    struct work_queue *q = work_queue_new(&loop, "tests", 2, 100);
    for (int i = 0; i < 30; i++) {
        tasks[i].gate = &gate;
        CHECK_INT(0, work_submit(q, run, done, &tasks[i], &e));
    }
    for (int i = 0; i < 2000 && atomic_load(&at_once) < 2; i++) usleep(1000);
    CHECK_INT(2, atomic_load(&at_once));
    for (int i = 0; i < 30; i++) uv_sem_post(&gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(30, done_count);
    CHECK_INT(2, atomic_load(&most_at_once));
    end(q);
    uv_sem_destroy(&gate);
}

TEST(a_full_queue_is_busy_at_once_and_takes_work_again_later) {
    struct task tasks[5] = {{0}};
    struct err e;
    uv_sem_t gate;
    begin();
    uv_sem_init(&gate, 0);
    struct work_queue *q = work_queue_new(&loop, "log-ins", 1, 2);
    for (int i = 0; i < 3; i++) {
        tasks[i].gate = &gate;
        tasks[i].queue = q;
        CHECK_INT(0, work_submit(q, run, done, &tasks[i], &e));
    }
    CHECK_INT(ERR_BUSY, work_submit(q, run, done, &tasks[3], &e));
    CHECK(strstr(e.text, "log-ins") != NULL);
    CHECK_INT(3, work_queue_len(q));
    for (int i = 0; i < 3; i++) uv_sem_post(&gate);
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(3, done_count);
    CHECK_INT(2, tasks[0].len_when_done); /* the place is free when its end is told */
    CHECK_INT(0, work_submit(q, run, done, &tasks[4], &e));
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(4, done_count);
    end(q);
    uv_sem_destroy(&gate);
}

static void submit_more(void *arg) {
    struct task *t = arg;
    struct err e;
    done(arg);
    if (t->number > 0) {
        t->number--;
        CHECK_INT(0, work_submit(t->queue, run, submit_more, t, &e));
    }
}

TEST(work_may_ask_for_more_work_when_it_is_done) {
    struct task t = {.number = 5};
    struct err e;
    begin();
    t.queue = work_queue_new(&loop, "tests", 1, 0);
    CHECK_INT(0, work_submit(t.queue, run, submit_more, &t, &e));
    CHECK_INT(ERR_BUSY, work_submit(t.queue, run, done, &t, &e)); /* nothing may wait here */
    uv_run(&loop, UV_RUN_DEFAULT);
    CHECK_INT(6, done_count);
    end(t.queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(work_runs_elsewhere_and_ends_on_the_loop_in_order),
        RUN(no_more_run_at_once_than_the_queue_says),
        RUN(a_full_queue_is_busy_at_once_and_takes_work_again_later),
        RUN(work_may_ask_for_more_work_when_it_is_done),
    };
    return RUN_ALL(tests);
}
