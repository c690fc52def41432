/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks of one host, and hosts, have in common; in processes of network namespaces. */
#include "comm/comm.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* ---- one host ------------------------------------------------------------------------------- */

static void has_an_arena(struct rank *rank)
{
    const struct whorl_comm *comm = rank->comm;
    RANK_CHECK(rank, comm->hosts->nhosts == 1, "%u hosts", comm->hosts->nhosts);
    RANK_CHECK(rank, comm->hosts->nlocal_max == 3, "of %u ranks", comm->hosts->nlocal_max);
    RANK_CHECK(rank, comm->arena != NULL && comm->hier == NULL, "one host is not put together");
}

Test(comm_hosts, one_host_has_an_arena_and_nothing_else)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = has_an_arena});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = has_an_arena});
}

static void has_no_arena(struct rank *rank)
{
    const struct whorl_comm *comm = rank->comm;
    RANK_CHECK(rank, comm->arena == NULL && comm->hier == NULL, "it has an arena");
    int32_t one = 1, sum = 0;
    RANK_OK(rank, whorl_all_reduce(&one, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_CHECK(rank, sum == rank->nranks, "%d", sum);
}

Test(comm_hosts, settings_can_leave_the_arena_out)
{
    static const char *const env[] = {"WHORL_ALGO=^arena", NULL};
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = has_no_arena, .env = env});
    ranks_run(&(struct ranks_job){.nthreads = 2, .run = has_no_arena, .env = env});
}

/* ---- several hosts -------------------------------------------------------------------------- */

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(3, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(comm_hosts_several, .init = make_hosts, .fini = remove_hosts);

struct want {
    uint32_t nhosts, nrails, nlocal_max;
    bool has_hier;
};

static void check_hosts(struct rank *rank)
{
    const struct want *want = rank->arg;
    const struct whorl_comm *comm = rank->comm;
    const struct wh_hosts *h = comm->hosts;
    RANK_CHECK(rank, h->nhosts == want->nhosts, "%u hosts", h->nhosts);
    RANK_CHECK(rank, h->nrails == want->nrails, "%u rails", h->nrails);
    RANK_CHECK(rank, h->nlocal_max == want->nlocal_max, "up to %u ranks", h->nlocal_max);
    for (int r = 0; r < rank->nranks; r++) {
        bool is_here = hosts_of_rank(rank, r) == hosts_of_rank(rank, rank->rank);
        RANK_CHECK(rank, (h->host[r] == h->host[rank->rank]) == is_here, "where is rank %d?", r);
    }
    bool has_others = wh_hosts_nlocal(h, h->host[rank->rank]) > 1;
    RANK_CHECK(rank, (comm->arena != NULL) == (has_others && want->has_hier), "arena %p",
               (void *)comm->arena);
    RANK_CHECK(rank, (comm->hier != NULL) == want->has_hier, "hier %p", (void *)comm->hier);
}

static void run_on(const int *nprocesses, const struct want *want)
{
    struct hosts_job job = {.job = {.run = check_hosts, .arg = want}, .hosts = hosts};
    memcpy(job.nprocesses, nprocesses, 3 * sizeof(*nprocesses));
    hosts_run(&job);
}

Test(comm_hosts_several, all_ranks_know_who_is_where)
{
    run_on((int[]){3, 1, 2}, &(struct want){3, 1, 3, true});
    run_on((int[]){2, 2, 0}, &(struct want){2, 2, 2, true});
    run_on((int[]){1, 1, 1}, &(struct want){3, 1, 1, false});
}

/* One host is kept from having an arena: then nobody has one. */
static void fail_on_one_host(struct rank *rank)
{
    if (hosts_of_rank(rank, rank->rank) == 1) {
        setenv("WHORL_SHM_DISABLE", "1", 1);
    }
    rank_create_comm(rank);
    check_hosts(rank);
}

Test(comm_hosts_several, have_all_arenas_or_none)
{
    const struct want want = {2, 2, 2, false};
    hosts_run(&(struct hosts_job){.job = {.run = fail_on_one_host, .arg = &want, .no_comm = true},
                                  .hosts = hosts,
                                  .nprocesses = {2, 2}});
}

/* ---- what is chosen ------------------------------------------------------------------------- */

struct choice {
    const char *few, *many; /* by what an all_reduce of few and of many bytes is done; NULL: any */
};

static void check_choice(struct rank *rank)
{
    enum { MANY = 1 << 20 };
    const struct choice *choice = rank->arg;
    const struct whorl_comm *comm = rank->comm;
    float *x = calloc(MANY, sizeof(*x));
    RANK_CHECK(rank, x != NULL, "no memory");
    RANK_OK(rank, whorl_all_reduce(x, x, 2, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
    const char *few = wh_hier_algo(comm->hier);
    RANK_CHECK(rank, strcmp(few, choice->few) == 0, "few bytes by %s", few);
    RANK_OK(rank, whorl_all_reduce(x, x, MANY, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
    const char *many = wh_hier_algo(comm->hier);
    bool is_right = choice->many == NULL || strcmp(many, choice->many) == 0;
    RANK_CHECK(rank, is_right, "many bytes by %s", many);
    free(x);
}

static void choose(const char *algo, const struct choice *choice)
{
    const char *const env[] = {algo, NULL};
    hosts_run(&(struct hosts_job){.job = {.run = check_choice, .arg = choice, .env = env},
                                  .hosts = hosts,
                                  .nprocesses = {2, 2}});
}

Test(comm_hosts_several, the_user_may_choose_how_they_are_put_together)
{
    choose("WHORL_ALGO=", &(struct choice){"leader", NULL});
    choose("WHORL_ALGO=leader", &(struct choice){"leader", "leader"});
    choose("WHORL_ALGO=rails", &(struct choice){"rails", "rails"});
    choose("WHORL_ALGO=^rails", &(struct choice){"leader", NULL});
    choose("WHORL_ALGO=allreduce:ring", &(struct choice){"ring", "ring"});
    choose("WHORL_ALGO=allreduce:ring,rails", &(struct choice){"rails", "rails"});
}
