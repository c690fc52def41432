/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits end: by success, by the deadline, by the stop word, by a failure of the poll. No test asks
 * how soon. wh_wait() sleeps only for so long, so it would end without any ring too; that a ring
 * wakes is tested with a sleeper that nothing else wakes.
 */
#include "base/clock.h"
#include "base/wait.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct wh_patience sleep_at_once = {0, 0};

/* ---- polls ----------------------------------------------------------------------------------- */

struct countdown {
    int npolls;
    int nleft;             /* polls until it is done */
    whorl_result_t result; /* what it is done with */
    bool moves;            /* every poll moves something */
};

static whorl_result_t poll_countdown(void *ctx, bool *moved_out)
{
    struct countdown *countdown = ctx;
    cr_assert(!*moved_out);
    countdown->npolls++;
    if (countdown->nleft == 0) {
        return countdown->result;
    }
    countdown->nleft--;
    *moved_out = countdown->moves;
    return WHORL_IN_PROGRESS;
}

struct flag {
    _Atomic int set;
    _Atomic uint32_t npolls;
    struct wh_doorbell bell;
};

static whorl_result_t poll_flag(void *ctx, bool *moved_out)
{
    (void)moved_out;
    struct flag *flag = ctx;
    atomic_fetch_add(&flag->npolls, 1);
    return atomic_load(&flag->set) != 0 ? WHORL_OK : WHORL_IN_PROGRESS;
}

static struct wh_wait wait_for_countdown(struct countdown *countdown, struct wh_patience patience)
{
    return (struct wh_wait){
        .patience = patience,
        .poll = poll_countdown,
        .ctx = countdown,
        .deadline_ns = WH_NEVER,
    };
}

/* ---- one thread ------------------------------------------------------------------------------ */

Test(wait, what_is_there_already_takes_one_poll)
{
    struct countdown countdown = {.result = WHORL_OK};
    struct wh_wait wait = wait_for_countdown(&countdown, sleep_at_once);
    cr_expect(wh_wait(&wait) == WHORL_OK);
    cr_expect(countdown.npolls == 1);
}

Test(wait, every_phase_polls_until_it_is_done)
{
    static const struct wh_patience patiences[] = {{1000, 0}, {0, 1000}, {10, 10}, {0, 0}};
    for (size_t i = 0; i < 4; i++) {
        struct countdown countdown = {.nleft = 40, .result = WHORL_OK};
        struct wh_wait wait = wait_for_countdown(&countdown, patiences[i]);
        cr_expect(wh_wait(&wait) == WHORL_OK);
        cr_expect(countdown.npolls == 41);
    }
}

Test(wait, a_failure_of_the_poll_is_passed_on)
{
    struct countdown countdown = {.nleft = 5, .result = WHORL_E_PEER};
    struct wh_wait wait = wait_for_countdown(&countdown, (struct wh_patience){2, 1});
    cr_expect(wh_wait(&wait) == WHORL_E_PEER);
}

Test(wait, a_deadline_ends_every_phase)
{
    static const struct wh_patience patiences[] = {{UINT32_MAX, 0}, {0, UINT32_MAX}, {0, 0}};
    for (size_t i = 0; i < 3; i++) {
        struct countdown countdown = {.nleft = -1};
        struct wh_wait wait = wait_for_countdown(&countdown, patiences[i]);
        wait.deadline_ns = wh_deadline_after_ms(5);
        cr_expect(wh_wait(&wait) == WHORL_E_TIMEOUT);
        cr_expect(wh_now_ns() >= wait.deadline_ns);
    }
}

Test(wait, a_deadline_ends_a_sleep_on_a_bell)
{
    static struct flag flag;
    struct wh_doorbell *bells[] = {&flag.bell};
    struct wh_wait wait = {
        sleep_at_once, poll_flag, &flag, bells, 1, NULL, wh_deadline_after_ms(25), false, NULL};
    cr_expect(wh_wait(&wait) == WHORL_E_TIMEOUT);
    cr_expect(wh_now_ns() >= wait.deadline_ns);
    cr_expect(atomic_load(&flag.bell.sleepers) == 0);
}

