/* SPDX-License-Identifier: Apache-2.0 */
/* The life of communicators as users see it: what is refused, and what each small call answers. */
#include "base/log.h"
#include "unit/comm/local.h"

#include <limits.h>
#include <stdlib.h>

static void expect_last(const char *part)
{
    cr_expect_not_null(strstr(whorl_last_error(NULL), part), "\"%s\" has no \"%s\"",
                       whorl_last_error(NULL), part);
}

Test(comm, creation_refuses_what_makes_no_sense)
{
    whorl_id_t id, junk;
    whorl_comm_t comm = NULL;
    whorl_options_t bad_options = {0};
    memset(&junk, 0x5a, sizeof(junk));
    cr_expect_eq(whorl_id_create(NULL), WHORL_E_ARG);
    cr_assert_eq(whorl_id_create(&id), WHORL_OK);
    cr_expect_eq(whorl_comm_create(0, 0, &id, NULL, &comm), WHORL_E_ARG);
    expect_last("whorl_comm_create: nranks is 0");
    cr_expect_eq(whorl_comm_create(2, 2, &id, NULL, &comm), WHORL_E_ARG);
    expect_last("rank is 2; it must be 0 to 1");
    cr_expect_eq(whorl_comm_create(1, 0, NULL, NULL, &comm), WHORL_E_ARG);
    expect_last("id is NULL");
    cr_expect_eq(whorl_comm_create(1, 0, &id, NULL, NULL), WHORL_E_ARG);
    expect_last("comm_out is NULL");
    cr_expect_eq(whorl_comm_create(1, 0, &junk, NULL, &comm), WHORL_E_ARG);
    expect_last("id was not made by whorl_id_create");
    cr_expect_eq(whorl_comm_create(1, 0, &id, &bad_options, &comm), WHORL_E_ARG);
    expect_last("struct_nbytes is 0");
    for (size_t i = 0; i < sizeof(id.bytes); i += 5) {
        junk = id;
        junk.bytes[i] ^= 1;
        cr_expect_eq(whorl_comm_create(1, 0, &junk, NULL, &comm), WHORL_E_ARG, "byte %zu", i);
    }
    cr_expect_null(comm);
}

Test(comm, local_creation_refuses_what_makes_no_sense)
{
    whorl_comm_t comms[2] = {NULL, NULL};
    whorl_options_t bad_options = {0};
    cr_expect_eq(whorl_comm_create_local(0, NULL, comms), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_create_local(INT_MIN, NULL, comms), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_create_local(2, NULL, NULL), WHORL_E_ARG);
    expect_last("comms_out is NULL");
    cr_expect_eq(whorl_comm_create_local(2, &bad_options, comms), WHORL_E_ARG);
    cr_expect_null(comms[0]);
}

Test(comm, a_launcher_makes_a_communicator, .timeout = 60)
{
    whorl_comm_t comm = NULL;
    cr_expect_eq(whorl_comm_create_from_env(NULL, NULL), WHORL_E_ARG);
    setenv("WHORL_RANK", "0", 1);
    setenv("WHORL_NRANKS", "1", 1);
    setenv("MASTER_PORT", "29617", 1);
    setenv("WHORL_SECRET", "between us", 1);
    cr_assert_eq(whorl_comm_create_from_env(NULL, &comm), WHORL_OK, "%s", whorl_last_error(NULL));
    int nranks = 0;
    cr_expect_eq(whorl_comm_size(comm, &nranks), WHORL_OK);
    uint64_t nbytes = 0;
    cr_expect_eq(whorl_comm_memory(comm, &nbytes), WHORL_OK);
    cr_expect_gt(nbytes, 0);
    cr_expect_eq(nranks, 1);
    cr_expect_eq(whorl_barrier(comm, NULL), WHORL_OK);
    whorl_comm_destroy(comm);
}

