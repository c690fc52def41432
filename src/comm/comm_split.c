/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting: everyone tells color and key; the first rank of each color makes an id for it and tells
 * where its ranks meet; everyone makes the id of its color of that and joins. A new communicator is
 * like any other from then on. Its secret does not travel: bootstrap derives it from this one's.
 */
#include "base/bytes.h"
#include "base/clock.h"
#include "base/log.h"
#include "comm/batch.h"

#include <stdlib.h>
#include <string.h>

enum { CHOICE_NBYTES = 8 };

static whorl_result_t gather_choices(struct whorl_comm *comm, int color, int key, uint8_t *choices)
{
    uint8_t *mine = choices + (size_t)comm->rank * CHOICE_NBYTES;
    wh_put_le32(mine, (uint32_t)color);
    wh_put_le32(mine + 4, (uint32_t)key);
    return wh_boot_allgather(comm->boot, choices, CHOICE_NBYTES,
                             wh_deadline_after_ms(comm->init_timeout_ms));
}

static int choice_color(const uint8_t *choices, uint32_t rank)
{
    return (int)wh_get_le32(choices + (size_t)rank * CHOICE_NBYTES);
}

static int choice_key(const uint8_t *choices, uint32_t rank)
{
    return (int)wh_get_le32(choices + (size_t)rank * CHOICE_NBYTES + 4);
}

/* This rank's place among those of its color, how many they are, and the old rank that is first. */
static void find_place(const struct whorl_comm *comm, const uint8_t *choices,
                       struct wh_comm_args *args, uint32_t *first_out)
{
    int color = choice_color(choices, comm->rank);
    int key = choice_key(choices, comm->rank);
    *first_out = comm->rank;
    for (uint32_t r = 0; r < comm->nranks; r++) {
        if (choice_color(choices, r) != color) {
            continue;
        }
        int other = choice_key(choices, r);
        args->nranks++;
        args->rank += other < key || (other == key && r < comm->rank);
        int first_key = choice_key(choices, *first_out);
        if (other < first_key || (other == first_key && r < *first_out)) {
            *first_out = r;
        }
    }
}

/* venues: WH_VENUE_NBYTES for each rank. The caller wipes args->id. */
static whorl_result_t split(struct whorl_comm *comm, const uint8_t *choices, uint8_t *venues,
                            struct wh_comm_args *args, struct whorl_comm **new_comm_out)
{
    bool takes_part = choice_color(choices, comm->rank) != WHORL_SPLIT_NOCOLOR;
    uint32_t first = comm->rank;
    if (takes_part) {
        find_place(comm, choices, args, &first);
    }
    whorl_result_t rc = WHORL_OK;
    if (takes_part && first == comm->rank) {
        rc = wh_boot_split_create(comm->boot, venues + (size_t)first * WH_VENUE_NBYTES, &args->id);
    }
    if (rc == WHORL_OK) {
        rc = wh_boot_allgather(comm->boot, venues, WH_VENUE_NBYTES,
                               wh_deadline_after_ms(comm->init_timeout_ms));
    }
    if (rc == WHORL_OK && takes_part && first != comm->rank) {
        rc = wh_boot_split_read(comm->boot, venues + (size_t)first * WH_VENUE_NBYTES, &args->id);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    if (!takes_part) {
        *new_comm_out = NULL;
        return WHORL_OK;
    }
    return wh_comm_create(args, new_comm_out);
}

/* A barrier whose signature says that it is a split, so that a rank which made another call is found
 * out as for any collective. */
static whorl_result_t meet(struct whorl_comm *comm)
{
    struct wh_call call = {
        .comm = comm,
        .coll = WH_COLL_BARRIER,
        .root = comm->nranks > 1 ? WH_BARRIER_OF_SPLIT : 0,
        .op = {.dtype = WHORL_UINT8, .redop = WH_REDOP_NONE},
    };
    return wh_batch_run_one(&call);
}

whorl_result_t wh_comm_split(struct whorl_comm *comm, int color, int key,
                             const struct wh_comm_options *options,
                             struct whorl_comm **new_comm_out)
{
    wh_comm_drain(comm);
    whorl_result_t rc = wh_comm_failure(comm);
    if (rc == WHORL_OK) {
        rc = meet(comm);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    uint8_t *choices = calloc(comm->nranks, CHOICE_NBYTES);
    uint8_t *venues = calloc(comm->nranks, WH_VENUE_NBYTES);
    if (choices == NULL || venues == NULL) {
        rc = wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory to split %u ranks", comm->nranks);
        goto undo_alloc;
    }
    rc = gather_choices(comm, color, key, choices);
    if (rc == WHORL_OK) {
        struct wh_comm_args args = {.options = *options};
        rc = split(comm, choices, venues, &args, new_comm_out);
        explicit_bzero(&args.id, sizeof(args.id));
    }

undo_alloc:
    if (rc != WHORL_OK) {
        rc = wh_comm_fail(comm, rc, wh_error_get());
    }
    free(venues);
    free(choices);
    return rc;
}