Test(wait, a_deadline_ends_a_wait_in_which_something_always_moves)
{
    struct countdown countdown = {.nleft = -1, .moves = true};
    struct wh_wait wait = wait_for_countdown(&countdown, sleep_at_once);
    wait.deadline_ns = wh_deadline_after_ms(5);
    cr_expect(wh_wait(&wait) == WHORL_E_TIMEOUT);
}

Test(wait, a_deadline_that_has_passed_still_polls)
{
    struct countdown countdown = {.result = WHORL_OK};
    struct wh_wait wait = wait_for_countdown(&countdown, sleep_at_once);
    wait.deadline_ns = 0;
    cr_expect(wh_wait(&wait) == WHORL_OK);
}

Test(wait, a_stop_word_that_is_set_ends_the_wait_after_one_poll)
{
    _Atomic int32_t stop = 1;
    struct countdown countdown = {.nleft = -1};
    struct wh_wait wait = wait_for_countdown(&countdown, sleep_at_once);
    wait.stop = &stop;
    cr_expect(wh_wait(&wait) == WHORL_E_ABORTED);
    cr_expect(countdown.npolls == 1);
}

Test(wait, success_comes_before_a_stop_word)
{
    _Atomic int32_t stop = 1;
    struct countdown countdown = {.result = WHORL_OK};
    struct wh_wait wait = wait_for_countdown(&countdown, sleep_at_once);
    wait.stop = &stop;
    cr_expect(wh_wait(&wait) == WHORL_OK);
}

Test(wait, patience_depends_on_the_cores)
{
    uint32_t cpus = wh_usable_cpus();
    struct wh_patience fits = wh_patience_for(cpus, 2000, 200);
    cr_expect(fits.nspins == 2000);
    cr_expect(fits.nyields == 200);

    struct wh_patience crowded = wh_patience_for(cpus + 1, 2000, 200);
    cr_expect(crowded.nspins < 100);
    cr_expect(crowded.nyields == 200);

    struct wh_patience less = wh_patience_for(cpus + 1, 1, 0);
    cr_expect(less.nspins == 1);
    cr_expect(less.nyields == 0);

    struct wh_patience huge = wh_patience_for(1, UINT64_MAX, UINT64_MAX);
    cr_expect(huge.nspins == UINT32_MAX);
    cr_expect(huge.nyields == UINT32_MAX);
}

Test(wait, a_ring_that_nobody_waits_for_leaves_no_trace)
{
    static struct wh_doorbell bell;
    wh_doorbell_ring(&bell);
    cr_expect(atomic_load(&bell.rings) == 0);
    cr_expect(atomic_load(&bell.sleepers) == 0);
}

/* ---- threads and processes ------------------------------------------------------------------- */

/* Lets the other side get into its sleep. Yielding suffices; nothing depends on it. */
static void until_asleep(struct flag *flag)
{
    while (atomic_load(&flag->bell.sleepers) == 0) {
        sched_yield();
    }
}

static void *set_and_ring(void *arg)
{
    struct flag *flag = arg;
    until_asleep(flag);
    atomic_store(&flag->set, 1);
    wh_doorbell_ring(&flag->bell);
    return NULL;
}

Test(wait, a_thread_that_rings_ends_a_sleep)
{
    uint32_t nrings = 0;
    for (int i = 0; i < 50; i++) {
        struct flag flag = {0};
        struct wh_doorbell *bells[] = {&flag.bell};
        pthread_t thread;
        cr_assert(pthread_create(&thread, NULL, set_and_ring, &flag) == 0);
        struct wh_wait wait = {sleep_at_once, poll_flag, &flag, bells, 1,
                               NULL,          WH_NEVER,  false, NULL};
        cr_expect(wh_wait(&wait) == WHORL_OK);
        cr_assert(pthread_join(thread, NULL) == 0);
        cr_expect(atomic_load(&flag.bell.sleepers) == 0);
        nrings += atomic_load(&flag.bell.rings);
    }
    /* A sleeper that happens to look up just before the ring is not rung for; not every time. */
    cr_expect(nrings > 0);
}