Test(comm, an_id_is_made_where_the_user_says, .timeout = 60)
{
    setenv("WHORL_ROOT", "127.0.0.1:29618", 1);
    whorl_id_t first, second;
    cr_assert_eq(whorl_id_create(&first), WHORL_OK, "%s", whorl_last_error(NULL));
    /* The port is taken now, which shows that it is the one. */
    cr_expect_eq(whorl_id_create(&second), WHORL_E_SYS);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "29618"), "%s", whorl_last_error(NULL));
    whorl_comm_t comm;
    cr_assert_eq(whorl_comm_create(1, 0, &first, NULL, &comm), WHORL_OK);
    cr_expect_eq(whorl_comm_destroy(comm), WHORL_OK);
}

Test(comm, without_a_launcher_there_is_none)
{
    static const char *const names[] = {"WHORL_RANK",           "RANK",
                                        "OMPI_COMM_WORLD_RANK", "PMI_RANK",
                                        "MV2_COMM_WORLD_RANK",  "SLURM_PROCID"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        unsetenv(names[i]);
    }
    whorl_comm_t comm = NULL;
    cr_expect_eq(whorl_comm_create_from_env(NULL, &comm), WHORL_E_CONFIG);
    expect_last("set RANK and WORLD_SIZE");
    cr_expect_null(comm);
}

Test(comm, small_questions_get_answers, .timeout = 60)
{
    struct local l = local_open(3, 0);
    for (int r = 0; r < 3; r++) {
        int rank = -1, nranks = -1;
        whorl_result_t error = WHORL_E_SYS;
        cr_expect_eq(whorl_comm_rank(l.ranks[r], &rank), WHORL_OK);
        cr_expect_eq(whorl_comm_size(l.ranks[r], &nranks), WHORL_OK);
        cr_expect_eq(whorl_comm_async_error(l.ranks[r], &error), WHORL_OK);
        cr_expect_eq(rank, r);
        cr_expect_eq(nranks, 3);
        cr_expect_eq(error, WHORL_OK);
    }
    int n = 0;
    whorl_result_t error;
    cr_expect_eq(whorl_comm_rank(NULL, &n), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_rank(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_size(NULL, &n), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_size(l.ranks[0], NULL), WHORL_E_ARG);
    uint64_t nbytes;
    cr_expect_eq(whorl_comm_sent(NULL, &nbytes), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_sent(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_sent(l.ranks[0], &nbytes), WHORL_OK);
    cr_expect_eq(nbytes, 0, "all on one host");
    cr_expect_eq(whorl_comm_memory(NULL, &nbytes), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_memory(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_async_error(NULL, &error), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_async_error(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_abort(NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_finalize(NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_destroy(NULL), WHORL_OK);
    local_expect_works(&l);
    local_close(&l);
}

Test(comm, a_split_refuses_what_makes_no_sense, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_comm_t part = NULL;
    whorl_options_t bad_options = {0};
    cr_expect_eq(whorl_comm_split(NULL, 0, 0, NULL, &part), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_split(l.ranks[0], 0, 0, NULL, NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_split(l.ranks[0], -2, 0, NULL, &part), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "color is -2");
    cr_expect_eq(whorl_comm_split(l.ranks[0], 0, 0, &bad_options, &part), WHORL_E_ARG);
    cr_expect_null(part);
    local_expect_works(&l);
    local_close(&l);
}

Test(comm, a_communicator_is_not_destroyed_inside_a_group, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_group_start();
    cr_expect_eq(whorl_comm_destroy(l.ranks[0]), WHORL_E_USAGE);
    expect_last("whorl_comm_destroy");
    cr_expect_eq(whorl_group_end(), WHORL_E_USAGE);
    local_expect_works(&l);
    local_close(&l);
}

Test(comm, finalize_waits_for_streams_and_for_everyone, .timeout = 60)
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
    whorl_group_start();
    cr_expect_eq(whorl_comm_finalize(l.ranks[0]), WHORL_OK);
    cr_expect_eq(whorl_comm_finalize(l.ranks[1]), WHORL_OK);
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    cr_expect_eq(value[0], 1024);
    cr_expect_eq(value[1], 1024);
    whorl_stream_destroy(streams[0]);
    whorl_stream_destroy(streams[1]);
    local_close(&l);
}
