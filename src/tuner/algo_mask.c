/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of WHORL_ALGO, which is NCCL_ALGO's. */
#include "algorithms/hier.h"
#include "base/log.h"
#include "tuner/select.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Names that NCCL knows and we have nothing for. */
static const char *const nccl_only[] = {"collnetdirect", "collnetchain", "collnet", "nvls",
                                        "nvlstree"};

/* What an NCCL name is called here, per collective. */
static const struct {
    const char *name;
    enum wh_coll coll;
    const char *ours;
} aliases[] = {
    {"ring", WH_COLL_BROADCAST, "chain"},
    {"ring", WH_COLL_REDUCE, "chain"},
    {"pat", WH_COLL_ALL_GATHER, "circulant"},
    {"pat", WH_COLL_REDUCE_SCATTER, "circulant"},
};

static const struct {
    const char *name;
    enum wh_coll coll;
} functions[] = {
    {"allreduce", WH_COLL_ALL_REDUCE},
    {"allgather", WH_COLL_ALL_GATHER},
    {"reducescatter", WH_COLL_REDUCE_SCATTER},
    {"broadcast", WH_COLL_BROADCAST},
    {"reduce", WH_COLL_REDUCE},
    {"alltoall", WH_COLL_ALL_TO_ALL},
    {"gather", WH_COLL_GATHER},
    {"scatter", WH_COLL_SCATTER},
};

/* A piece of the setting; not terminated. */
struct word {
    const char *at;
    size_t len;
};

static bool word_is(struct word w, const char *name)
{
    return strlen(name) == w.len && strncasecmp(w.at, name, w.len) == 0;
}

static struct word trim(struct word w)
{
    while (w.len > 0 && isspace((unsigned char)w.at[0])) {
        w.at++;
        w.len--;
    }
    while (w.len > 0 && isspace((unsigned char)w.at[w.len - 1])) {
        w.len--;
    }
    return w;
}

/* Cuts the part before the first `sep` off *rest, without spaces around it; false at the end. */
static bool cut(struct word *rest, char sep, struct word *part)
{
    if (rest->at == NULL) {
        return false;
    }
    const char *found = memchr(rest->at, sep, rest->len);
    size_t len = found != NULL ? (size_t)(found - rest->at) : rest->len;
    *part = trim((struct word){rest->at, len});
    *rest = found != NULL ? (struct word){found + 1, rest->len - len - 1} : (struct word){NULL, 0};
    return true;
}

/* Behind the rows of wh_algos: the arena, a bit per collective, and what carries collectives that
 * have no schedule where there is no arena. */
enum { ARENA_BIT = 40, LINKS_BIT = 62 };
_Static_assert(ARENA_BIT + WH_NCOLLS <= LINKS_BIT, "a bit per collective");

static uint64_t arena_of(enum wh_coll coll)
{
    return UINT64_C(1) << (ARENA_BIT + coll);
}

bool wh_algo_mask_has_arena(const struct wh_algo_mask *mask, enum wh_coll coll)
{
    return (mask->allowed & arena_of(coll)) != 0;
}

/* What a list means, or what there is for a collective. */
struct rows {
    uint64_t plain; /* as wh_algo_mask.allowed */
    uint64_t hier;  /* a bit per row of wh_hier_algos */
};

static struct rows common_rows(struct rows a, struct rows b)
{
    return (struct rows){a.plain & b.plain, a.hier & b.hier};
}

/* Of all that there is for a collective, allows only these. */
static void allow(struct wh_algo_mask *mask, struct rows own, struct rows these)
{
    mask->allowed = (mask->allowed & ~own.plain) | these.plain;
    mask->forbidden_hier = (mask->forbidden_hier | own.hier) & ~these.hier;
}

static struct rows rows_of(enum wh_coll coll)
{
    struct rows rows = {.plain = UINT64_C(1) << LINKS_BIT | arena_of(coll)};
    for (size_t i = 0; i < wh_nalgos; i++) {
        if (wh_algos[i]->coll == coll) {
            rows.plain |= UINT64_C(1) << i;
            rows.plain &= ~(UINT64_C(1) << LINKS_BIT);
        }
    }
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        rows.hier |= wh_hier_algos[i]->coll == coll ? UINT64_C(1) << i : 0;
    }
    return rows;
}

/* Rows of wh_hier_algos of that name. */
static uint64_t hier_named(struct word name)
{
    uint64_t rows = 0;
    for (size_t i = 0; i < wh_nhier_algos; i++) {
        rows |= word_is(name, wh_hier_algos[i]->name) ? UINT64_C(1) << i : 0;
    }
    return rows;
}

/* Adds what belongs together: arenas of several hosts are put together somehow, and what is put
 * together is arenas. */
static void complete(struct rows *rows)
{
    for (int c = 0; c < WH_NCOLLS; c++) {
        enum wh_coll coll = (enum wh_coll)c;
        uint64_t own = rows_of(coll).hier;
        if ((rows->plain & arena_of(coll)) != 0 && (rows->hier & own) == 0) {
            rows->hier |= own;
        } else if ((rows->hier & own) != 0) {
            rows->plain |= arena_of(coll);
        }
    }
}

