/* SPDX-License-Identifier: Apache-2.0 */
/* The thread that reads all edges. See service.h. */
#include "bootstrap/service.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * What epoll carries: generation, slot and index. An index is an edge, the door, or FIRST_GUEST and
 * a guest's slot. Generations begin at 1, so a key of 0 names none.
 */
enum {
    INDEX_BITS = 20,
    SLOT_BITS = 20,
    GENERATION_BITS = 24,
    DOOR = WH_EDGES_MAX,
    FIRST_GUEST,
    NEVENTS = 64,
    POLL_MS_MAX = 60 * 1000,
};

static const uint64_t wake_key = 0;

/* A place for a rank; used again, with another generation. */
struct place {
    struct wh_boot *boot; /* NULL: free */
    uint32_t generation;
};

static struct {
    pthread_mutex_t life; /* held while the thread is started or ended; taken before lock */
    pthread_once_t once;

    pthread_mutex_t lock;
    /* Holding lock. */
    struct wh_boot *ranks;
    struct place *places;
    uint32_t nplaces;
    bool stop;
    bool todo;       /* some rank has something for tell_one(), answer_one() or recheck() */
    int epoll, bell; /* valid while nranks > 0 */

    /* Holding life. */
    uint32_t nranks;
    pthread_t thread;
} service = {
    .life = PTHREAD_MUTEX_INITIALIZER,
    .once = PTHREAD_ONCE_INIT,
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .epoll = -1,
    .bell = -1,
};

void wh_service_lock(void)
{
    pthread_mutex_lock(&service.lock);
}

void wh_service_unlock(void)
{
    pthread_mutex_unlock(&service.lock);
}

bool wh_service_wait(struct wh_boot *boot, uint64_t deadline_ns)
{
    if (deadline_ns == WH_NEVER) {
        pthread_cond_wait(&boot->changed, &service.lock);
        return true;
    }
    const struct timespec when = {
        .tv_sec = (time_t)(deadline_ns / 1000000000u),
        .tv_nsec = (long)(deadline_ns % 1000000000u),
    };
    return pthread_cond_timedwait(&boot->changed, &service.lock, &when) != ETIMEDOUT;
}

/* ---- watching ------------------------------------------------------------------------------- */

static bool watch_fd(const struct wh_boot *boot, uint32_t index, int fd, short events, int op)
{
    uint64_t generation = service.places[boot->slot].generation;
    struct epoll_event event = {
        .events = EPOLLIN | ((events & POLLOUT) != 0 ? (uint32_t)EPOLLOUT : 0u),
        .data.u64 = (generation << SLOT_BITS | boot->slot) << INDEX_BITS | index,
    };
    return epoll_ctl(service.epoll, op, fd, &event) == 0;
}

static void watch(struct wh_boot *boot, uint32_t index, int op)
{
    struct wh_edge *edge = &boot->edges[index];
    edge->events = wh_conn_events(&edge->conn);
    edge->watched = watch_fd(boot, index, edge->conn.fd, edge->events, op);
    if (!edge->watched) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "cannot watch the connection to rank %u: %s",
               edge->peer.rank, strerror(errno));
    }
}

void wh_service_watch_door(struct wh_boot *boot, bool on)
{
    if (!boot->known || boot->listener < 0 || boot->door_watched == on) {
        return;
    }
    (void)watch_fd(boot, DOOR, boot->listener, POLLIN, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL);
    boot->door_watched = on;
}

void wh_service_watch_guest(struct wh_boot *boot, uint32_t slot)
{
    struct wh_guest *guest = boot->guests[slot];
    short events = wh_conn_events(&guest->conn);
    if (boot->known && events != guest->events) {
        int op = guest->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
        (void)watch_fd(boot, FIRST_GUEST + slot, guest->conn.fd, events, op);
        guest->events = events;
    }
}

void wh_service_unwatch_fd(const struct wh_boot *boot, int fd)
{
    if (boot->known && fd >= 0) {
        (void)epoll_ctl(service.epoll, EPOLL_CTL_DEL, fd, NULL);
    }
}

void wh_service_arm(struct wh_boot *boot, uint32_t index)
{
    struct wh_edge *edge = &boot->edges[index];
    if (edge->watched && edge->events != wh_conn_events(&edge->conn)) {
        watch(boot, index, EPOLL_CTL_MOD);
    }
}

void wh_service_unwatch(struct wh_edge *edge)
{
    if (edge->watched) {
        (void)epoll_ctl(service.epoll, EPOLL_CTL_DEL, edge->conn.fd, NULL);
        edge->watched = false;
    }
}

void wh_service_wake(void)
{
    const uint64_t one = 1;
    service.todo = true;
    if (service.bell >= 0 && write(service.bell, &one, sizeof(one)) < 0) {
        /* The counter is full: the thread is awake already. */
        assert(errno == EAGAIN);
    }
}

/* ---- the thread ----------------------------------------------------------------------------- */