/* Sleeps as wh_wait() does, but for ever. */
static void *sleep_until_rung(void *arg)
{
    struct wh_doorbell *bell = arg;
    atomic_fetch_add(&bell->sleepers, 1);
    while (atomic_load(&bell->rings) == 0) {
        syscall(SYS_futex, &bell->rings, FUTEX_WAIT, 0, NULL, NULL, 0);
    }
    atomic_fetch_sub(&bell->sleepers, 1);
    return NULL;
}

Test(wait, a_ring_wakes_everyone_who_sleeps, .timeout = 60)
{
    enum { NTHREADS = 3 };
    for (int i = 0; i < 20; i++) {
        struct wh_doorbell bell = {0};
        pthread_t threads[NTHREADS];
        for (int t = 0; t < NTHREADS; t++) {
            cr_assert(pthread_create(&threads[t], NULL, sleep_until_rung, &bell) == 0);
        }
        while (atomic_load(&bell.sleepers) < NTHREADS) {
            sched_yield();
        }
        for (int yields = 0; yields < 100; yields++) {
            sched_yield(); /* most of them are now in the kernel; the test holds if they are not */
        }
        wh_doorbell_ring(&bell);
        for (int t = 0; t < NTHREADS; t++) {
            cr_assert(pthread_join(threads[t], NULL) == 0);
        }
        cr_expect(atomic_load(&bell.rings) == 1);
    }
}

static void *set_stop(void *arg)
{
    atomic_store((_Atomic int32_t *)arg, 1);
    return NULL;
}

Test(wait, a_stop_word_set_by_another_thread_ends_a_sleep)
{
    static struct flag flag;
    static _Atomic int32_t stop;
    struct wh_doorbell *bells[] = {&flag.bell};
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, set_stop, (void *)&stop) == 0);
    struct wh_wait wait = {sleep_at_once, poll_flag, &flag, bells, 1, &stop, WH_NEVER, false, NULL};
    cr_expect(wh_wait(&wait) == WHORL_E_ABORTED);
    cr_assert(pthread_join(thread, NULL) == 0);
}

Test(wait, a_wait_with_several_bells_ends_when_one_rings)
{
    static struct flag flag;
    static struct wh_doorbell other;
    struct wh_doorbell *bells[] = {&other, &flag.bell};
    atomic_store(&flag.bell.sleepers, 1); /* so that set_and_ring() does not wait for one */
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, set_and_ring, &flag) == 0);
    struct wh_wait wait = {sleep_at_once, poll_flag, &flag, bells, 2, NULL, WH_NEVER, false, NULL};
    cr_expect(wh_wait(&wait) == WHORL_OK);
    cr_assert(pthread_join(thread, NULL) == 0);
}

/* Two processes hand a number to and fro; whoever has to wait sleeps at once. */
struct table {
    _Atomic uint32_t turn;
    struct wh_doorbell bells[2];
};

struct player {
    struct table *table;
    uint32_t turn; /* the one waited for */
};

static whorl_result_t poll_turn(void *ctx, bool *moved_out)
{
    (void)moved_out;
    struct player *player = ctx;
    return atomic_load(&player->table->turn) >= player->turn ? WHORL_OK : WHORL_IN_PROGRESS;
}

/* Plays every second turn up to nturns; true if each came within a minute. */
static bool play(struct table *table, uint32_t me, uint32_t nturns)
{
    struct wh_doorbell *bells[] = {&table->bells[me]};
    for (uint32_t turn = me; turn < nturns; turn += 2) {
        struct player player = {table, turn};
        struct wh_wait wait = {
            sleep_at_once, poll_turn, &player, bells, 1, NULL, wh_deadline_after_ms(60000),
            false,         NULL};
        if (wh_wait(&wait) != WHORL_OK) {
            return false;
        }
        atomic_store(&table->turn, turn + 1);
        wh_doorbell_ring(&table->bells[1 - me]);
    }
    return true;
}

