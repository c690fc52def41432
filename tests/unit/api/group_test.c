/* SPDX-License-Identifier: Apache-2.0 */
/* Groups: nesting, what spoils them, and communicators that are made inside. */
#include "api/group.h"
#include "base/log.h"
#include "unit/comm/local.h"

#include <pthread.h>

Test(group, an_end_without_a_start_is_refused)
{
    cr_expect_eq(whorl_group_end(), WHORL_E_USAGE);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "no group is open"));
    cr_expect_eq(whorl_group_start(), WHORL_OK);
    cr_expect(wh_group_is_open());
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    cr_expect_not(wh_group_is_open());
    cr_expect_eq(whorl_group_end(), WHORL_E_USAGE);
}

Test(group, nesting_has_a_limit_and_survives_it)
{
    int depth = 0;
    while (whorl_group_start() == WHORL_OK) {
        depth++;
    }
    cr_expect_eq(depth, 1024);
    for (int i = 0; i < depth; i++) {
        cr_expect_eq(whorl_group_end(), WHORL_OK);
    }
    cr_expect_eq(whorl_group_end(), WHORL_E_USAGE);
}

Test(group, only_the_outermost_end_starts_the_work, .timeout = 60)
{
    struct local l = local_open(2, 0);
    int32_t in = 4, out[2] = {0};
    whorl_group_start();
    whorl_group_start();
    whorl_all_reduce(&in, &out[0], 1, WHORL_INT32, WHORL_SUM, l.ranks[0], NULL);
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    cr_expect_eq(out[0], 0);
    whorl_all_reduce(&in, &out[1], 1, WHORL_INT32, WHORL_SUM, l.ranks[1], NULL);
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    cr_expect_eq(out[0], 8);
    cr_expect_eq(out[1], 8);
    local_close(&l);
}

Test(group, a_wrong_call_spoils_the_group_and_nothing_runs, .timeout = 60)
{
    struct local l = local_open(2, 0);
    int32_t in = 4, out[2] = {0};
    whorl_group_start();
    cr_expect_eq(whorl_all_reduce(&in, &out[0], 1, WHORL_INT32, WHORL_SUM, l.ranks[0], NULL),
                 WHORL_OK);
    cr_expect_eq(whorl_all_reduce(&in, &out[1], 1, WHORL_INT32, 99, l.ranks[1], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_send(NULL, 1, WHORL_INT32, 0, l.ranks[1], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_all_reduce(&in, &out[1], 1, WHORL_INT32, WHORL_SUM, l.ranks[1], NULL),
                 WHORL_OK);
    cr_expect_eq(whorl_group_end(), WHORL_E_ARG);
    cr_expect_not_null(strstr(whorl_last_error(NULL), "op is 99"), "the first error: %s",
                       whorl_last_error(NULL));
    cr_expect_eq(out[0], 0);

    /* The mistake is forgotten, and the communicators are whole. */
    local_expect_works(&l);
    local_close(&l);
}

Test(group, a_wrong_call_without_a_communicator_spoils_too)
{
    whorl_group_start();
    cr_expect_eq(whorl_barrier(NULL, NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_group_end(), WHORL_E_ARG);
    whorl_group_start();
    cr_expect_eq(whorl_group_end(), WHORL_OK);
}

Test(group, a_broken_communicator_spoils_with_its_error, .timeout = 60)
{
    struct local good = local_open(1, 0), bad = local_open(1, 0);
    int32_t in = 1, out = 0;
    whorl_comm_abort(bad.ranks[0]);
    whorl_group_start();
    whorl_all_reduce(&in, &out, 1, WHORL_INT32, WHORL_SUM, good.ranks[0], NULL);
    cr_expect_eq(whorl_barrier(bad.ranks[0], NULL), WHORL_E_ABORTED);
    cr_expect_eq(whorl_group_end(), WHORL_E_ABORTED);
    cr_expect_eq(out, 0);
    local_close(&good);
    local_close(&bad);
}

Test(group, one_thread_makes_all_ranks, .timeout = 60)
{
    struct local l = {.n = 4};
    whorl_id_t id;
    cr_assert_eq(whorl_id_create(&id), WHORL_OK);
    whorl_group_start();
    for (int r = 0; r < 4; r++) {
        cr_expect_eq(whorl_comm_create(4, r, &id, NULL, &l.ranks[r]), WHORL_OK);
        cr_expect_null(l.ranks[r], "written by the end of the group");
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    local_expect_works(&l);
    local_close(&l);
}

Test(group, names_need_not_outlive_the_call, .timeout = 60)
{
    whorl_id_t id;
    whorl_comm_t comm;
    char name[] = "transient";
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = name;
    cr_assert_eq(whorl_id_create(&id), WHORL_OK);
    whorl_group_start();
    cr_expect_eq(whorl_comm_create(1, 0, &id, &options, &comm), WHORL_OK);
    memset(name, '?', sizeof(name) - 1);
    cr_assert_eq(whorl_group_end(), WHORL_OK);
    cr_expect_str_eq(comm->name, "transient");
    whorl_comm_destroy(comm);
}

Test(group, a_spoiled_group_makes_no_communicator, .timeout = 60)
{
    whorl_id_t id;
    whorl_comm_t comm = NULL;
    cr_assert_eq(whorl_id_create(&id), WHORL_OK);
    whorl_group_start();
    cr_expect_eq(whorl_comm_create(1, 0, &id, NULL, &comm), WHORL_OK);
    cr_expect_eq(whorl_comm_create(1, 1, &id, NULL, &comm), WHORL_E_ARG);
    cr_expect_eq(whorl_group_end(), WHORL_E_ARG);
    cr_expect_null(comm);
}

Test(group, more_calls_than_it_had_room_for, .timeout = 60)
{
    struct local l = local_open(1, 0);
    int32_t in = 1, out[100] = {0};
    whorl_group_start();
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(whorl_all_reduce(&in, &out[i], 1, WHORL_INT32, WHORL_SUM, l.ranks[0], NULL),
                     WHORL_OK);
    }
    cr_expect_eq(whorl_group_end(), WHORL_OK);
    for (int i = 0; i < 100; i++) {
        cr_expect_eq(out[i], 1);
    }
    local_close(&l);
}

static void *is_open_here(void *arg)
{
    *(bool *)arg = wh_group_is_open();
    return NULL;
}

Test(group, a_group_is_of_one_thread)
{
    bool elsewhere = true;
    pthread_t thread;
    whorl_group_start();
    cr_assert_eq(pthread_create(&thread, NULL, is_open_here, &elsewhere), 0);
    pthread_join(thread, NULL);
    cr_expect_not(elsewhere);
    cr_expect_eq(whorl_group_end(), WHORL_OK);
}
