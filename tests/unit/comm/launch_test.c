/* SPDX-License-Identifier: Apache-2.0 */
/* Launchers' variables, from tables: who this is, where the ranks meet, and what makes no sense. */
#include "base/log.h"
#include "comm/comm.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARS_MAX = 10 };

static const char *const *vars; /* name, value, name, value, ..., NULL */

static const char *lookup(const char *name)
{
    for (size_t i = 0; vars[i] != NULL; i += 2) {
        if (strcmp(vars[i], name) == 0) {
            return vars[i + 1];
        }
    }
    return NULL;
}

static whorl_result_t read_launch(const char *const *table, const char *root, const char *secret,
                                  struct wh_launch *launch)
{
    const struct wh_config config = {.root = root, .secret = secret};
    vars = table;
    return wh_launch_read(lookup, &config, launch);
}

struct row {
    const char *vars[2 * VARS_MAX + 1];
    uint32_t rank, nranks;
    const char *root;
};

static void expect_rows(const struct row *rows, size_t nrows)
{
    for (size_t i = 0; i < nrows; i++) {
        struct wh_launch launch;
        whorl_result_t rc = read_launch(rows[i].vars, "", "", &launch);
        cr_assert_eq(rc, WHORL_OK, "row %zu: %s", i, wh_error_get());
        cr_expect_eq(launch.rank, rows[i].rank, "row %zu", i);
        cr_expect_eq(launch.nranks, rows[i].nranks, "row %zu", i);
        cr_expect_str_eq(launch.root, rows[i].root, "row %zu", i);
    }
}

