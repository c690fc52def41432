/* SPDX-License-Identifier: Apache-2.0 */
/* Names, versions, error texts, and handles of reductions. */
#include "base/log.h"
#include "unit/comm/local.h"

#include <limits.h>
#include <stdlib.h>

Test(info, the_version_is_that_of_the_header)
{
    cr_expect_eq(whorl_version(), WHORL_VERSION_CODE);
}

Test(info, every_result_has_words_and_no_two_the_same)
{
    static const int codes[] = {
        WHORL_OK,       WHORL_IN_PROGRESS, WHORL_E_ARG,     WHORL_E_NOMEM,       WHORL_E_SYS,
        WHORL_E_PEER,   WHORL_E_TIMEOUT,   WHORL_E_ABORTED, WHORL_E_UNSUPPORTED, WHORL_E_MISMATCH,
        WHORL_E_CONFIG, WHORL_E_TRUST,     WHORL_E_USAGE,   WHORL_E_INTERNAL};
    const char *unknown = whorl_result_str((whorl_result_t)-1000);
    cr_expect_str_eq(unknown, "unknown result code");
    cr_expect_str_eq(whorl_result_str((whorl_result_t)2), unknown);
    cr_expect_str_eq(whorl_result_str(WHORL_OK), "success");
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        const char *text = whorl_result_str((whorl_result_t)codes[i]);
        cr_expect_str_neq(text, unknown, "%d", codes[i]);
        for (size_t j = 0; j < i; j++) {
            cr_expect_str_neq(text, whorl_result_str((whorl_result_t)codes[j]));
        }
    }
}

Test(info, types_have_sizes_and_names)
{
    cr_expect_eq(whorl_dtype_nbytes(WHORL_BFLOAT16), 2);
    cr_expect_eq(whorl_dtype_nbytes(WHORL_UINT64), 8);
    cr_expect_str_eq(whorl_dtype_str(WHORL_FLOAT8_E4M3), "float8_e4m3");
    static const int none[] = {-1, WHORL_DTYPE_COUNT, INT_MAX, INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        cr_expect_eq(whorl_dtype_nbytes((whorl_dtype_t)none[i]), 0);
        cr_expect_str_eq(whorl_dtype_str((whorl_dtype_t)none[i]), "unknown");
    }
}

Test(info, reductions_have_names)
{
    static const char *const names[] = {"sum", "prod", "max", "min", "avg"};
    for (int op = 0; op < WHORL_REDOP_COUNT; op++) {
        cr_expect_str_eq(whorl_redop_str(op), names[op]);
    }
    cr_expect_str_eq(whorl_redop_str(16), "premulsum");
    cr_expect_str_eq(whorl_redop_str(79), "premulsum");
    cr_expect_str_eq(whorl_redop_str(80), "user");
    cr_expect_str_eq(whorl_redop_str(143), "user");
    static const int none[] = {-1, WHORL_REDOP_COUNT, 15, 144, INT_MAX, INT_MIN};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        cr_expect_str_eq(whorl_redop_str(none[i]), "unknown");
    }
}

Test(info, the_last_error_of_a_thread_outlives_its_next_failure)
{
    cr_expect_str_eq(whorl_last_error(NULL), "no error");
    whorl_id_create(NULL);
    const char *text = whorl_last_error(NULL);
    cr_expect_str_eq(text, "whorl_id_create: id_out is NULL");
    whorl_stream_create(NULL);
    cr_expect_str_eq(text, "whorl_id_create: id_out is NULL");
    cr_expect_str_eq(whorl_last_error(NULL), "whorl_stream_create: stream_out is NULL");
}

Test(info, a_communicator_has_a_last_error_of_its_own, .timeout = 60)
{
    struct local l = local_open(2, 0);
    cr_expect_str_eq(whorl_last_error(l.ranks[0]), "no error");
    cr_expect_eq(whorl_send(NULL, 1, WHORL_INT8, 1, l.ranks[0], NULL), WHORL_E_ARG);
    whorl_id_create(NULL);
    cr_expect_str_eq(whorl_last_error(l.ranks[0]), "whorl_send: sendbuf is NULL");
    cr_expect_str_eq(whorl_last_error(l.ranks[1]), "no error");

    /* What broke it is what counts from then on. */
    whorl_comm_abort(l.ranks[0]);
    cr_expect_eq(whorl_send(NULL, 1, WHORL_INT8, 1, l.ranks[0], NULL), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "aborted the communicator");
    local_close(&l);
}

