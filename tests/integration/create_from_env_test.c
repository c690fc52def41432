/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators made from what launchers put into the environment. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NVARS_MAX = 8 };

/* Variables of one launcher. %r is the rank, %n the number of ranks, %p a free port; one without a
 * value is taken away. */
struct launcher {
    const char *name;
    const char *vars[NVARS_MAX];
};

struct launch {
    const struct launcher *launcher;
    int port;
};

static void set_var(const char *var, int rank, int nranks, int port)
{
    char text[256];
    size_t used = 0;
    for (const char *p = var; *p != '\0' && used + 12 < sizeof(text); p++) {
        if (*p != '%') {
            text[used++] = *p;
            continue;
        }
        p++;
        int number = *p == 'r' ? rank : *p == 'n' ? nranks : port;
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%d", number);
    }
    text[used] = '\0';
    char *value = strchr(text, '=');
    if (value == NULL) {
        unsetenv(text);
        return;
    }
    *value++ = '\0';
    setenv(text, value, 1);
}

static void set_vars(struct rank *rank)
{
    const struct launch *launch = rank->arg;
    for (int i = 0; i < NVARS_MAX && launch->launcher->vars[i] != NULL; i++) {
        set_var(launch->launcher->vars[i], rank->rank, rank->nranks, launch->port);
    }
}

static void join_from_env(struct rank *rank)
{
    set_vars(rank);
    rank_at(rank, "joins from the environment");
    RANK_OK(rank, whorl_comm_create_from_env(NULL, &rank->comm));
    int me = -1, n = -1;
    RANK_OK(rank, whorl_comm_rank(rank->comm, &me));
    RANK_OK(rank, whorl_comm_size(rank->comm, &n));
    RANK_CHECK(rank, me == rank->rank && n == rank->nranks, "rank %d of %d", me, n);
    struct coll_case c = {
        .kind = CASE_ALL_REDUCE, .count = 100, .dtype = WHORL_FLOAT32, .op = WHORL_SUM, .seed = 1};
    case_do(rank, rank->comm, &c);
}

static void expect_join(int nprocesses, const struct launcher *launcher)
{
    struct launch launch = {launcher, ranks_free_port()};
    cr_log_info("%s", launcher->name);
    ranks_run(&(struct ranks_job){
        .nprocesses = nprocesses, .run = join_from_env, .arg = &launch, .no_comm = true});
}

Test(create_from_env, reads_rank_and_world_size_set_by_hand)
{
    expect_join(
        2, &(struct launcher){
               "by hand", {"RANK=%r", "WORLD_SIZE=%n", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=%p"}});
    expect_join(3, &(struct launcher){"by hand, without an address",
                                      {"RANK=%r", "WORLD_SIZE=%n", "MASTER_PORT=%p"}});
    expect_join(1, &(struct launcher){"alone", {"RANK=%r", "WORLD_SIZE=%n", "MASTER_PORT=%p"}});
}

Test(create_from_env, reads_what_torchrun_sets)
{
    expect_join(2, &(struct launcher){"torchrun",
                                      {"RANK=%r", "WORLD_SIZE=%n", "LOCAL_RANK=%r",
                                       "LOCAL_WORLD_SIZE=%n", "MASTER_ADDR=localhost",
                                       "MASTER_PORT=%p", "TORCHELASTIC_RUN_ID=none"}});
}

/* torch's own store listens at MASTER_PORT, in torchrun's agent or in the process of rank 0. */
Test(create_from_env, leaves_the_port_of_torchs_store_alone)
{
    struct launcher launcher = {
        "torch with a store",
        {"RANK=%r", "WORLD_SIZE=%n", "MASTER_ADDR=127.0.0.1", "MASTER_PORT=%p"}};
    struct launch launch = {&launcher, ranks_free_port()};
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)launch.port)};
    int store = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(store, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(store, 8), 0);
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = join_from_env, .arg = &launch, .no_comm = true});
    close(store);
}

Test(create_from_env, meets_at_the_port_that_is_set)
{
    expect_join(2, &(struct launcher){"WHORL_PORT",
                                      {"RANK=%r", "WORLD_SIZE=%n", "MASTER_ADDR=127.0.0.1",
                                       "MASTER_PORT=1", "WHORL_PORT=%p"}});
}

Test(create_from_env, reads_what_open_mpi_sets)
{
    expect_join(2, &(struct launcher){"Open MPI",
                                      {"OMPI_COMM_WORLD_RANK=%r", "OMPI_COMM_WORLD_SIZE=%n",
                                       "OMPI_COMM_WORLD_LOCAL_SIZE=%n", "PMIX_NAMESPACE=job-1",
                                       "MASTER_PORT=%p"}});
}

Test(create_from_env, reads_what_mpich_sets)
{
    expect_join(
        2, &(struct launcher){
               "MPICH", {"PMI_RANK=%r", "PMI_SIZE=%n", "MPI_LOCALNRANKS=%n", "MASTER_PORT=%p"}});
}

Test(create_from_env, reads_what_slurm_sets)
{
    expect_join(2, &(struct launcher){"Slurm",
                                      {"SLURM_PROCID=%r", "SLURM_NTASKS=%n", "SLURM_JOB_ID=17",
                                       "SLURM_STEP_NODELIST=127.0.0.[1,3]", "MASTER_PORT=%p"}});
}