static void handle(const struct epoll_event *event)
{
    uint64_t data = event->data.u64;
    if (data == wake_key) {
        uint64_t count;
        (void)!read(service.bell, &count, sizeof(count));
        return;
    }

    uint32_t index = (uint32_t)(data & ((1u << INDEX_BITS) - 1));
    uint32_t slot = (uint32_t)(data >> INDEX_BITS & ((1u << SLOT_BITS) - 1));
    struct wh_boot *boot = slot < service.nplaces ? service.places[slot].boot : NULL;
    if (boot == NULL || service.places[slot].generation != data >> (INDEX_BITS + SLOT_BITS)) {
        return;
    }
    int before = wh_log_set_rank((int)boot->rank);
    if (index >= FIRST_GUEST) {
        wh_door_guest_ready(boot, index - FIRST_GUEST);
    } else if (index == DOOR) {
        wh_door_knock(boot);
    } else if (boot->edges[index].up) {
        wh_rank_edge_ready(boot, index);
    }
    wh_log_set_rank(before);
}

/* Calls on_failure() of a rank that has not been told. The lock is open meanwhile; false: none. */
static bool tell_one(void)
{
    for (struct wh_boot *boot = service.ranks; boot != NULL; boot = boot->next) {
        if (!boot->failed || boot->told) {
            continue;
        }
        boot->told = true;
        if (boot->on_failure == NULL) {
            continue;
        }
        boot->in_callback = true;
        wh_service_unlock();
        int before = wh_log_set_rank((int)boot->rank);
        boot->on_failure(boot->ctx, boot->failure.rc, boot->failure.text);
        wh_log_set_rank(before);
        wh_service_lock();
        boot->in_callback = false;
        pthread_cond_broadcast(&boot->changed);
        return true;
    }
    return false;
}

/* Calls on_status() of a rank that was asked, and answers. The lock is open meanwhile; false: none
 * was asked. */
static bool answer_one(void)
{
    for (struct wh_boot *boot = service.ranks; boot != NULL; boot = boot->next) {
        if (boot->first_waiting == WH_NOBODY || !boot->joined) {
            continue;
        }
        uint8_t status[WH_STATUS_NBYTES] = {0};
        if (boot->on_status != NULL) {
            boot->in_callback = true;
            wh_service_unlock();
            boot->on_status(boot->ctx, status);
            wh_service_lock();
            boot->in_callback = false;
            pthread_cond_broadcast(&boot->changed);
        }
        wh_ask_answer(boot, status);
        return true;
    }
    return false;
}

/* Looks again at ranks that somebody has left; returns when that is due next. */
static uint64_t recheck(void)
{
    uint64_t next_ns = WH_NEVER;
    for (struct wh_boot *boot = service.ranks; boot != NULL; boot = boot->next) {
        if (boot->recheck_at_ns == 0) {
            continue;
        }
        if (boot->recheck_at_ns <= wh_now_ns()) {
            boot->recheck_at_ns = 0;
            wh_rank_check_left(boot);
            uint64_t door_ns = wh_door_recheck(boot);
            boot->recheck_at_ns = door_ns == WH_NEVER ? 0 : door_ns;
        }
        if (boot->recheck_at_ns != 0 && boot->recheck_at_ns < next_ns) {
            next_ns = boot->recheck_at_ns;
        }
    }
    return next_ns;
}

static void *run(void *unused)
{
    (void)unused;

    uint64_t due_ns = WH_NEVER;
    wh_service_lock();
    while (!service.stop) {
        wh_service_unlock();
        struct epoll_event events[NEVENTS];
        int timeout_ms = due_ns == WH_NEVER ? -1 : wh_ms_until(due_ns, POLL_MS_MAX);
        int nevents = epoll_wait(service.epoll, events, NEVENTS, timeout_ms);
        wh_service_lock();

        for (int i = 0; i < nevents; i++) {
            handle(&events[i]);
        }
        while (service.todo || due_ns <= wh_now_ns()) {
            service.todo = false;
            due_ns = recheck();
            while (tell_one() || answer_one()) {
            }
        }
    }
    wh_service_unlock();
    return NULL;
}

/* ---- fork ----------------------------------------------------------------------------------- */

static void before_fork(void)
{
    wh_service_lock();
}

static void after_fork_in_parent(void)
{
    wh_service_unlock();
}

/* The child has copies of all sockets but not the thread. Without them peers notice when the parent
 * dies; its ranks are the parent's, wh_boot_leave() in the child only frees. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&service.lock, NULL);
    pthread_mutex_init(&service.life, NULL);
    for (struct wh_boot *boot = service.ranks; boot != NULL; boot = boot->next) {
        for (uint32_t i = 0; i < WH_EDGES_MAX; i++) {
            struct wh_edge *edge = &boot->edges[i];
            if (edge->conn.fd >= 0) {
                close(edge->conn.fd); /* not shut down: the parent goes on using it */
                edge->conn.fd = -1;
            }
            edge->up = edge->watched = false;
        }
        for (uint32_t i = 0; i < boot->nguest_slots; i++) {
            if (boot->guests[i] != NULL) {
                close(boot->guests[i]->conn.fd);
                boot->guests[i]->conn.fd = -1;
            }
        }
        if (boot->listener >= 0) {
            close(boot->listener);
            boot->listener = -1;
        }
        boot->known = false;
    }
    free(service.places);
    service.places = NULL;
    service.nplaces = 0;
    if (service.epoll >= 0) {
        close(service.epoll);
        close(service.bell);
    }
    service.epoll = service.bell = -1;
    service.ranks = NULL;
    service.nranks = 0;
}