Test(wait, two_processes_wake_each_other_a_thousand_times)
{
    struct table *table =
        mmap(NULL, sizeof(*table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert(table != MAP_FAILED);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        _exit(play(table, 1, 1000) ? 0 : 1);
    }
    cr_expect(play(table, 0, 1000));
    int status = -1;
    cr_assert(waitpid(child, &status, 0) == child);
    cr_expect(status == 0);
    cr_expect(atomic_load(&table->turn) == 1000);
    cr_expect(atomic_load(&table->bells[0].sleepers) == 0);
    cr_expect(atomic_load(&table->bells[1].sleepers) == 0);
    cr_assert(munmap(table, sizeof(*table)) == 0);
}

/* ---- descriptors ---------------------------------------------------------------------------- */

/* A countdown beside a pipe. */
struct piped {
    struct countdown countdown;
    int fds[2];
    uint32_t nasked; /* how often the wait asked for descriptors */
    bool is_mute;
};

static whorl_result_t poll_piped(void *ctx, bool *moved_out)
{
    struct piped *piped = ctx;
    return poll_countdown(&piped->countdown, moved_out);
}

static uint32_t piped_fds(void *ctx, int *fds_out)
{
    struct piped *piped = ctx;
    piped->nasked++;
    fds_out[0] = piped->fds[0];
    return piped->is_mute ? UINT32_MAX : 1;
}

/* Waits for npolls polls, each after a sleep. */
static whorl_result_t wait_piped(struct piped *piped, struct wh_wait wait, int npolls,
                                 uint64_t timeout_ms)
{
    piped->countdown = (struct countdown){.nleft = npolls};
    piped->nasked = 0;
    wait.patience = sleep_at_once;
    wait.poll = poll_piped;
    wait.ctx = piped;
    wait.fds = piped_fds;
    wait.deadline_ns = wh_deadline_after_ms(timeout_ms);
    return wh_wait(&wait);
}

/* Sleeps that a descriptor does not end last 10 ms: so many would be over after 50 s at the
 * earliest. */
enum { NPOLLS = 5000, NPOLLS_MS = 40000 };

Test(wait, a_readable_descriptor_ends_sleeps)
{
    struct piped piped = {0};
    static struct wh_doorbell bell;
    struct wh_doorbell *bells[] = {&bell};
    cr_assert_eq(pipe(piped.fds), 0);
    cr_assert_eq(write(piped.fds[1], "x", 1), 1);
    cr_expect_eq(wait_piped(&piped, (struct wh_wait){0}, NPOLLS, NPOLLS_MS), WHORL_OK);
    cr_expect_eq(piped.nasked, NPOLLS);
    struct wh_wait with_bells = {.bells = bells, .nbells = 1};
    cr_expect_eq(wait_piped(&piped, with_bells, NPOLLS, NPOLLS_MS), WHORL_OK, "naps");
    with_bells.bells_are_quiet = true;
    cr_expect_eq(wait_piped(&piped, with_bells, NPOLLS, NPOLLS_MS), WHORL_OK, "on the descriptor");
    cr_expect_eq(atomic_load(&bell.sleepers), 0);
    close(piped.fds[0]);
    close(piped.fds[1]);
}

Test(wait, what_no_descriptor_tells_is_found_all_the_same)
{
    struct piped piped = {0};
    cr_assert_eq(pipe(piped.fds), 0);
    cr_expect_eq(wait_piped(&piped, (struct wh_wait){0}, 3, 60000), WHORL_OK);
    piped.is_mute = true;
    cr_expect_eq(wait_piped(&piped, (struct wh_wait){0}, 3, 60000), WHORL_OK);
    close(piped.fds[0]);
    close(piped.fds[1]);
}

Test(wait, a_descriptor_that_never_tells_does_not_outlast_the_deadline)
{
    struct piped piped = {0};
    cr_assert_eq(pipe(piped.fds), 0);
    cr_expect_eq(wait_piped(&piped, (struct wh_wait){0}, INT_MAX, 30), WHORL_E_TIMEOUT);
    close(piped.fds[0]);
    close(piped.fds[1]);
}
