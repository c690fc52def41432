/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flight records on disk: of communicators that fail, of processes that get SIGUSR2, and while a
 * call waits. A JSON parser that is not ours reads them.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_CALLING, CELL_SEEN };

/* A folder for records, and settings that name it. */
struct folder {
    char path[64], setting[96];
    const char *env[4];
};

static void folder_open(struct folder *folder, const char *more)
{
    snprintf(folder->path, sizeof(folder->path), "/tmp/whorl-recorder-test-XXXXXX");
    cr_assert_not_null(mkdtemp(folder->path));
    snprintf(folder->setting, sizeof(folder->setting), "WHORL_DUMP_DIR=%s", folder->path);
    folder->env[0] = folder->setting;
    folder->env[1] = more;
    folder->env[2] = NULL;
}

static void folder_close(struct folder *folder)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder->path);
    cr_expect_eq(system(command), 0);
}

/* Complete records in the folder. */
static int count_records(const struct folder *folder)
{
    DIR *dir = opendir(folder->path);
    int n = 0;
    if (dir == NULL) {
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        const char *end = strrchr(entry->d_name, '.');
        n += end != NULL && strcmp(end, ".json") == 0;
    }
    closedir(dir);
    return n;
}

static bool has_python(void)
{
    return system("python3 -c 'import json' >/dev/null 2>&1") == 0;
}

/* Every record satisfies this Python expression; r is the document. */
static bool all_records(const struct folder *folder, const char *condition)
{
    char command[1024];
    snprintf(command, sizeof(command),
             "python3 -c \"import json, glob, sys\n"
             "rs = [json.load(open(f)) for f in glob.glob('%s/*.json')]\n"
             "bad = [r for r in rs if not (%s)]\n"
             "print(json.dumps(bad)[:2000]) if bad else None\n"
             "sys.exit(1 if bad or not rs else 0)\"",
             folder->path, condition);
    return system(command) == 0;
}

/* ---- by call -------------------------------------------------------------------------------- */

static void dump_while_waiting(struct rank *rank)
{
    const struct folder *folder = rank->arg;
    int32_t value = 1, sum = 0;
    for (int i = 0; i < 1100; i++) { /* more than are kept */
        RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    }
    if (rank->rank == 1) {
        char path[128];
        snprintf(path, sizeof(path), "%s/by-call.json", folder->path);
        RANK_OK(rank, whorl_comm_dump(rank->comm, path));
        RANK_EXPECT(rank, WHORL_E_SYS, whorl_comm_dump(rank->comm, "/nowhere/at/all.json"));
        RANK_TEXT(rank, whorl_last_error(NULL), "/nowhere/at/all.json");
    }
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
}

Test(recorder, is_dumped_by_call, .timeout = 120)
{
    struct folder folder;
    folder_open(&folder, NULL);
    ranks_run(&(struct ranks_job){.nprocesses = 2,
                                  .run = dump_while_waiting,
                                  .arg = &folder,
                                  .env = folder.env,
                                  .options = {.name = "a \"quoted\" name"}});
    cr_expect_eq(count_records(&folder), 1);
    if (has_python()) {
        cr_expect(all_records(
            &folder, "r['rank'] == 1 and r['nranks'] == 2 and r['failure'] is None and "
                     "r['communicator'] == 'a \\\"quoted\\\" name' and len(r['members']) == 2 and "
                     "r['noperations'] == 1100 and len(r['operations']) == 1024 and "
                     "[o['seq'] for o in r['operations']] == list(range(77, 1101)) and "
                     "all(o['operation'] == 'all_reduce' and o['nbytes'] == 4 and "
                     "o['redop'] == 'sum' and o['state'] == 'ended' and "
                     "o['result']['code'] == 0 for o in r['operations'])"));
    }
    folder_close(&folder);
}

/* ---- on failure ----------------------------------------------------------------------------- */

static void lose_rank_1(struct rank *rank)
{
    int32_t value = 1, sum = 0;
    RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    rank_meet(rank);
    if (rank->rank == 1) {
        kill(getpid(), SIGKILL);
    }
    RANK_EXPECT(rank, WHORL_E_PEER, whorl_broadcast(&value, &sum, 1, WHORL_INT32, 1, rank->comm,
                                                    NULL));
    if (rank->rank == 0) {
        kill(getpid(), SIGKILL); /* the record is there, also of a program that ends at once */
    }
}