Test(info, a_premultiplied_sum_is_what_it_says, .timeout = 60)
{
    struct local l = local_open(3, 0);
    float in = 10, out[3];
    whorl_redop_t ops[3];
    for (int r = 0; r < 3; r++) {
        float scalar = (float)(r + 1) / 2;
        cr_assert_eq(whorl_redop_create_premul_sum(&scalar, WHORL_FLOAT32, l.ranks[r], &ops[r]),
                     WHORL_OK);
        scalar = 1000; /* was read before the call returned */
    }
    whorl_group_start();
    for (int r = 0; r < 3; r++) {
        whorl_all_reduce(&in, &out[r], 1, WHORL_FLOAT32, ops[r], l.ranks[r], NULL);
        cr_expect_eq(whorl_redop_destroy(ops[r], l.ranks[r]), WHORL_OK, "what is collected has it");
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK);
    cr_expect_eq(out[2], 30);
    cr_expect_eq(whorl_all_reduce(&in, out, 1, WHORL_FLOAT32, ops[0], l.ranks[0], NULL),
                 WHORL_E_ARG);
    local_close(&l);
}

Test(info, handles_are_64_and_come_back, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int8_t scalar = 3;
    whorl_redop_t ops[64], more = -7;
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], &ops[i]),
                     WHORL_OK);
        cr_expect_geq(ops[i], WHORL_REDOP_COUNT);
    }
    cr_expect_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], &more),
                 WHORL_E_NOMEM);
    cr_expect_eq(more, -7);
    local_expect_error(l.ranks[0], "has 64 handles already");
    cr_expect_eq(whorl_redop_destroy(ops[40], l.ranks[0]), WHORL_OK);
    cr_expect_eq(whorl_redop_destroy(ops[40], l.ranks[0]), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "is no handle of this communicator");
    cr_expect_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], &more), WHORL_OK);
    cr_expect_eq(more, ops[40]);
    local_close(&l);
}

static void take_right(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)ctx;
    memcpy(inout, in, count * whorl_dtype_nbytes(dtype));
}

Test(info, a_function_of_the_users_becomes_a_handle_of_its_kind, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int8_t scalar = 3;
    whorl_redop_t user = -7, premul;
    cr_assert_eq(whorl_redop_create_user(take_right, &l, l.ranks[0], &user), WHORL_OK);
    cr_expect_eq(l.ranks[0]->redops[0].user.fn, take_right);
    cr_expect_eq(l.ranks[0]->redops[0].user.ctx, &l);
    cr_expect_str_eq(whorl_redop_str(user), "user");
    cr_expect_eq(whorl_redop_destroy(user, l.ranks[0]), WHORL_OK);
    cr_expect_eq(whorl_redop_destroy(user, l.ranks[0]), WHORL_E_ARG);

    /* The handle stays dead when another kind takes its place. */
    cr_assert_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], &premul), WHORL_OK);
    cr_expect_neq(premul, user);
    cr_expect_eq(whorl_redop_destroy(user, l.ranks[0]), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_destroy(premul, l.ranks[0]), WHORL_OK);
    local_close(&l);
}

Test(info, functions_and_scalars_share_the_64_handles, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int8_t scalar = 3;
    whorl_redop_t op, more = -7;
    for (int i = 0; i < 32; i++) {
        cr_assert_eq(whorl_redop_create_user(take_right, NULL, l.ranks[0], &op), WHORL_OK);
        cr_assert_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], &op), WHORL_OK);
    }
    cr_expect_eq(whorl_redop_create_user(take_right, NULL, l.ranks[0], &more), WHORL_E_NOMEM);
    cr_expect_eq(more, -7);
    local_expect_error(l.ranks[0], "whorl_redop_create_user: the communicator has 64 handles");
    local_close(&l);
}

Test(info, what_is_no_handle_is_refused, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int8_t scalar = 3;
    whorl_redop_t op = -7;
    static const int none[] = {INT_MIN, -1, WHORL_SUM, WHORL_AVG, 15,     16,
                               79,      80, 143,       144,       INT_MAX};
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        cr_expect_eq(whorl_redop_destroy(none[i], l.ranks[0]), WHORL_E_ARG, "%d", none[i]);
    }
    cr_expect_eq(whorl_redop_destroy(16, NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_premul_sum(NULL, WHORL_INT8, l.ranks[0], &op), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, NULL, &op), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_premul_sum(&scalar, WHORL_INT8, l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_premul_sum(&scalar, WHORL_DTYPE_COUNT, l.ranks[0], &op),
                 WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_user(NULL, &l, l.ranks[0], &op), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_user(take_right, &l, NULL, &op), WHORL_E_ARG);
    cr_expect_eq(whorl_redop_create_user(take_right, &l, l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(op, -7);
    local_close(&l);
}
