/* SPDX-License-Identifier: Apache-2.0 */
/* How communicators come to be and end: all ranks or none, with the settings asked for. */
#include "base/log.h"
#include "local.h"

#include <stdlib.h>

Test(comm_create, every_rank_knows_itself_and_all_others, .timeout = 60)
{
    struct local l = local_open(5, 1234);
    for (int r = 0; r < 5; r++) {
        const struct whorl_comm *comm = l.ranks[r];
        cr_expect_eq(comm->rank, (uint32_t)r);
        cr_expect_eq(comm->nranks, 5);
        cr_expect_str_eq(comm->name, "local");
        cr_expect_eq(comm->timeout_ms, 1234);
        cr_expect_eq(comm->init_timeout_ms, 60000);
        for (int peer = 0; peer < 5; peer++) {
            cr_expect_eq(comm->members[peer].pid, comm->members[r].pid);
            cr_expect_eq(comm->members[peer].process_key, comm->members[r].process_key);
            cr_expect_str_eq(comm->members[peer].host, wh_host_name());
        }
        cr_expect_eq(comm->fabric.ranks_per_core, l.ranks[0]->fabric.ranks_per_core);
        cr_expect_eq(comm->slot_nbytes % 64, 0);
    }
    local_expect_works(&l);
    local_close(&l);
}

Test(comm_create, a_rank_alone_is_a_communicator, .timeout = 60)
{
    struct local l = local_open(1, 0);
    local_expect_works(&l);
    cr_expect_eq(whorl_barrier(l.ranks[0], NULL), WHORL_OK);
    local_close(&l);
}

Test(comm_create, ranks_may_leave_in_any_order, .timeout = 60)
{
    struct local l = local_open(4, 0);
    local_expect_works(&l);
    static const int order[] = {2, 0, 3, 1};
    for (int i = 0; i < 4; i++) {
        cr_expect_eq(whorl_comm_destroy(l.ranks[order[i]]), WHORL_OK);
    }
}

Test(comm_create, who_calls_after_a_rank_has_left_is_told_who_left, .timeout = 60)
{
    struct local l = local_open(2, 0);
    cr_expect_eq(whorl_comm_destroy(l.ranks[1]), WHORL_OK);
    cr_expect_eq(whorl_barrier(l.ranks[0], NULL), WHORL_E_PEER);
    local_expect_error(l.ranks[0], "rank 1");
    cr_expect_eq(whorl_comm_destroy(l.ranks[0]), WHORL_OK);
}

Test(comm_create, ranks_that_do_not_come_are_named, .timeout = 60)
{
    whorl_id_t id;
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.init_timeout_ms = 200;
    whorl_comm_t comm = NULL;
    cr_assert_eq(whorl_id_create(&id), WHORL_OK);
    cr_expect_eq(whorl_comm_create(3, 1, &id, &options, &comm), WHORL_E_TIMEOUT);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "0, 2"), "%s", whorl_last_error(NULL));
    cr_expect_null(comm);
}

Test(comm_create, settings_that_make_no_slots_are_refused, .timeout = 60)
{
    setenv("WHORL_BUFFSIZE", "4096", 1);
    setenv("WHORL_SLOTS", "64", 1);
    whorl_comm_t comm = NULL;
    cr_expect_eq(whorl_comm_create_local(1, NULL, &comm), WHORL_E_CONFIG);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "makes 64 slots"), "%s",
                       whorl_last_error(NULL));
    cr_expect_null(comm);
}

Test(comm_create, the_smallest_slots_work, .timeout = 60)
{
    setenv("WHORL_BUFFSIZE", "4096", 1);
    setenv("WHORL_SLOTS", "8", 1);
    struct local l = local_open(4, 0);
    cr_expect_eq(l.ranks[0]->slot_nbytes, 512);
    local_expect_works(&l);
    enum { COUNT = 5000 };
    static int32_t in[COUNT], out[4][COUNT];
    for (int i = 0; i < COUNT; i++) {
        in[i] = i;
    }
    whorl_group_start();
    for (int r = 0; r < 4; r++) {
        whorl_all_reduce(in, out[r], COUNT, WHORL_INT32, WHORL_SUM, l.ranks[r], NULL);
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK);
    for (int i = 0; i < COUNT; i++) {
        cr_assert_eq(out[3][i], 4 * i);
    }
    local_close(&l);
}

Test(comm_create, an_algorithm_that_does_not_exist_is_refused, .timeout = 60)
{
    setenv("WHORL_ALGO", "allreduce:rnig", 1);
    whorl_comm_t comms[2] = {NULL, NULL};
    cr_expect_eq(whorl_comm_create_local(2, NULL, comms), WHORL_E_CONFIG);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "rnig"));
    cr_expect_null(comms[0]);
}

Test(comm_create, an_algorithm_that_is_asked_for_is_taken, .timeout = 60)
{
    setenv("WHORL_ALGO", "allreduce:halving", 1);
    struct local l = local_open(4, 0);
    local_expect_works(&l);
    cr_assert_eq(l.ranks[0]->plans.nrows, 1);
    cr_expect_str_eq(l.ranks[0]->plans.rows[0]->algo->name, "halving");
    local_close(&l);
}

Test(comm_create, communicators_of_one_process_do_not_mix, .timeout = 60)
{
    struct local a = local_open(3, 0), b = local_open(3, 0);
    local_expect_works(&a);
    whorl_comm_abort(a.ranks[0]);
    local_expect_works(&b);
    local_close(&a);
    local_expect_works(&b);
    local_close(&b);
}