Test(create_from_env, believes_its_own_variables_before_a_launchers)
{
    expect_join(2, &(struct launcher){"WHORL_*",
                                      {"WHORL_RANK=%r", "WHORL_NRANKS=%n",
                                       "WHORL_ROOT=127.0.0.1:%p", "RANK=5", "WORLD_SIZE=9",
                                       "WHORL_SECRET=not told", "MASTER_PORT=1"}});
}

/* On one host nobody listens on the wire, so no secret is asked for. */
Test(create_from_env, encrypts_on_one_host_without_being_told_a_secret)
{
    expect_join(2,
                &(struct launcher){"encrypted",
                                   {"WHORL_RANK=%r", "WHORL_NRANKS=%n", "WHORL_ROOT=127.0.0.1:%p",
                                    "WHORL_ENCRYPT=1", "WHORL_TRANSPORTS=tcp"}});
}

static void want_config_error(struct rank *rank)
{
    set_vars(rank);
    const struct launch *launch = rank->arg;
    RANK_EXPECT(rank, WHORL_E_CONFIG, whorl_comm_create_from_env(NULL, &rank->comm));
    RANK_CHECK(rank, rank->comm == NULL, "written on failure");
    /* The first variable is the wrong one: the text names it. */
    char name[64];
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(launch->launcher->vars[0], "="),
             launch->launcher->vars[0]);
    RANK_TEXT(rank, whorl_last_error(NULL), name);
}

static void expect_config_error(const struct launcher *launcher)
{
    struct launch launch = {launcher, ranks_free_port()};
    cr_log_info("%s", launcher->name);
    ranks_run(&(struct ranks_job){.run = want_config_error, .arg = &launch, .no_comm = true});
}

Test(create_from_env, names_the_variable_that_makes_no_sense)
{
    static const struct launcher wrong[] = {
        {"a rank that is no number", {"RANK=one", "WORLD_SIZE=2", "MASTER_PORT=%p"}},
        {"a rank beyond the size", {"RANK=2", "WORLD_SIZE=2", "MASTER_PORT=%p"}},
        {"a negative rank", {"OMPI_COMM_WORLD_RANK=-1", "OMPI_COMM_WORLD_SIZE=2"}},
        {"a size of zero", {"PMI_SIZE=0", "PMI_RANK=0"}},
        {"a size that is no number", {"SLURM_NTASKS=4(x2)", "SLURM_PROCID=0"}},
        {"a port beyond all", {"MASTER_PORT=99999", "RANK=0", "WORLD_SIZE=1"}},
        {"a port that is a word", {"MASTER_PORT=http", "RANK=0", "WORLD_SIZE=1"}},
        {"a root without a port", {"WHORL_ROOT=localhost", "RANK=0", "WORLD_SIZE=1"}},
        {"a knob that does not parse", {"WHORL_BUFFSIZE=much", "RANK=0", "WORLD_SIZE=1"}},
        {"encryption with a secret that can be guessed",
         {"WHORL_ENCRYPT=1", "WHORL_ROOT=192.0.2.1:%p", "RANK=1", "WORLD_SIZE=2"}},
        {"several hosts and no address",
         {"MASTER_ADDR", "OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=4",
          "OMPI_COMM_WORLD_LOCAL_SIZE=2"}},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        expect_config_error(&wrong[i]);
    }
}

static void want_hint(struct rank *rank)
{
    RANK_EXPECT(rank, WHORL_E_CONFIG, whorl_comm_create_from_env(NULL, &rank->comm));
    RANK_TEXT(rank, whorl_last_error(NULL), "RANK");
    RANK_TEXT(rank, whorl_last_error(NULL), "WORLD_SIZE");
}

Test(create_from_env, says_what_to_set_where_no_launcher_is)
{
    static const char *const names[] = {
        "WHORL_RANK",   "RANK",      "OMPI_COMM_WORLD_RANK", "PMI_RANK", "MV2_COMM_WORLD_RANK",
        "SLURM_PROCID", "WORLD_SIZE"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        unsetenv(names[i]);
    }
    ranks_run(&(struct ranks_job){.run = want_hint, .no_comm = true});
}

/* A rank with another secret is a stranger. */
static void bring_secret(struct rank *rank)
{
    set_vars(rank);
    setenv("WHORL_SECRET", rank->rank == 1 ? "guess" : "right", 1);
    whorl_result_t rc = whorl_comm_create_from_env(NULL, &rank->comm);
    if (rank->rank == 1) {
        RANK_CHECK(rank, rc == WHORL_E_TRUST, "%d: %s", rc, whorl_last_error(NULL));
    } else {
        RANK_CHECK(rank, rc == WHORL_E_TIMEOUT, "%d: %s", rc, whorl_last_error(NULL));
        RANK_TEXT(rank, whorl_last_error(NULL), "missing: 1");
    }
}

Test(create_from_env, lets_no_rank_in_that_has_another_secret)
{
    struct launcher launcher = {
        "two secrets", {"RANK=%r", "WORLD_SIZE=%n", "MASTER_PORT=%p", "WHORL_INIT_TIMEOUT=2s"}};
    struct launch launch = {&launcher, ranks_free_port()};
    ranks_run(
        &(struct ranks_job){.nprocesses = 2, .run = bring_secret, .arg = &launch, .no_comm = true});
}