/* Rows that a name means; false if it is no name at all. */
static bool rows_named(struct word name, struct rows *rows_out)
{
    bool is_arena = word_is(name, "arena");
    uint64_t rows = 0, hier = hier_named(name);
    for (int coll = 0; coll < WH_NCOLLS && is_arena; coll++) {
        rows |= arena_of((enum wh_coll)coll);
    }
    bool known = is_arena || hier != 0;
    for (size_t i = 0; i < wh_nalgos; i++) {
        bool hit = word_is(name, wh_algos[i]->name);
        for (size_t a = 0; a < ARRAY_LEN(aliases) && !hit; a++) {
            hit = aliases[a].coll == wh_algos[i]->coll && word_is(name, aliases[a].name) &&
                  strcmp(aliases[a].ours, wh_algos[i]->name) == 0;
        }
        known |= hit;
        rows |= hit ? UINT64_C(1) << i : 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(nccl_only); i++) {
        known |= word_is(name, nccl_only[i]);
    }
    *rows_out = (struct rows){rows, hier};
    return known;
}

static whorl_result_t unknown_name(struct word name, const char *setting)
{
    char known[512] = "arena, leader, rails";
    size_t used = strlen(known);
    for (size_t i = 0; i < wh_nalgos; i++) {
        bool seen = strcmp(wh_algos[i]->name, "p2p") == 0;
        for (size_t j = 0; j < i && !seen; j++) {
            seen = strcmp(wh_algos[j]->name, wh_algos[i]->name) == 0;
        }
        if (!seen && used < sizeof(known)) {
            used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s",
                                     used > 0 ? ", " : "", wh_algos[i]->name);
        }
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                   "WHORL_ALGO=%s: %.*s is no algorithm; known are %s (and NCCL's names)", setting,
                   (int)name.len, name.at, known);
}

static whorl_result_t parse_list(struct word list, const char *setting, struct rows *rows_out)
{
    bool invert = list.len > 0 && list.at[0] == '^';
    if (invert) {
        list.at++;
        list.len--;
    }
    struct rows rows = {0, 0};
    struct word name;
    while (cut(&list, ',', &name)) {
        struct rows named;
        if (name.len == 0) {
            continue;
        }
        if (!rows_named(name, &named)) {
            return unknown_name(name, setting);
        }
        rows.plain |= named.plain;
        rows.hier |= named.hier;
    }
    if (invert) {
        rows = (struct rows){~rows.plain, ~rows.hier};
    } else {
        complete(&rows);
    }
    *rows_out = rows;
    return WHORL_OK;
}

static bool function_named(struct word name, enum wh_coll *coll_out)
{
    char plain[32];
    size_t n = 0;
    for (size_t i = 0; i < name.len && n + 1 < sizeof(plain); i++) {
        if (name.at[i] != '_') {
            plain[n++] = name.at[i];
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (word_is((struct word){plain, n}, functions[i].name)) {
            *coll_out = functions[i].coll;
            return true;
        }
    }
    return false;
}

/* One part between semicolons: `list`, or `function:list`. */
static whorl_result_t parse_part(struct word part, const char *setting, struct wh_algo_mask *mask)
{
    struct rows rows;
    const char *colon = memchr(part.at, ':', part.len);
    if (colon == NULL) {
        whorl_result_t rc = parse_list(part, setting, &rows);
        for (int c = 0; rc == WHORL_OK && c < WH_NCOLLS; c++) {
            enum wh_coll coll = (enum wh_coll)c;
            struct rows own = rows_of(coll), these = common_rows(own, rows);
            /* Messages and barriers have one algorithm over links, and nothing takes it away. */
            bool is_basic = wh_coll_is_p2p(coll) || coll == WH_COLL_BARRIER;
            if (these.plain != 0) {
                these.plain |= is_basic ? own.plain & ~arena_of(coll) : 0;
                allow(mask, own, these);
            }
        }
        return rc;
    }

    size_t head_len = (size_t)(colon - part.at);
    struct word name = trim((struct word){part.at, head_len});
    struct word list = trim((struct word){colon + 1, part.len - head_len - 1});
    enum wh_coll coll;
    if (!function_named(name, &coll)) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "WHORL_ALGO=%s: %.*s is no function; known are AllReduce, AllGather, "
                       "ReduceScatter, Broadcast, Reduce, AllToAll, Gather and Scatter",
                       setting, (int)name.len, name.at);
    }
    whorl_result_t rc = parse_list(list, setting, &rows);
    if (rc != WHORL_OK) {
        return rc;
    }
    struct rows own = rows_of(coll), these = common_rows(own, rows);
    if (these.plain == 0) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV, "WHORL_ALGO=%s leaves no algorithm for %s",
                       setting, wh_coll_str(coll));
    }
    allow(mask, own, these);
    return WHORL_OK;
}

whorl_result_t wh_algo_mask_parse(const char *text, struct wh_algo_mask *mask_out)
{
    struct wh_algo_mask mask = {.allowed = UINT64_MAX};
    struct word rest = {text, strlen(text)};
    struct word part;
    while (cut(&rest, ';', &part)) {
        if (part.len == 0) {
            continue;
        }
        whorl_result_t rc = parse_part(part, text, &mask);
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    *mask_out = mask;
    return WHORL_OK;
}
