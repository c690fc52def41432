/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules as values: their names, their end, and how people read them. */
#include "schedule/sched.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(sizeof(struct wh_step) == 16,
              "a schedule of n ranks has O(n) steps; keep them small");

static const struct {
    const char *name;
    bool reduces, has_root, is_v;
} colls[WH_NCOLLS] = {
    [WH_COLL_ALL_REDUCE] = {"all_reduce", .reduces = true},
    [WH_COLL_ALL_GATHER] = {"all_gather"},
    [WH_COLL_REDUCE_SCATTER] = {"reduce_scatter", .reduces = true},
    [WH_COLL_BROADCAST] = {"broadcast", .has_root = true},
    [WH_COLL_REDUCE] = {"reduce", .reduces = true, .has_root = true},
    [WH_COLL_BARRIER] = {"barrier"},
    [WH_COLL_ALL_TO_ALL] = {"all_to_all"},
    [WH_COLL_GATHER] = {"gather", .has_root = true},
    [WH_COLL_SCATTER] = {"scatter", .has_root = true},
    [WH_COLL_ALL_GATHER_V] = {"all_gather_v", .is_v = true},
    [WH_COLL_REDUCE_SCATTER_V] = {"reduce_scatter_v", .reduces = true, .is_v = true},
    [WH_COLL_ALL_TO_ALL_V] = {"all_to_all_v", .is_v = true},
    [WH_COLL_GATHER_V] = {"gather_v", .has_root = true, .is_v = true},
    [WH_COLL_SCATTER_V] = {"scatter_v", .has_root = true, .is_v = true},
    [WH_COLL_SEND] = {"send", .has_root = true},
    [WH_COLL_RECV] = {"recv", .has_root = true},
};

static const char *const buf_names[WH_NBUFS] = {
    [WH_INPUT] = "input",
    [WH_OUTPUT] = "output",
    [WH_SCRATCH] = "scratch",
};

const char *wh_coll_str(enum wh_coll coll)
{
    return (unsigned)coll < WH_NCOLLS ? colls[coll].name : "unknown";
}

bool wh_coll_reduces(enum wh_coll coll)
{
    assert((unsigned)coll < WH_NCOLLS);
    return colls[coll].reduces;
}

bool wh_coll_is_p2p(enum wh_coll coll)
{
    return coll == WH_COLL_SEND || coll == WH_COLL_RECV;
}

bool wh_coll_has_root(enum wh_coll coll)
{
    assert((unsigned)coll < WH_NCOLLS);
    return colls[coll].has_root;
}

bool wh_coll_is_v(enum wh_coll coll)
{
    assert((unsigned)coll < WH_NCOLLS);
    return colls[coll].is_v;
}

void wh_sched_destroy(struct wh_sched *sched)
{
    /* One block; see freeze() in build.c. */
    free(sched);
}

/* ---- print ---------------------------------------------------------------------------------- */

/* Text that is being written; goes on counting when it is full. */
struct text {
    char *at;
    size_t room_nbytes; /* of at, with the terminator */
    size_t used_nbytes; /* of the whole text, without */
};

WH_PRINTF(2, 3)
static void say(struct text *text, const char *format, ...)
{
    const size_t used = text->used_nbytes;
    const bool full = used >= text->room_nbytes;
    va_list args;

    va_start(args, format);
    int nbytes =
        vsnprintf(full ? NULL : text->at + used, full ? 0 : text->room_nbytes - used, format, args);
    va_end(args);
    assert(nbytes >= 0);
    text->used_nbytes += (size_t)nbytes;
}

static const char *buf_str(uint8_t buf)
{
    return buf < WH_NBUFS ? buf_names[buf] : "unknown";
}

/* "recv 2": the verb and the peer of a link. */
static void say_link(struct text *text, const struct wh_sched *sched, const char *verb,
                     uint16_t link)
{
    if (link < sched->nlinks) {
        say(text, "%s %u", verb, sched->links[link].peer);
    } else {
        say(text, "%s ?", verb);
    }
}

/* The value of a step: "recv 2 + input". */
static void say_value(struct text *text, const struct wh_sched *sched, const struct wh_step *step)
{
    const char *local = buf_str(step->local);

    if (step->flags & WH_RECV) {
        say_link(text, sched, "recv", step->recv_link);
        if (step->flags & WH_REDUCE) {
            say(text, " + %s", local);
        }
    } else if (step->flags & WH_REDUCE) {
        say(text, "%s + %s", buf_str(step->store), local);
    } else {
        say(text, "%s", local);
    }

    if (step->flags & WH_FINISH) {
        say(text, ", finish");
    }
}

static void say_signal(struct text *text, const struct wh_sched *sched, const struct wh_step *step)
{
    say(text, "no data: ");
    if (step->flags & WH_RECV) {
        say_link(text, sched, "recv", step->recv_link);
    }
    if (step->flags & WH_SEND) {
        say_link(text, sched, step->flags & WH_RECV ? ", send" : "send", step->send_link);
    }
}

static void say_step(struct text *text, const struct wh_sched *sched, const struct wh_step *step)
{
    if (step->nchunks == 0) {
        say_signal(text, sched, step);
        return;
    }

    if (step->nchunks == 1) {
        say(text, "chunk %u: ", step->chunk);
    } else {
        say(text, "chunks %u+%u: ", step->chunk, step->nchunks);
    }
    say_value(text, sched, step);
    if (step->flags & WH_STORE) {
        say(text, " -> %s", buf_str(step->store));
    }
    if (step->flags & WH_SEND) {
        say_link(text, sched, step->flags & WH_STORE ? ", send" : " -> send", step->send_link);
    }
}

size_t wh_sched_print(const struct wh_sched *sched, char *text, size_t text_nbytes)
{
    struct text out = {.at = text, .room_nbytes = text_nbytes, .used_nbytes = 0};

    say(&out, "%s %s: rank %u of %u", wh_coll_str(sched->coll), sched->algo, sched->rank,
        sched->nranks);
    if (wh_coll_is_p2p(sched->coll)) {
        say(&out, ", peer %u", sched->root);
    } else if (sched->coll == WH_COLL_BROADCAST || sched->coll == WH_COLL_REDUCE) {
        say(&out, ", root %u", sched->root);
    }
    say(&out, ", %u chunk%s, at most %u in a message\n", sched->nchunks,
        sched->nchunks == 1 ? "" : "s", sched->nchunks_per_step);

    for (uint32_t l = 0; l < sched->nlanes; l++) {
        const struct wh_lane *lane = &sched->lanes[l];
        say(&out, "lane %u on channel %u%s\n", l, lane->channel,
            lane->uses_scratch ? ", with scratch" : "");
        for (uint32_t s = 0; s < lane->nsteps; s++) {
            say(&out, "  %u  ", s);
            say_step(&out, sched, &sched->steps[lane->first_step + s]);
            say(&out, "\n");
        }
    }
    return out.used_nbytes;
}
