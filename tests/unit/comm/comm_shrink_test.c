/* SPDX-License-Identifier: Apache-2.0 */
/* Shrinks of ranks that are threads of one process. With deaths: tests/fault/shrink_test.c. */
#include "local.h"

/* Those of l that are not excluded shrink, in one group; out by old rank. */
static void shrink(const struct local *l, const int *excluded, size_t nexcluded, whorl_comm_t *out)
{
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    for (int r = 0; r < l->n; r++) {
        bool is_out = false;
        for (size_t i = 0; i < nexcluded; i++) {
            is_out |= excluded[i] == r;
        }
        out[r] = NULL;
        if (!is_out) {
            cr_assert_eq(whorl_comm_shrink(l->ranks[r], excluded, nexcluded, NULL, &out[r]),
                         WHORL_OK);
        }
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
}

Test(comm_shrink, leaves_out_who_is_named_and_keeps_the_order, .timeout = 60)
{
    struct local l = local_open(5, 7000);
    const int excluded[] = {3, 0, 3}; /* twice is once */
    whorl_comm_t out[5];
    shrink(&l, excluded, 3, out);
    cr_expect_null(out[0]);
    cr_expect_null(out[3]);
    struct local left = {.n = 3, .ranks = {out[1], out[2], out[4]}};
    for (int r = 0; r < 3; r++) {
        cr_assert_not_null(left.ranks[r]);
        cr_expect_eq(left.ranks[r]->rank, (uint32_t)r);
        cr_expect_eq(left.ranks[r]->nranks, 3);
        cr_expect_eq(left.ranks[r]->timeout_ms, 7000, "what is not said is as it was");
        cr_expect_str_eq(left.ranks[r]->name, "");
    }
    local_expect_works(&left);
    local_expect_works(&l); /* nothing happened to the old one */
    local_close(&l);
    local_expect_works(&left);
    local_close(&left);
}

Test(comm_shrink, of_a_broken_communicator_makes_one_that_works, .timeout = 60)
{
    struct local l = local_open(3, 0);
    whorl_comm_abort(l.ranks[1]);
    whorl_comm_t out[3];
    shrink(&l, NULL, 0, out);
    struct local left = {.n = 3, .ranks = {out[0], out[1], out[2]}};
    local_expect_works(&left);
    local_close(&l);
    local_close(&left);
}

Test(comm_shrink, to_one_rank_works, .timeout = 60)
{
    struct local l = local_open(2, 0);
    const int excluded[] = {0};
    whorl_comm_t out[2];
    shrink(&l, excluded, 1, out);
    struct local left = {.n = 1, .ranks = {out[1]}};
    local_expect_works(&left);
    local_close(&left);
    struct local single = local_open(1, 0);
    shrink(&single, NULL, 0, out);
    left.ranks[0] = out[0];
    local_expect_works(&left);
    local_close(&left);
    local_close(&single);
    local_close(&l);
}

Test(comm_shrink, what_waits_in_streams_of_a_broken_communicator_ends_first, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_stream_t stream;
    int32_t value = 1;
    cr_assert_eq(whorl_stream_create(&stream), WHORL_OK);
    for (int i = 0; i < 3; i++) {
        cr_expect_eq(whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, l.ranks[0],
                                      stream),
                     WHORL_OK);
    }
    whorl_comm_abort(l.ranks[1]);
    whorl_comm_t out[2];
    shrink(&l, NULL, 0, out);
    whorl_result_t rc = whorl_stream_query(stream);
    cr_expect_eq(rc, WHORL_E_PEER, "%d", rc);
    struct local left = {.n = 2, .ranks = {out[0], out[1]}};
    local_expect_works(&left);
    whorl_stream_destroy(stream);
    local_close(&left);
    local_close(&l);
}