Test(recorder, is_dumped_when_the_communicator_fails, .timeout = 120)
{
    struct folder folder;
    folder_open(&folder, NULL);
    ranks_run(&(struct ranks_job){.nprocesses = 3,
                                  .run = lose_rank_1,
                                  .arg = &folder,
                                  .env = folder.env,
                                  .may_die = 3});
    cr_expect_eq(count_records(&folder), 2);
    if (has_python()) {
        cr_expect(all_records(&folder, "r['failure']['result']['code'] == -4 and "
                                       "'rank 1 ' in r['failure']['text'] and "
                                       "r['operations'][0]['operation'] == 'all_reduce' and "
                                       "r['operations'][-1]['operation'] in ('broadcast', "
                                       "'all_reduce')"));
    }
    folder_close(&folder);
}

/* ---- on SIGUSR2 ----------------------------------------------------------------------------- */

static void *signal_when_all_wait(void *arg)
{
    struct rank *rank = arg;
    rank_wait_cell(rank, CELL_CALLING, 1);
    for (int i = 0; i < 1300; i++) {
        rank_nap(); /* until the waiting rank has looked up */
    }
    kill(getpid(), SIGUSR2);
    return NULL;
}

static void wait_and_be_signalled(struct rank *rank)
{
    const struct folder *folder = rank->arg;
    pthread_t thread;
    if (rank->rank == 0) {
        RANK_CHECK(rank, pthread_create(&thread, NULL, signal_when_all_wait, rank) == 0,
                   "no thread");
        atomic_fetch_add(rank_cell(rank, CELL_CALLING), 1);
    } else {
        while (count_records(folder) < 1) {
            rank_nap();
        }
    }
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 0) {
        pthread_join(thread, NULL);
    }
}

Test(recorder, is_dumped_on_sigusr2_while_a_call_waits, .timeout = 120)
{
    struct folder folder;
    folder_open(&folder, NULL);
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = wait_and_be_signalled, .arg = &folder, .env = folder.env});
    cr_expect_eq(count_records(&folder), 1);
    if (has_python()) {
        cr_expect(all_records(&folder, "r['rank'] == 0 and r['failure'] is None and "
                                       "r['waiting']['operation'] == 'barrier' and "
                                       "r['waiting']['for_ms'] > 1000 and "
                                       "'waits for rank 1' in r['waiting']['where'] and "
                                       "r['operations'][-1]['state'] == 'running'"));
    }
    folder_close(&folder);
}

/* ---- whose signal it is --------------------------------------------------------------------- */

static volatile sig_atomic_t nsignals;

static void count_signal(int number)
{
    (void)number;
    nsignals = nsignals + 1;
}

static bool is_ours(void)
{
    struct sigaction now;
    return sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == count_signal;
}

/* In a process that was forked from one with threads ThreadSanitizer never runs a handler. */
static void raise_and_count(struct rank *rank, int n)
{
    RANK_CHECK(rank, is_ours(), "the program's handler was taken away");
    if (!RANKS_SLOW_BUILD) {
        raise(SIGUSR2);
        RANK_CHECK(rank, nsignals == n, "the handler ran %d times", (int)nsignals);
    }
}

static void have_a_handler(struct rank *rank)
{
    const struct folder *folder = rank->arg;
    signal(SIGUSR2, count_signal);
    rank_create_comm(rank);
    raise_and_count(rank, 1);
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    RANK_CHECK(rank, count_records(folder) == 0, "a record all the same");
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    raise_and_count(rank, 2);
}

Test(recorder, leaves_a_handler_of_the_program_alone, .timeout = 60)
{
    struct folder folder;
    folder_open(&folder, NULL);
    ranks_run(&(struct ranks_job){
        .run = have_a_handler, .arg = &folder, .env = folder.env, .no_comm = true});
    folder_close(&folder);
}

static bool is_default(void)
{
    struct sigaction now;
    return sigaction(SIGUSR2, NULL, &now) == 0 && now.sa_handler == SIG_DFL;
}

static void install_and_remove(struct rank *rank)
{
    const bool *on = rank->arg;
    RANK_CHECK(rank, is_default(), "a handler before there is a communicator");
    rank_create_comm(rank);
    RANK_CHECK(rank, is_default() != *on, "handler or none?");
    pid_t child = fork();
    if (child == 0) {
        raise(SIGUSR2); /* ends the child, as without the library */
        _exit(0);
    }
    int status = 0;
    RANK_CHECK(rank, waitpid(child, &status, 0) == child, "waitpid");
    RANK_CHECK(rank, WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR2, "status %x", status);
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    RANK_CHECK(rank, is_default(), "a handler is left");
}

Test(recorder, takes_its_own_handler_away_and_has_none_in_children, .timeout = 60)
{
    static const char *const off[] = {"WHORL_DUMP_SIGNAL=0", NULL};
    static const bool yes = true, no = false;
    ranks_run(&(struct ranks_job){.run = install_and_remove, .arg = &yes, .no_comm = true});
    ranks_run(
        &(struct ranks_job){.run = install_and_remove, .arg = &no, .env = off, .no_comm = true});
}
