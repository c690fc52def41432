/* SPDX-License-Identifier: Apache-2.0 */
/* Several communicators made by one thread: all of them or none. */
#include "base/log.h"
#include "local.h"

static struct wh_comm_job job_of(const whorl_id_t *id, uint32_t rank, uint32_t nranks)
{
    return (struct wh_comm_job){
        .args = {.nranks = nranks, .rank = rank, .id = *id, .options = {.init_timeout_ms = 300}}};
}

Test(comm_jobs, jobs_of_several_communicators_may_mix, .timeout = 60)
{
    whorl_id_t a, b;
    cr_assert_eq(whorl_id_create(&a), WHORL_OK);
    cr_assert_eq(whorl_id_create(&b), WHORL_OK);
    struct wh_comm_job jobs[] = {job_of(&a, 1, 2), job_of(&b, 0, 1), job_of(&a, 0, 2)};
    for (size_t i = 0; i < 3; i++) {
        jobs[i].args.options.init_timeout_ms = 30000;
    }
    struct whorl_comm *comms[3];
    cr_assert_eq(wh_comm_run_jobs(jobs, 3, comms), WHORL_OK, "%s", wh_error_get());
    cr_expect_eq(comms[0]->rank, 1);
    cr_expect_eq(comms[1]->nranks, 1);
    cr_expect_eq(comms[2]->rank, 0);
    for (size_t i = 0; i < 3; i++) {
        wh_comm_destroy(comms[i]);
    }
}

Test(comm_jobs, one_that_fails_takes_all_with_it_and_its_text_arrives, .timeout = 60)
{
    whorl_id_t whole, half;
    cr_assert_eq(whorl_id_create(&whole), WHORL_OK);
    cr_assert_eq(whorl_id_create(&half), WHORL_OK);
    struct wh_comm_job jobs[] = {job_of(&whole, 0, 1), job_of(&half, 0, 2)};
    struct whorl_comm *comms[2] = {NULL, NULL};
    wh_error_clear();
    cr_expect_eq(wh_comm_run_jobs(jobs, 2, comms), WHORL_E_TIMEOUT);
    cr_expect_not_null(strstr(wh_error_get(), "missing"), "%s", wh_error_get());
    cr_expect_null(comms[0]);
    cr_expect_null(comms[1]);
}

Test(comm_jobs, no_jobs_are_done_at_once)
{
    struct whorl_comm *none = NULL;
    cr_expect_eq(wh_comm_run_jobs(NULL, 0, &none), WHORL_OK);
}
