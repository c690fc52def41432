/* SPDX-License-Identifier: Apache-2.0 */
/* Streams as users see them. What a stream is in itself is in tests/unit/device/stream_test.c. */
#include "unit/comm/local.h"

Test(api_stream, nulls_are_refused_and_destroy_takes_one)
{
    cr_expect_eq(whorl_stream_create(NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_stream_query(NULL), WHORL_E_ARG);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "whorl_stream_query: stream is NULL"));
    cr_expect_eq(whorl_stream_synchronize(NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_stream_destroy(NULL), WHORL_OK);
}

Test(api_stream, a_call_on_a_stream_runs_beside_the_caller, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_stream_t stream = NULL;
    int32_t in = 3, out[2] = {0};
    cr_assert_eq(whorl_stream_create(&stream), WHORL_OK);
    cr_expect_eq(whorl_stream_query(stream), WHORL_OK);
    cr_expect_eq(whorl_all_reduce(&in, &out[0], 1, WHORL_INT32, WHORL_SUM, l.ranks[0], stream),
                 WHORL_OK);
    cr_expect_eq(whorl_stream_query(stream), WHORL_IN_PROGRESS, "the other rank has not come");
    cr_expect_eq(whorl_all_reduce(&in, &out[1], 1, WHORL_INT32, WHORL_SUM, l.ranks[1], NULL),
                 WHORL_OK);
    cr_expect_eq(whorl_stream_synchronize(stream), WHORL_OK);
    cr_expect_eq(whorl_stream_query(stream), WHORL_OK);
    cr_expect_eq(out[0], 6);
    cr_expect_eq(out[1], 6);
    cr_expect_eq(whorl_stream_destroy(stream), WHORL_OK);
    local_close(&l);
}

Test(api_stream, arguments_are_checked_before_anything_is_queued, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_stream_t stream = NULL;
    cr_assert_eq(whorl_stream_create(&stream), WHORL_OK);
    cr_expect_eq(whorl_send(NULL, 1, WHORL_INT8, 0, l.ranks[0], stream), WHORL_E_ARG);
    cr_expect_eq(whorl_stream_synchronize(stream), WHORL_OK);
    whorl_stream_destroy(stream);
    local_close(&l);
}
