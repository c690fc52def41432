/* SPDX-License-Identifier: Apache-2.0 */
/* Splits: who is with whom, in which order, and who is with nobody. */
#include "base/log.h"
#include "bootstrap/rank.h"
#include "local.h"

/* Splits l from one thread; color and key by old rank. */
static void split(const struct local *l, const int *colors, const int *keys, whorl_comm_t *out)
{
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    for (int r = 0; r < l->n; r++) {
        cr_assert_eq(whorl_comm_split(l->ranks[r], colors[r], keys[r], NULL, &out[r]), WHORL_OK);
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
}

static void expect_place(whorl_comm_t comm, uint32_t rank, uint32_t nranks)
{
    cr_assert_not_null(comm);
    cr_expect_eq(comm->rank, rank);
    cr_expect_eq(comm->nranks, nranks);
}

Test(comm_split, colors_part_and_keys_order, .timeout = 60)
{
    struct local l = local_open(6, 0);
    const int colors[] = {0, 1, 0, 1, 0, 7}, keys[] = {5, 0, -3, 0, 5, 1};
    whorl_comm_t parts[6];
    split(&l, colors, keys, parts);
    expect_place(parts[0], 1, 3); /* keys 5, -3, 5: the old rank decides between equals */
    expect_place(parts[2], 0, 3);
    expect_place(parts[4], 2, 3);
    expect_place(parts[1], 0, 2);
    expect_place(parts[3], 1, 2);
    expect_place(parts[5], 0, 1);

    struct local evens = {.n = 3, .ranks = {parts[2], parts[0], parts[4]}};
    struct local odds = {.n = 2, .ranks = {parts[1], parts[3]}};
    local_expect_works(&evens);
    local_expect_works(&odds);
    local_expect_works(&l);
    local_close(&l);
    local_expect_works(&evens);
    local_close(&evens);
    local_close(&odds);
    whorl_comm_destroy(parts[5]);
}

Test(comm_split, who_has_no_color_gets_nothing, .timeout = 60)
{
    struct local l = local_open(3, 0);
    const int colors[] = {WHORL_SPLIT_NOCOLOR, 2147483647, WHORL_SPLIT_NOCOLOR};
    const int keys[] = {0, -2147483647 - 1, 0};
    whorl_comm_t parts[3];
    memset(parts, 0xff, sizeof(parts));
    split(&l, colors, keys, parts);
    cr_expect_null(parts[0]);
    cr_expect_null(parts[2]);
    expect_place(parts[1], 0, 1);
    whorl_comm_destroy(parts[1]);
    local_expect_works(&l);
    local_close(&l);
}

Test(comm_split, a_part_can_be_split_again, .timeout = 60)
{
    struct local l = local_open(4, 0);
    const int all[] = {0, 0, 0, 0}, backwards[] = {3, 2, 1, 0}, halves[] = {0, 0, 1, 1};
    whorl_comm_t turned[4], parts[4];
    split(&l, all, backwards, turned);
    expect_place(turned[0], 3, 4);
    struct local again = {.n = 4, .ranks = {turned[3], turned[2], turned[1], turned[0]}};
    split(&again, halves, all, parts);
    expect_place(parts[1], 1, 2);
    expect_place(parts[2], 0, 2);
    struct local half = {.n = 2, .ranks = {parts[0], parts[1]}};
    local_expect_works(&half);
    local_close(&half);
    whorl_comm_destroy(parts[2]);
    whorl_comm_destroy(parts[3]);
    local_close(&again);
    local_close(&l);
}

Test(comm_split, a_broken_communicator_cannot_be_split, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_comm_abort(l.ranks[0]);
    whorl_comm_t part = l.ranks[0];
    cr_expect_eq(whorl_comm_split(l.ranks[0], 0, 0, NULL, &part), WHORL_E_ABORTED);
    cr_expect_eq(part, l.ranks[0], "written only on success");
    local_close(&l);
}

Test(comm_split, what_is_queued_runs_first, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_stream_t streams[2];
    int32_t value[2] = {1, 1};
    for (int r = 0; r < 2; r++) {
        whorl_stream_create(&streams[r]);
        for (int i = 0; i < 10; i++) {
            whorl_all_reduce(&value[r], &value[r], 1, WHORL_INT32, WHORL_SUM, l.ranks[r],
                             streams[r]);
        }
    }
    const int zeros[] = {0, 0};
    whorl_comm_t parts[2];
    split(&l, zeros, zeros, parts);
    cr_expect_eq(value[0], 1024);
    cr_expect_eq(value[1], 1024);
    for (int r = 0; r < 2; r++) {
        whorl_comm_destroy(parts[r]);
        whorl_stream_destroy(streams[r]);
    }
    local_close(&l);
}

Test(comm_split, each_part_has_a_secret_of_its_own, .timeout = 60)
{
    struct local l = local_open(4, 0);
    const int colors[] = {0, 0, 1, 1}, keys[] = {0, 0, 1, 0};
    whorl_comm_t parts[4];
    split(&l, colors, keys, parts);
    const uint8_t *old = l.ranks[0]->boot->trust.secret;
    const uint8_t *first = parts[0]->boot->trust.secret, *second = parts[2]->boot->trust.secret;
    cr_expect_arr_eq(first, parts[1]->boot->trust.secret, WH_SECRET_NBYTES);
    cr_expect_arr_eq(second, parts[3]->boot->trust.secret, WH_SECRET_NBYTES);
    cr_expect_arr_neq(first, second, WH_SECRET_NBYTES);
    cr_expect_arr_neq(first, old, WH_SECRET_NBYTES);
    cr_expect_arr_neq(second, old, WH_SECRET_NBYTES);
    for (int r = 0; r < 4; r++) {
        whorl_comm_destroy(parts[r]);
    }
    local_close(&l);
}
