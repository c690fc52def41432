/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks are put into groups: of the same class (what they have to do with the stalled operation)
 * and with the same words about what they do. Each group is a line. Classes come in the order of
 * how likely they are to be the cause.
 */
#include "comm/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum class {
    NOT_ENTERED,
    SILENT,  /* did not answer */
    OUTSIDE, /* the operation is a message: this rank is in no call */
    PAST,    /* has the stalled operation behind it */
    INSIDE,
    NCLASSES
};

enum { WORDS_NBYTES = 400, NAMED_RANKS = 3, GROUPS_PER_CLASS = 6 };

struct view {
    enum class class;
    bool is_told;
    char words[WORDS_NBYTES];
};

struct writer {
    const struct wh_report_input *in;
    struct wh_report *report;
    struct view *views; /* a rank's */
    bool *members;      /* of the group at hand */
};

/* ---- sets of ranks -------------------------------------------------------------------------- */

uint32_t wh_report_print_ranks(const bool *in, uint32_t nranks, char *text, size_t text_nbytes)
{
    uint32_t n = 0;
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t r = 0; r < nranks; r++) {
        if (!in[r]) {
            continue;
        }
        uint32_t last = r;
        while (last + 1 < nranks && in[last + 1]) {
            last++;
        }
        char piece[40];
        snprintf(piece, sizeof(piece), last > r ? "%s%" PRIu32 "-%" PRIu32 : "%s%" PRIu32,
                 n > 0 ? ", " : "", r, last);
        n += last - r + 1;
        r = last;
        if (used + strlen(piece) + sizeof(", ...") <= text_nbytes) {
            used += (size_t)snprintf(text + used, text_nbytes - used, "%s", piece);
        } else if (used < text_nbytes && text[used] == '\0') {
            snprintf(text + used, text_nbytes - used, ", ...");
            used = text_nbytes; /* nothing more */
        }
    }
    return n;
}

/* "rank 3 (host b, pid 12)", several of them, or "ranks 0-6, 8". Returns how many. */
static uint32_t print_members(const struct writer *w, bool with_hosts, char *text,
                              size_t text_nbytes)
{
    char set[160];
    uint32_t n = wh_report_print_ranks(w->members, w->in->nranks, set, sizeof(set));
    if (!with_hosts || n > NAMED_RANKS) {
        snprintf(text, text_nbytes, "rank%s %s", n == 1 ? "" : "s", set);
        return n;
    }
    size_t used = 0;
    for (uint32_t r = 0; r < w->in->nranks && used < text_nbytes; r++) {
        if (w->members[r]) {
            used += (size_t)snprintf(text + used, text_nbytes - used,
                                     "%srank %" PRIu32 " (host %s, pid %" PRIu32 ")",
                                     used > 0 ? ", " : "", r, w->in->members[r].host,
                                     w->in->members[r].pid);
        }
    }
    return n;
}

/* ---- classes and words ---------------------------------------------------------------------- */

static const struct wh_status *stalled(const struct wh_report_input *in)
{
    return &in->statuses[in->rank];
}

static bool is_message(const struct wh_status_op *op)
{
    return op->coll < WH_NCOLLS && wh_coll_is_p2p((enum wh_coll)op->coll);
}

static enum class classify(const struct wh_report_input *in, const struct wh_status *s)
{
    const struct wh_status_op *op = &stalled(in)->op;
    if (s->state == WH_STATUS_UNKNOWN) {
        return SILENT;
    }
    if (is_message(op)) {
        return s->state == WH_STATUS_INSIDE ? INSIDE : OUTSIDE;
    }
    if (s->ncolls < op->seq) {
        return NOT_ENTERED;
    }
    bool is_in_it = s->state == WH_STATUS_INSIDE && s->op.seq == op->seq && !is_message(&s->op);
    return is_in_it ? INSIDE : PAST;
}

