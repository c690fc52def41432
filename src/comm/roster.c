/* SPDX-License-Identifier: Apache-2.0 */
/* See roster.h. */
#include "comm/roster.h"

#include "base/config.h"
#include "base/log.h"
#include "base/thread.h"
#include "comm/comm.h"
#include "comm/dump.h"
#include "comm/watch.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct {
    pthread_once_t once;

    pthread_mutex_t life; /* held while the thread is started or ended; taken before lock */
    /* Holding life. */
    bool has_thread, has_handler;
    pthread_t thread;

    pthread_mutex_t lock; /* held while files are written */
    /* Holding lock. */
    struct wh_roster_node *nodes;

    /* Any thread, and the handler. */
    sem_t wakes;
    _Atomic bool is_running, is_asked, stops;
    _Atomic int pid; /* of the process whose thread it is: a child's signals are not ours */
} roster = {
    .once = PTHREAD_ONCE_INIT,
    .life = PTHREAD_MUTEX_INITIALIZER,
    .lock = PTHREAD_MUTEX_INITIALIZER,
};

void wh_roster_wake(void)
{
    if (atomic_load_explicit(&roster.is_running, memory_order_acquire)) {
        sem_post(&roster.wakes);
    }
}

static void on_signal(int number)
{
    (void)number;
    int saved_errno = errno;
    if (getpid() == atomic_load_explicit(&roster.pid, memory_order_relaxed)) {
        atomic_store_explicit(&roster.is_asked, true, memory_order_release);
        sem_post(&roster.wakes);
    }
    errno = saved_errno;
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void *run(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&roster.stops, memory_order_acquire)) {
        if (sem_wait(&roster.wakes) != 0) {
            continue; /* EINTR, under a debugger */
        }
        bool all = atomic_exchange_explicit(&roster.is_asked, false, memory_order_acq_rel);
        pthread_mutex_lock(&roster.lock);
        for (struct wh_roster_node *node = roster.nodes; node != NULL; node = node->next) {
            int before = wh_log_set_rank((int)node->comm->rank);
            wh_dump_on_failure(node->comm);
            if (all) {
                wh_dump_on_signal(node->comm);
            }
            wh_log_set_rank(before);
        }
        pthread_mutex_unlock(&roster.lock);
    }
    return NULL;
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&roster.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&roster.lock);
}

static bool has_our_handler(void)
{
    struct sigaction now;
    return sigaction(SIGUSR2, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
           now.sa_handler == on_signal;
}

static void drop_handler(void)
{
    if (roster.has_handler && has_our_handler()) {
        signal(SIGUSR2, SIG_DFL);
    }
    roster.has_handler = false;
}

/* The child has no communicators and no thread. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&roster.lock, NULL);
    pthread_mutex_init(&roster.life, NULL);
    drop_handler();
    roster.nodes = NULL;
    roster.has_thread = false;
    atomic_store(&roster.is_running, false);
}

static void mind_forks(void)
{
    sem_init(&roster.wakes, 0, 0);
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- start and stop ------------------------------------------------------------------------- */

/* With life. A handler of the program's, or a decision to ignore the signal, stays. */
static void install_handler(void)
{
    struct sigaction now;
    if (sigaction(SIGUSR2, NULL, &now) != 0 || (now.sa_flags & SA_SIGINFO) != 0 ||
        now.sa_handler != SIG_DFL) {
        wh_log(WH_LOG_INFO, WH_SUBSYS_INIT,
               "SIGUSR2 belongs to the program: it does not dump flight records");
        return;
    }
    struct sigaction ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&ours.sa_mask);
    roster.has_handler = sigaction(SIGUSR2, &ours, NULL) == 0;
}

/* With life. */
static void start(void)
{
    const struct wh_config *config;
    if (wh_config_get(&config) != WHORL_OK ||
        (!config->dump_signal && config->dump_dir[0] == '\0')) {
        return;
    }
    atomic_store(&roster.stops, false);
    atomic_store(&roster.pid, getpid());
    int error = wh_thread_start(&roster.thread, run, NULL);
    if (error != 0) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "no thread to dump flight records in: %s",
               strerror(error));
        return;
    }
    roster.has_thread = true;
    atomic_store(&roster.is_running, true);
    if (config->dump_signal) {
        install_handler();
    }
}

/* With life. */
static void stop(void)
{
    if (!roster.has_thread) {
        return;
    }
    drop_handler();
    atomic_store(&roster.is_running, false);
    atomic_store_explicit(&roster.stops, true, memory_order_release);
    sem_post(&roster.wakes);
    pthread_join(roster.thread, NULL);
    roster.has_thread = false;
}

void wh_roster_add(struct whorl_comm *comm, struct wh_roster_node *node)
{
    pthread_once(&roster.once, mind_forks);
    pthread_mutex_lock(&roster.life);
    if (!roster.has_thread) {
        start();
    }
    pthread_mutex_lock(&roster.lock);
    *node = (struct wh_roster_node){comm, roster.nodes};
    roster.nodes = node;
    pthread_mutex_unlock(&roster.lock);
    pthread_mutex_unlock(&roster.life);
}

void wh_roster_remove(struct whorl_comm *comm)
{
    pthread_mutex_lock(&roster.life);
    pthread_mutex_lock(&roster.lock);
    struct wh_roster_node **link = &roster.nodes;
    while (*link != NULL && (*link)->comm != comm) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = (*link)->next;
    }
    bool is_last = roster.nodes == NULL;
    pthread_mutex_unlock(&roster.lock);
    if (is_last) {
        stop();
    }
    pthread_mutex_unlock(&roster.life);
}

/* ---- other communicators -------------------------------------------------------------------- */

static bool is_alone_in_process(const struct whorl_comm *comm)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < comm->nranks; r++) {
        n += comm->members[r].process_key == comm->members[comm->rank].process_key;
    }
    return n == 1;
}

void wh_roster_describe_others(struct whorl_comm *comm, char *text, size_t text_nbytes)
{
    text[0] = '\0';
    if (!is_alone_in_process(comm) || pthread_mutex_trylock(&roster.lock) != 0) {
        return;
    }
    for (struct wh_roster_node *node = roster.nodes; node != NULL; node = node->next) {
        struct wh_status status;
        if (node->comm == comm) {
            continue;
        }
        wh_watch_status(node->comm, &status);
        if (status.state == WH_STATUS_INSIDE && status.where[0] != '\0') {
            char call[160];
            const char *name = node->comm->name;
            snprintf(text, text_nbytes, "%s of %s%s, %s",
                     wh_status_print_short(&status.op, call, sizeof(call)),
                     name[0] != '\0' ? "communicator " : "another communicator", name,
                     status.where);
            break;
        }
    }
    pthread_mutex_unlock(&roster.lock);
}