Test(launch, every_launcher_is_understood)
{
    static const struct row rows[] = {
        {{"WHORL_RANK", "1", "WHORL_NRANKS", "2"}, 1, 2, "127.0.0.1:29555"},
        {{"RANK", "0", "WORLD_SIZE", "1"}, 0, 1, "127.0.0.1:29555"},
        {{"RANK", "3", "WORLD_SIZE", "8", "MASTER_ADDR", "node7", "MASTER_PORT", "29500"},
         3,
         8,
         "node7:29501"},
        {{"RANK", "3", "WORLD_SIZE", "8", "LOCAL_WORLD_SIZE", "8"}, 3, 8, "127.0.0.1:29555"},
        {{"OMPI_COMM_WORLD_RANK", "2", "OMPI_COMM_WORLD_SIZE", "4", "OMPI_COMM_WORLD_LOCAL_SIZE",
          "4"},
         2,
         4,
         "127.0.0.1:29555"},
        {{"PMI_RANK", "5", "PMI_SIZE", "6", "MPI_LOCALNRANKS", "6"}, 5, 6, "127.0.0.1:29555"},
        {{"PMI_RANK", "5", "PMI_SIZE", "6", "PMI_LOCAL_SIZE", "6"}, 5, 6, "127.0.0.1:29555"},
        {{"MV2_COMM_WORLD_RANK", "0", "MV2_COMM_WORLD_SIZE", "2", "MV2_COMM_WORLD_LOCAL_SIZE", "2"},
         0,
         2,
         "127.0.0.1:29555"},
        {{"SLURM_PROCID", "9", "SLURM_STEP_NUM_TASKS", "16", "SLURM_STEP_NODELIST", "n[3-4]"},
         9,
         16,
         "n3:29555"},
        {{"SLURM_PROCID", "9", "SLURM_NTASKS", "16", "SLURM_STEP_ID", "0", "SLURM_NODELIST",
          "n[3-4]"},
         9,
         16,
         "n3:29555"},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

Test(launch, the_first_launcher_that_is_complete_is_believed)
{
    static const struct row rows[] = {
        /* Ranks that torchrun starts in a Slurm job. */
        {{"SLURM_PROCID", "0", "SLURM_NTASKS", "2", "RANK", "5", "WORLD_SIZE", "8", "MASTER_ADDR",
          "a"},
         5,
         8,
         "a:29555"},
        {{"WHORL_RANK", "1", "WHORL_NRANKS", "3", "RANK", "5", "WORLD_SIZE", "8"},
         1,
         3,
         "127.0.0.1:29555"},
        /* A RANK that means nothing. */
        {{"RANK", "7", "PMI_RANK", "1", "PMI_SIZE", "2", "MPI_LOCALNRANKS", "2"},
         1,
         2,
         "127.0.0.1:29555"},
        {{"RANK", "", "WORLD_SIZE", "", "PMI_RANK", "1", "PMI_SIZE", "2", "MPI_LOCALNRANKS", "2"},
         1,
         2,
         "127.0.0.1:29555"},
        /* A step has fewer tasks than its job. */
        {{"SLURM_PROCID", "1", "SLURM_STEP_NUM_TASKS", "2", "SLURM_NTASKS", "16",
          "SLURM_STEP_NODELIST", "n7"},
         1,
         2,
         "n7:29555"},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

Test(launch, the_root_is_where_the_variables_say)
{
    static const struct row rows[] = {
        {{"RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "::1", "MASTER_PORT", "1"},
         0,
         2,
         "[::1]:2"},
        {{"RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "[::1]", "MASTER_PORT", "1"},
         0,
         2,
         "[::1]:2"},
        {{"RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "", "MASTER_PORT", ""},
         0,
         2,
         "127.0.0.1:29555"},
        {{"RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "a", "MASTER_PORT", "65534"},
         0,
         2,
         "a:65535"},
        /* Whoever starts the ranks may say it better than Slurm. */
        {{"SLURM_PROCID", "1", "SLURM_NTASKS", "2", "SLURM_STEP_NODELIST", "n1", "MASTER_ADDR",
          "n2"},
         1,
         2,
         "n2:29555"},
        /* A node's name need not resolve where all tasks are on it. */
        {{"SLURM_PROCID", "1", "SLURM_STEP_NUM_TASKS", "2", "SLURM_STEP_NODELIST", "n1",
          "SLURM_STEP_NUM_NODES", "1"},
         1,
         2,
         "127.0.0.1:29555"},
        /* srun --mpi=pmi2. */
        {{"PMI_RANK", "3", "PMI_SIZE", "4", "SLURM_PROCID", "3", "SLURM_STEP_NUM_TASKS", "4",
          "SLURM_STEP_NODELIST", "n[1-2]", "SLURM_STEP_NUM_NODES", "2"},
         3,
         4,
         "n1:29555"},
    };
    expect_rows(rows, ARRAY_LEN(rows));
}

Test(launch, slurms_first_node_is_found_in_its_list)
{
    static const struct {
        const char *list, *root;
    } rows[] = {
        {"host", "host:29555"},
        {"a,b,c", "a:29555"},
        {"a[1-3,07],b", "a1:29555"},
        {"b,a[1-3,07]", "b:29555"},
        {"node[03-07,9],other", "node03:29555"},
        {"node[9]", "node9:29555"},
        {"node[12,14-15]", "node12:29555"},
        {"node[8-12]", "node8:29555"},
        {"node[098-102]x", "node098x:29555"},
        {"gpu-a-[001-128]", "gpu-a-001:29555"},
        {"rack[1-2]node[03-04]", "rack1node03:29555"},
        {"n[1-2]-ib,x", "n1-ib:29555"},
        {"[1-2]", "1:29555"},
        {"cn01.example.org,cn02", "cn01.example.org:29555"},
        {"a[1,2-3],b[4],c[5-6]d[7-8]e", "a1:29555"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row row = {
            {"SLURM_PROCID", "0", "SLURM_NTASKS", "2", "SLURM_STEP_NODELIST", rows[i].list},
            0,
            2,
            rows[i].root};
        expect_rows(&row, 1);
        const struct row old = {{"SLURM_PROCID", "0", "SLURM_NTASKS", "2", "SLURM_STEP_ID", "3",
                                 "SLURM_NODELIST", rows[i].list},
                                0,
                                2,
                                rows[i].root};
        expect_rows(&old, 1);
    }
}

static const char *port_of(const struct wh_launch *launch)
{
    return strrchr(launch->root, ':') + 1;
}

Test(launch, jobs_with_a_number_have_ports_of_their_own)
{
    static const char *const steps[][2] = {{"17", "0"}, {"17", "1"}, {"18", "0"}, {"170", "0"}};
    char ports[ARRAY_LEN(steps)][8];
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        const char *const table[] = {"SLURM_PROCID",
                                     "0",
                                     "SLURM_NTASKS",
                                     "2",
                                     "SLURM_NODELIST",
                                     "n[1-2]",
                                     "SLURM_JOB_ID",
                                     steps[i][0],
                                     "SLURM_STEP_ID",
                                     steps[i][1],
                                     NULL};
        struct wh_launch launch;
        cr_assert_eq(read_launch(table, "", "", &launch), WHORL_OK, "%s", wh_error_get());
        snprintf(ports[i], sizeof(ports[i]), "%s", port_of(&launch));
        cr_expect(atoi(ports[i]) >= 12000 && atoi(ports[i]) < 28000, "%s", ports[i]);
        for (size_t k = 0; k < i; k++) {
            cr_expect_str_neq(ports[i], ports[k]);
        }
    }

    static const char *const mpi[] = {"OMPI_COMM_WORLD_RANK",
                                      "0",
                                      "OMPI_COMM_WORLD_SIZE",
                                      "1",
                                      "OMPI_COMM_WORLD_LOCAL_SIZE",
                                      "1",
                                      "PMIX_NAMESPACE",
                                      "1355939841",
                                      NULL};
    struct wh_launch launch;
    cr_assert_eq(read_launch(mpi, "", "", &launch), WHORL_OK);
    cr_expect_str_neq(port_of(&launch), "29555");
}

Test(launch, a_port_that_is_set_is_taken_as_it_is)
{
    static const char *const table[] = {"RANK",        "0",     "WORLD_SIZE", "2",
                                        "MASTER_PORT", "29500", NULL};
    const struct wh_config config = {.root = "", .secret = "", .root_port = 4444};
    struct wh_launch launch;
    vars = table;
    cr_assert_eq(wh_launch_read(lookup, &config, &launch), WHORL_OK);
    cr_expect_str_eq(launch.root, "127.0.0.1:4444");
}

static void expect_refused(const char *const *table, const char *root, const char *says)
{
    struct wh_launch launch = {.nranks = 77};
    cr_expect_eq(read_launch(table, root, "", &launch), WHORL_E_CONFIG, "%s", says);
    cr_expect_not_null(strstr(wh_error_get(), says), "\"%s\" has no \"%s\"", wh_error_get(), says);
    cr_expect_eq(launch.nranks, 77, "written only on success");
}

Test(launch, places_that_make_no_sense_are_refused)
{
    static const char *const pairs[][2] = {
        {"2", "2"},
        {"-1", "2"},
        {"0", "0"},
        {"x", "2"},
        {"0", "two"},
        {" 0", "2"},
        {"0", "2 "},
        {"0.5", "2"},
        {"4294967296", "4294967297"},
        {"3000000000", "4000000000"},
        {"1", "+2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        const char *const table[] = {"RANK", pairs[i][0], "WORLD_SIZE", pairs[i][1], NULL};
        expect_refused(table, "", "make no sense");
    }
}

Test(launch, ports_and_hosts_that_make_no_sense_are_refused)
{
    static const char *const ports[] = {"0", "65535", "65536", "-1", "http", "1 "};
    for (size_t i = 0; i < ARRAY_LEN(ports); i++) {
        const char *const table[] = {"RANK", "0", "WORLD_SIZE", "2", "MASTER_PORT", ports[i], NULL};
        expect_refused(table, "", "is no port");
    }
    static const char *const lists[] = {
        "n[",    "n[]",      "n[-3]",   "n[1",     "[",   ",n",      "n[,1]", "n[1-]", "n[3-1]",
        "n[a]",  "n[1-b]",   "n[1,]",   "n[1]]",   "n]",  "n[[1]]",  "n,",    "n,,m",  "n,m[",
        "n,m[2", "n[1-2-3]", "n[10-9]", "n[1 -2]", "n m", "n[1],m]", "n[+1]", " ",     ",",
    };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        const char *const table[] = {
            "SLURM_PROCID", "0", "SLURM_NTASKS", "2", "SLURM_STEP_NODELIST", lists[i], NULL};
        expect_refused(table, "", "do not say where rank 0 is");
    }
    char endless[400];
    memset(endless, 'n', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    const char *const by_slurm[] = {"SLURM_PROCID", "0", "SLURM_NTASKS", "2", "SLURM_STEP_NODELIST",
                                    endless,        NULL};
    expect_refused(by_slurm, "", "do not say where rank 0 is");
    const char *const by_name[] = {"RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", endless, NULL};
    expect_refused(by_name, "", "where rank 0 is");
    const char *const alone[] = {"RANK", "0", "WORLD_SIZE", "2", NULL};
    expect_refused(alone, endless, "WHORL_ROOT is longer than 255 bytes");
}

Test(launch, ranks_on_several_hosts_must_be_told_where_to_meet)
{
    static const char *const open_mpi[] = {"OMPI_COMM_WORLD_RANK",
                                           "0",
                                           "OMPI_COMM_WORLD_SIZE",
                                           "8",
                                           "OMPI_COMM_WORLD_LOCAL_SIZE",
                                           "4",
                                           NULL};
    static const char *const mpich[] = {"PMI_RANK",        "0", "PMI_SIZE", "8",
                                        "MPI_LOCALNRANKS", "4", NULL};
    static const char *const other_pmi[] = {"PMI_RANK", "0", "PMI_SIZE", "8", NULL};
    /* mpirun in Slurm's job: its ranks are not the step's tasks, though as many. */
    static const char *const in_slurm[] = {"PMI_RANK",
                                           "0",
                                           "PMI_SIZE",
                                           "2",
                                           "MPI_LOCALNRANKS",
                                           "1",
                                           "SLURM_PROCID",
                                           "0",
                                           "SLURM_STEP_NUM_TASKS",
                                           "2",
                                           "SLURM_STEP_NODELIST",
                                           "n[1-2]",
                                           NULL};
    static const char *const *const tables[] = {open_mpi, mpich, other_pmi, in_slurm};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        expect_refused(tables[i], "", "on several hosts");
        expect_refused(tables[i], "", "set WHORL_ROOT=host:port");
        expect_refused(tables[i], "", "whorl_comm_create_from_mpi()");
        struct wh_launch launch;
        cr_assert_eq(read_launch(tables[i], "there:1234", "", &launch), WHORL_OK);
        cr_expect_str_eq(launch.root, "there:1234");
    }
}

Test(launch, a_batch_script_is_no_task)
{
    static const char *const table[] = {
        "SLURM_PROCID", "0", "SLURM_NTASKS", "4", "SLURM_NODELIST", "n[1-2]", "SLURM_JOB_ID",
        "17",           NULL};
    expect_refused(table, "", "start the program in it with srun");
    static const char *const alone[] = {"SLURM_PROCID", "0", "SLURM_NTASKS", "1", "SLURM_NODELIST",
                                        "n1",           NULL};
    struct wh_launch launch;
    cr_expect_eq(read_launch(alone, "", "", &launch), WHORL_OK, "%s", wh_error_get());
}

Test(launch, without_a_launcher_there_is_advice)
{
    static const char *const none[] = {NULL};
    expect_refused(none, "", "set RANK and WORLD_SIZE");
    static const char *const half[] = {"WORLD_SIZE", "4", "PMI_RANK", "0", NULL};
    expect_refused(half, "", "no launcher's variables");
}

Test(launch, the_secret_is_the_users_or_tells_jobs_apart)
{
    static const char *const one[] = {"RANK", "0", "WORLD_SIZE", "2", "TORCHELASTIC_RUN_ID",
                                      "one",  NULL};
    static const char *const two[] = {"RANK", "1", "WORLD_SIZE", "2", "TORCHELASTIC_RUN_ID",
                                      "two",  NULL};
    struct wh_launch a, b;
    cr_assert_eq(read_launch(one, "", "", &a), WHORL_OK);
    cr_assert_eq(read_launch(two, "", "", &b), WHORL_OK);
    cr_expect_str_neq(a.secret, b.secret);
    cr_assert_eq(read_launch(one, "", "s3cret", &a), WHORL_OK);
    cr_assert_eq(read_launch(two, "", "s3cret", &b), WHORL_OK);
    cr_expect_str_eq(a.secret, "s3cret");
    cr_expect_str_eq(b.secret, "s3cret");

    /* All ranks of one job, on the other hand, agree. */
    static const char *const other[] = {"RANK", "1", "WORLD_SIZE", "2", "TORCHELASTIC_RUN_ID",
                                        "one",  NULL};
    cr_assert_eq(read_launch(one, "", "", &a), WHORL_OK);
    cr_assert_eq(read_launch(other, "", "", &b), WHORL_OK);
    cr_expect_str_eq(a.secret, b.secret);
}

Test(launch, a_secret_is_never_cut_short)
{
    static const char *const table[] = {"RANK", "0", "WORLD_SIZE", "2", NULL};
    struct wh_launch launch;
    char longest[sizeof(launch.secret) + 1];
    memset(longest, 's', sizeof(longest));
    longest[sizeof(longest) - 2] = '\0';
    cr_assert_eq(read_launch(table, "", longest, &launch), WHORL_OK);
    cr_expect_str_eq(launch.secret, longest);
    longest[sizeof(longest) - 2] = 's';
    longest[sizeof(longest) - 1] = '\0';
    cr_expect_eq(read_launch(table, "", longest, &launch), WHORL_E_CONFIG);
    cr_expect_null(strstr(wh_error_get(), "ssss"), "and never shown");
}

/* What becomes of a launch at root by ranks that encrypt, with a secret or without. */
static whorl_result_t read_encrypted(const char *root, const char *secret, struct wh_launch *launch)
{
    static const char *const table[] = {"WHORL_RANK", "1", "WHORL_NRANKS", "2", NULL};
    const struct wh_config config = {.root = root, .secret = secret, .encrypt = true};
    vars = table;
    return wh_launch_read(lookup, &config, launch);
}

Test(launch, who_encrypts_beyond_this_host_needs_a_secret)
{
    static const char *const roots[] = {
        "node7:29500",       "10.1.2.3:29500",
        "[fd00::1]:29500",   "127.example.com:1",
        "128.0.0.1:1",       "[::1:2]:1",
        "localhost.local:1", "localhost2:1",
        "0.127.0.0:1",       "127.0.0.1.example.com:1",
    };
    struct wh_launch launch;
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        memset(&launch, 0xee, sizeof(launch));
        cr_expect_eq(read_encrypted(roots[i], "", &launch), WHORL_E_CONFIG, "%s", roots[i]);
        cr_expect_not_null(strstr(wh_error_get(), "WHORL_SECRET"), "%s", wh_error_get());
        cr_expect_not_null(strstr(wh_error_get(), "openssl rand -hex 16"), "%s", wh_error_get());
        cr_expect_eq(launch.root[0], (char)0xee, "written only on success");
        cr_expect_eq(read_encrypted(roots[i], "s3cret", &launch), WHORL_OK, "%s", wh_error_get());
        cr_expect_str_eq(launch.secret, "s3cret");
    }
}

Test(launch, who_encrypts_on_this_host_only_needs_none)
{
    static const char *const roots[] = {"127.0.0.1:29500", "127.1.2.3:1", "[::1]:1", "localhost:1",
                                        ""};
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        struct wh_launch launch;
        cr_expect_eq(read_encrypted(roots[i], "", &launch), WHORL_OK, "%s: %s", roots[i],
                     wh_error_get());
    }
}

Test(launch, ranks_that_name_the_root_differently_know_each_other)
{
    static const char *const by_name[] = {"RANK",        "1",           "WORLD_SIZE",
                                          "2",           "MASTER_ADDR", "job-master-0",
                                          "MASTER_PORT", "23456",       NULL};
    static const char *const by_number[] = {
        "RANK", "0", "WORLD_SIZE", "2", "MASTER_ADDR", "10.1.2.3", "MASTER_PORT", "23456", NULL};
    struct wh_launch a, b;
    cr_assert_eq(read_launch(by_name, "", "", &a), WHORL_OK);
    cr_assert_eq(read_launch(by_number, "", "", &b), WHORL_OK);
    cr_expect_str_eq(a.secret, b.secret);
}

Test(launch, waiting_for_a_name_ends)
{
    static const char *const roots[] = {"127.0.0.1:1", "[::1]:1", "localhost:1",
                                        "no colon",    ":1",      "a name that never is:1"};
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        struct wh_launch launch = {.nranks = 2};
        snprintf(launch.root, sizeof(launch.root), "%s", roots[i]);
        wh_launch_await_name(&launch, 300);
        cr_expect_str_eq(launch.root, roots[i]);
    }
}