/* What a rank does that is in some call. */
static void put_inside(const struct wh_report_input *in, const struct wh_status *s,
                       enum class class, char *words, size_t nbytes)
{
    char call[160] = "it";
    if (class != INSIDE || is_message(&stalled(in)->op)) {
        wh_status_print_short(&s->op, call, sizeof(call));
    }
    snprintf(words, nbytes, "in %s%s%s", call, s->where[0] != '\0' ? ", " : "", s->where);
}

static void put_outside(const struct wh_status *s, char *words, size_t nbytes)
{
    char call[160], queued[64] = "";
    if (s->nqueued > 0) {
        snprintf(queued, sizeof(queued), ", with %" PRIu32 " groups of calls waiting in streams",
                 s->nqueued);
    }
    if (s->state == WH_STATUS_IDLE) {
        snprintf(call, sizeof(call), "has made no call yet");
    } else {
        char last[128];
        wh_status_print_short(&s->op, last, sizeof(last));
        snprintf(call, sizeof(call), "outside of any call since %s ended", last);
    }
    snprintf(words, nbytes, "%s%s%s%s", call, queued,
             s->other[0] != '\0' ? "; its process is in " : "", s->other);
}

static void put_words(const struct wh_report_input *in, uint32_t rank, struct view *view)
{
    const struct wh_status *s = &in->statuses[rank];
    view->class = classify(in, s);
    char doing[WORDS_NBYTES - 32] = "";
    if (s->state == WH_STATUS_INSIDE) {
        put_inside(in, s, view->class, doing, sizeof(doing));
    } else if (s->state != WH_STATUS_UNKNOWN) {
        put_outside(s, doing, sizeof(doing));
    }
    static const char *const heads[NCLASSES] = {
        [NOT_ENTERED] = "has not entered it: ",
        [SILENT] = "did not answer: stopped, dead or cut off",
        [PAST] = "has it behind it: ",
    };
    const char *head = heads[view->class];
    snprintf(view->words, sizeof(view->words), "%s%s", head != NULL ? head : "", doing);
}

/* ---- lines ---------------------------------------------------------------------------------- */

static char *next_line(struct writer *w)
{
    return w->report->lines[w->report->nlines++];
}

/* Marks the ranks that say the same as `rank`, and since when all of them do. */
static uint64_t gather_group(struct writer *w, uint32_t rank)
{
    uint64_t least_ms = UINT64_MAX;
    for (uint32_t r = 0; r < w->in->nranks; r++) {
        const struct view *view = &w->views[r];
        w->members[r] = !view->is_told && view->class == w->views[rank].class &&
                        strcmp(view->words, w->views[rank].words) == 0;
        if (w->members[r]) {
            w->views[r].is_told = true;
            uint64_t ms = w->in->statuses[r].for_ms;
            least_ms = ms < least_ms ? ms : least_ms;
        }
    }
    return least_ms;
}

static void put_group(struct writer *w, uint32_t rank)
{
    enum class class = w->views[rank].class;
    uint64_t for_ms = gather_group(w, rank);
    char who[256], when[48], since[64] = "";
    uint32_t n = print_members(w, class != INSIDE && class != PAST, who, sizeof(who));
    if (class != SILENT) {
        wh_status_print_ms(for_ms, when, sizeof(when));
        snprintf(since, sizeof(since), " (for %s%s)", when, n > 1 ? " or more" : "");
    }
    snprintf(next_line(w), WH_REPORT_LINE_NBYTES, "stall: %s: %s%s", who, w->views[rank].words,
             since);
}

static uint32_t count_untold(struct writer *w, enum class class)
{
    uint32_t n = 0;
    for (uint32_t r = 0; r < w->in->nranks; r++) {
        w->members[r] = !w->views[r].is_told && w->views[r].class == class;
        n += w->members[r];
    }
    return n;
}