static void mind_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* ---- start and stop ------------------------------------------------------------------------- */

static void close_fds(void)
{
    wh_service_lock();
    if (service.epoll >= 0) {
        close(service.epoll);
    }
    if (service.bell >= 0) {
        close(service.bell);
    }
    service.epoll = service.bell = -1;
    wh_service_unlock();
}

static whorl_result_t start(void)
{
    pthread_once(&service.once, mind_forks);
    wh_service_lock();
    service.stop = false;
    service.epoll = epoll_create1(EPOLL_CLOEXEC);
    service.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = wake_key};
    bool open = service.epoll >= 0 && service.bell >= 0 &&
                epoll_ctl(service.epoll, EPOLL_CTL_ADD, service.bell, &event) == 0;
    int error = errno;
    wh_service_unlock();
    if (open) {
        error = wh_thread_start(&service.thread, run, NULL);
    }
    if (open && error == 0) {
        return WHORL_OK;
    }

    close_fds();
    errno = error;
    return wh_fail_sys(WH_SUBSYS_BOOTSTRAP, "cannot start the bootstrap's service thread");
}

/* Ends the thread. With life held, not the lock. */
static void stop(void)
{
    wh_service_lock();
    service.stop = true;
    wh_service_wake();
    wh_service_unlock();
    pthread_join(service.thread, NULL);
    close_fds();
}

/* Gives boot a place, with the lock. False: no memory. */
static bool place_take(struct wh_boot *boot)
{
    uint32_t slot = 0;
    while (slot < service.nplaces && service.places[slot].boot != NULL) {
        slot++;
    }
    if (slot == service.nplaces) {
        uint32_t nplaces = 2 * service.nplaces + 4;
        struct place *places = realloc(service.places, nplaces * sizeof(*places));
        if (places == NULL) {
            return false;
        }
        memset(places + slot, 0, (nplaces - slot) * sizeof(*places));
        service.places = places;
        service.nplaces = nplaces;
    }
    service.places[slot].boot = boot;
    service.places[slot].generation =
        (service.places[slot].generation + 1) % (1u << GENERATION_BITS);
    service.places[slot].generation += service.places[slot].generation == 0;
    boot->slot = slot;
    return true;
}

/* Starts to watch all that boot has, with the lock. */
static whorl_result_t know(struct wh_boot *boot)
{
    if (!place_take(boot)) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory to join");
    }
    boot->known = true;
    boot->next = service.ranks;
    service.ranks = boot;
    for (uint32_t i = 0; i < 2 * boot->nrounds; i++) {
        if (boot->edges[i].up) {
            watch(boot, i, EPOLL_CTL_ADD);
        }
    }
    wh_service_watch_door(boot, true);
    /* A failure that came while the rank was joining has nobody to tell it yet. */
    wh_service_wake();
    return WHORL_OK;
}

whorl_result_t wh_service_add(struct wh_boot *boot)
{
    pthread_mutex_lock(&service.life);
    whorl_result_t rc = service.nranks > 0 ? WHORL_OK : start();
    if (rc == WHORL_OK) {
        wh_service_lock();
        rc = know(boot);
        service.nranks += rc == WHORL_OK;
        wh_service_unlock();
    }
    if (rc != WHORL_OK && service.nranks == 0) {
        stop();
    }
    pthread_mutex_unlock(&service.life);
    return rc;
}

void wh_service_remove(struct wh_boot *boot)
{
    /* Not with life held: on_failure() may wait for a thread that is just joining another job. */
    wh_service_lock();
    boot->told = true;
    boot->joined = false;
    while (boot->in_callback) {
        (void)wh_service_wait(boot, WH_NEVER);
    }
    wh_service_unlock();

    pthread_mutex_lock(&service.life);
    wh_service_lock();
    for (uint32_t i = 0; i < WH_EDGES_MAX; i++) {
        wh_service_unwatch(&boot->edges[i]);
    }
    for (uint32_t i = 0; i < boot->nguest_slots; i++) {
        if (boot->guests[i] != NULL) {
            wh_service_unwatch_fd(boot, boot->guests[i]->conn.fd);
        }
    }
    wh_service_watch_door(boot, false);
    boot->known = false;
    service.places[boot->slot].boot = NULL;
    struct wh_boot **link = &service.ranks;
    while (*link != boot) {
        assert(*link != NULL);
        link = &(*link)->next;
    }
    *link = boot->next;
    bool last = --service.nranks == 0;
    wh_service_unlock();

    if (last) {
        stop();
    }
    pthread_mutex_unlock(&service.life);
}
