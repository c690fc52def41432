/* SPDX-License-Identifier: Apache-2.0 */
/* Groups over several streams are one piece of work in all of them. */
#include "comm/batch.h"
#include "local.h"

#include <criterion/criterion.h>
#include <stdlib.h>

enum { NSTREAMS = 2, BIG_NELEMS = 1 << 20 }; /* 4 MiB: more than a link holds */

static void open_streams(whorl_stream_t streams[NSTREAMS])
{
    for (int i = 0; i < NSTREAMS; i++) {
        cr_assert_eq(whorl_stream_create(&streams[i]), WHORL_OK);
    }
}

static void close_streams(whorl_stream_t streams[NSTREAMS])
{
    for (int i = 0; i < NSTREAMS; i++) {
        cr_expect_eq(whorl_stream_synchronize(streams[i]), WHORL_OK, "%s", whorl_last_error(NULL));
        cr_expect_eq(whorl_stream_destroy(streams[i]), WHORL_OK);
    }
}

Test(submit, messages_that_wait_for_one_another_may_be_on_two_streams, .timeout = 60)
{
    struct local l = local_open(2, 30000);
    whorl_stream_t streams[2][NSTREAMS];
    int32_t *in[2], *out[2];
    for (int r = 0; r < 2; r++) {
        open_streams(streams[r]);
        in[r] = malloc(BIG_NELEMS * sizeof(int32_t));
        out[r] = calloc(BIG_NELEMS, sizeof(int32_t));
        for (int i = 0; i < BIG_NELEMS; i++) {
            in[r][i] = i + r;
        }
    }
    for (int r = 0; r < 2; r++) {
        cr_assert_eq(whorl_group_start(), WHORL_OK);
        cr_assert_eq(whorl_send(in[r], BIG_NELEMS, WHORL_INT32, 1 - r, l.ranks[r], streams[r][0]),
                     WHORL_OK);
        cr_assert_eq(whorl_recv(out[r], BIG_NELEMS, WHORL_INT32, 1 - r, l.ranks[r], streams[r][1]),
                     WHORL_OK);
        cr_assert_eq(whorl_group_end(), WHORL_OK);
    }
    for (int r = 0; r < 2; r++) {
        close_streams(streams[r]);
        cr_expect_eq(memcmp(out[r], in[1 - r], BIG_NELEMS * sizeof(int32_t)), 0);
    }
    for (int r = 0; r < 2; r++) {
        free(in[r]);
        free(out[r]);
    }
    local_close(&l);
}

Test(submit, a_group_with_and_without_streams_keeps_the_order_of_its_calls, .timeout = 60)
{
    struct local l = local_open(2, 30000);
    whorl_stream_t streams[NSTREAMS];
    open_streams(streams);
    int32_t x[2] = {1, 2};
    /* Doubles its sum three times, each call on the result of the one before. */
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    for (int r = 0; r < 2; r++) {
        whorl_stream_t queues[3] = {streams[0], NULL, streams[1]};
        for (int i = 0; i < 3; i++) {
            cr_assert_eq(
                whorl_all_reduce(&x[r], &x[r], 1, WHORL_INT32, WHORL_SUM, l.ranks[r], queues[i]),
                WHORL_OK);
        }
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    cr_expect_eq(x[0], 12);
    cr_expect_eq(x[1], 12);
    close_streams(streams);
    local_close(&l);
}

Test(submit, every_stream_of_a_group_reports_its_failure, .timeout = 60)
{
    struct local l = local_open(2, 30000);
    whorl_stream_t streams[NSTREAMS];
    open_streams(streams);
    int32_t x = 1, y = 1;
    cr_assert_eq(whorl_comm_abort(l.ranks[1]), WHORL_OK);
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    whorl_result_t first =
        whorl_all_reduce(&x, &x, 1, WHORL_INT32, WHORL_SUM, l.ranks[0], streams[0]);
    whorl_result_t second =
        whorl_all_reduce(&y, &y, 1, WHORL_INT32, WHORL_SUM, l.ranks[0], streams[1]);
    whorl_result_t ended = whorl_group_end();
    /* The abort may reach rank 0 before its calls, or while they wait. */
    if (first == WHORL_OK && second == WHORL_OK) {
        cr_assert_eq(ended, WHORL_OK);
        for (int i = 0; i < NSTREAMS; i++) {
            cr_expect_eq(whorl_stream_synchronize(streams[i]), WHORL_E_PEER);
            cr_expect_not_null(strstr(whorl_last_error(NULL), "aborted"), "%s",
                               whorl_last_error(NULL));
        }
    } else {
        cr_expect_eq(ended, WHORL_E_PEER);
    }
    close_streams(streams);
    local_close(&l);
}