static void put_class(struct writer *w, enum class class)
{
    static const char *const names[NCLASSES] = {
        [NOT_ENTERED] = "have not entered it either",
        [SILENT] = "did not answer",
        [OUTSIDE] = "are outside of any call",
        [PAST] = "have it behind them",
        [INSIDE] = "are in calls too",
    };
    uint32_t ngroups = 0;
    for (uint32_t r = 0; r < w->in->nranks && ngroups < GROUPS_PER_CLASS; r++) {
        bool has_room = w->report->nlines + 1 < WH_REPORT_LINES;
        if (!w->views[r].is_told && w->views[r].class == class && has_room) {
            put_group(w, r);
            ngroups++;
        }
    }
    if (count_untold(w, class) > 0 && w->report->nlines < WH_REPORT_LINES) {
        char set[160];
        wh_report_print_ranks(w->members, w->in->nranks, set, sizeof(set));
        snprintf(next_line(w), WH_REPORT_LINE_NBYTES, "stall: ranks %s %s", set, names[class]);
    }
}

static void put_headline(struct writer *w)
{
    const struct wh_report_input *in = w->in;
    const struct wh_status *s = stalled(in);
    uint32_t nanswers = 0;
    for (uint32_t r = 0; r < in->nranks; r++) {
        nanswers += in->statuses[r].state != WH_STATUS_UNKNOWN;
    }
    char call[256], when[48];
    wh_status_print_op(&s->op, call, sizeof(call));
    wh_status_print_ms(s->for_ms, when, sizeof(when));
    uint64_t nbytes = s->op.count * whorl_dtype_nbytes((whorl_dtype_t)s->op.dtype);
    snprintf(next_line(w), WH_REPORT_LINE_NBYTES,
             "stall%s%s: %s, %" PRIu64 " bytes, algorithm %s, does not end on rank %" PRIu32
             " for %s now; %" PRIu32 " of %" PRIu32 " ranks answered within %" PRIu64 " ms",
             in->name[0] != '\0' ? " in communicator " : "", in->name, call, nbytes, s->algo,
             in->rank, when, nanswers, in->nranks, in->ask_ms);
}

/* Adds a class of ranks to the finding. */
static void find_class(struct writer *w, enum class class, const char *one, const char *many)
{
    for (uint32_t r = 0; r < w->in->nranks; r++) {
        w->members[r] = w->views[r].class == class;
    }
    char who[256];
    uint32_t n = print_members(w, true, who, sizeof(who));
    size_t used = strlen(w->report->finding);
    if (n > 0) {
        snprintf(w->report->finding + used, sizeof(w->report->finding) - used, "%s%s %s",
                 used > 0 ? "; " : "", who, n == 1 ? one : many);
    }
}

static void put_finding(struct writer *w)
{
    const struct wh_status_op *op = &stalled(w->in)->op;
    w->report->finding[0] = '\0';
    if (is_message(op) && op->root < w->in->nranks && op->root != w->in->rank &&
        w->views[op->root].class != SILENT) {
        const struct wh_comm_member *peer = &w->in->members[op->root];
        snprintf(w->report->finding, sizeof(w->report->finding),
                 "rank %" PRIu32 " (host %s, pid %" PRIu32 "): %.200s", op->root, peer->host,
                 peer->pid, w->views[op->root].words);
        return;
    }
    find_class(w, NOT_ENTERED, "has not entered it", "have not entered it");
    find_class(w, SILENT, "did not answer", "did not answer");
}

whorl_result_t wh_report_write(const struct wh_report_input *in, struct wh_report *report_out)
{
    struct writer w = {
        .in = in,
        .report = report_out,
        .views = calloc(in->nranks, sizeof(struct view)),
        .members = calloc(in->nranks, sizeof(bool)),
    };
    whorl_result_t rc = WHORL_E_NOMEM;
    if (w.views != NULL && w.members != NULL) {
        report_out->nlines = 0;
        for (uint32_t r = 0; r < in->nranks; r++) {
            put_words(in, r, &w.views[r]);
        }
        put_headline(&w);
        for (int class = 0; class < NCLASSES; class++) {
            put_class(&w, (enum class)class);
        }
        put_finding(&w);
        rc = WHORL_OK;
    }
    free(w.members);
    free(w.views);
    return rc;
}
