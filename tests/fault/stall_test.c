/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations that stall: one report in the whole job says who holds it up, and the operation goes
 * on afterwards as if nothing had been said.
 */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CELL_STOPPED_PID = 1, CELL_GO_ON, LOG_NBYTES = 1 << 16 };

/* A file for the log of all ranks, and settings that name it. */
struct log_file {
    char path[64], setting[96];
    const char *env[8];
};

static void log_open(struct log_file *log, const char *stall, const char *more)
{
    snprintf(log->path, sizeof(log->path), "/tmp/whorl-stall-test-%d-XXXXXX", (int)getpid());
    int fd = mkstemp(log->path);
    cr_assert(fd >= 0);
    close(fd);
    snprintf(log->setting, sizeof(log->setting), "WHORL_DEBUG_FILE=%s", log->path);
    log->env[0] = log->setting;
    log->env[1] = stall;
    log->env[2] = more;
    log->env[3] = NULL;
}

static void log_close(struct log_file *log)
{
    unlink(log->path);
}

static char *log_read(const struct log_file *log)
{
    static char text[LOG_NBYTES];
    FILE *file = fopen(log->path, "r");
    size_t nbytes = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
    if (file != NULL) {
        fclose(file);
    }
    text[nbytes] = '\0';
    return text;
}

static int count_in(const char *text, const char *part)
{
    int n = 0;
    for (const char *at = strstr(text, part); at != NULL; at = strstr(at + 1, part)) {
        n++;
    }
    return n;
}

/* Waits until the log has this text. */
static void await_line(struct rank *rank, const struct log_file *log, const char *part)
{
    rank_at(rank, "waits for a line with \"%s\" in the log", part);
    while (strstr(log_read(log), part) == NULL) {
        rank_nap();
        RANK_CHECK(rank, atomic_load(rank_cell(rank, 255)) == 0, "%s", log_read(log));
    }
}

/* ---- a rank that is late -------------------------------------------------------------------- */

static void be_late(struct rank *rank)
{
    const struct log_file *log = rank->arg;
    int32_t value = 1, sum = 0;
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 2) {
        await_line(rank, log, "stall: ranks 0-1");
    }
    rank_at(rank, "calls all_reduce");
    RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    RANK_CHECK(rank, sum == 3, "%d", sum);
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
}

static void expect_report_about_late_rank(struct ranks_job *job, const char *algo)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=400ms", algo);
    job->run = be_late;
    job->arg = &log;
    job->env = log.env;
    job->options.name = "train";
    ranks_run(job);
    const char *text = log_read(&log);
    cr_expect_eq(count_in(text, "stall in communicator train: all_reduce(count 1, int32, sum) #2, "
                                "4 bytes, algorithm "),
                 1, "%s", text);
    cr_expect_eq(count_in(text, "; 3 of 3 ranks answered"), 1, "%s", text);
    cr_expect_eq(count_in(text, "stall: rank 2 (host "), 1, "%s", text);
    cr_expect_eq(count_in(text, "has not entered it: outside of any call since barrier #1 ended"),
                 1, "%s", text);
    cr_expect_eq(count_in(text, "stall: ranks 0-1: in it"), 1, "%s", text);
    cr_expect_eq(count_in(text, "stall is over: all_reduce(count 1, int32, sum) #2 has ended"), 1,
                 "%s", text);
    log_close(&log);
}

Test(stall, of_processes_is_reported_once_and_names_the_late_rank, .timeout = 120)
{
    expect_report_about_late_rank(&(struct ranks_job){.nprocesses = 3}, NULL);
}

Test(stall, of_threads_is_reported_once_and_names_the_late_rank, .timeout = 120)
{
    expect_report_about_late_rank(&(struct ranks_job){.nthreads = 3}, NULL);
}

/* ---- over links: who waits for whom, and where ---------------------------------------------- */

static void be_late_on_links(struct rank *rank)
{
    const struct log_file *log = rank->arg;
    if (rank->rank == 1) {
        await_line(rank, log, "stall: ");
        for (int i = 0; i < 100; i++) {
            rank_nap(); /* a second report would come now */
        }
    }
    static float in[1000], out[1000];
    RANK_OK(rank, whorl_all_reduce(in, out, 1000, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
}

Test(stall, on_links_says_in_which_step_ranks_wait_for_whom, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=400ms", "WHORL_ALGO=ring");
    ranks_run(&(struct ranks_job){
        .nprocesses = 4, .run = be_late_on_links, .arg = &log, .env = log.env});
    const char *text = log_read(&log);
    cr_expect_eq(count_in(text, "stall: all_reduce(count 1000, float32, sum) #1, 4000 bytes, "
                                "algorithm ring, does not end on rank "),
                 1, "%s", text);
    cr_expect_eq(count_in(text, "has not entered it: has made no call yet"), 1, "%s", text);
    cr_expect_geq(count_in(text, "receives from rank 1"), 1, "%s", text);
    cr_expect_geq(count_in(text, "step "), 2, "%s", text);
    log_close(&log);
}

/* ---- a rank that does not answer ------------------------------------------------------------ */

static void stop_and_be_continued(struct rank *rank)
{
    const struct log_file *log = rank->arg;
    int32_t value = 1, sum = 0;
    RANK_OK(rank, whorl_barrier(rank->comm, NULL));
    if (rank->rank == 1) {
        atomic_store(rank_cell(rank, CELL_STOPPED_PID), getpid());
        raise(SIGSTOP);
    } else if (rank->rank == 0 && fork() == 0) {
        /* Whoever waits in a call cannot continue it. */
        rank_wait_cell(rank, CELL_STOPPED_PID, 1);
        await_line(rank, log, "did not answer");
        kill((pid_t)atomic_load(rank_cell(rank, CELL_STOPPED_PID)), SIGCONT);
        _exit(0);
    }
    rank_at(rank, "calls all_reduce");
    RANK_OK(rank, whorl_all_reduce(&value, &sum, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL));
    if (rank->rank == 0) {
        wait(NULL);
    }
}

Test(stall, because_a_process_is_stopped_says_that_it_did_not_answer, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=500ms", NULL);
    ranks_run(&(struct ranks_job){
        .nprocesses = 3, .run = stop_and_be_continued, .arg = &log, .env = log.env});
    const char *text = log_read(&log);
    cr_expect_eq(count_in(text, "; 2 of 3 ranks answered within "), 1, "%s", text);
    cr_expect_eq(count_in(text, "stall: rank 1 (host "), 1, "%s", text);
    cr_expect_eq(count_in(text, "did not answer: stopped, dead or cut off"), 1, "%s", text);
    log_close(&log);
}

/* ---- two communicators ---------------------------------------------------------------------- */

/* Rank 0 is in a call of one communicator and rank 1 in one of the other: neither can go on. */
static void wait_crosswise(struct rank *rank)
{
    const struct log_file *log = rank->arg;
    whorl_comm_t other;
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.name = "other";
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, rank->rank, &options, &other));
    rank_at(rank, "waits for ever");
    whorl_result_t rc = whorl_barrier(rank->rank == 0 ? rank->comm : other, NULL);
    RANK_CHECK(rank, rc == WHORL_E_TIMEOUT || rc == WHORL_E_PEER, "%d", rc);
    await_line(rank, log, "its process is in barrier #1 of communicator other, waits for rank 0");
    rank_meet(rank);
    RANK_OK(rank, whorl_comm_destroy(other));
}

Test(stall, across_two_communicators_names_the_other_one, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=1500ms", "WHORL_TIMEOUT=4s");
    ranks_run(
        &(struct ranks_job){.nprocesses = 2, .run = wait_crosswise, .arg = &log, .env = log.env});
    log_close(&log);
}

/* ---- messages ------------------------------------------------------------------------------- */

static void wait_for_a_message(struct rank *rank)
{
    const struct log_file *log = rank->arg;
    int8_t byte = 7;
    if (rank->rank == 0) {
        RANK_OK(rank, whorl_recv(&byte, 1, WHORL_INT8, 1, rank->comm, NULL));
    } else {
        await_line(rank, log, "stall: ");
        RANK_OK(rank, whorl_send(&byte, 1, WHORL_INT8, 0, rank->comm, NULL));
    }
}

Test(stall, of_a_receive_names_the_message_and_what_its_sender_does, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=400ms", NULL);
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = wait_for_a_message, .arg = &log, .env = log.env});
    const char *text = log_read(&log);
    cr_expect_eq(count_in(text, "stall: recv(count 1, int8) #1 from rank 1, 1 bytes"), 1, "%s",
                 text);
    cr_expect_eq(count_in(text, "has made no call yet"), 1, "%s", text);
    log_close(&log);
}

/* ---- deadlines ------------------------------------------------------------------------------ */

static void run_into_the_deadline(struct rank *rank)
{
    if (rank->rank != 1) {
        int32_t value = 1;
        whorl_result_t rc =
            whorl_all_reduce(&value, &value, 1, WHORL_INT32, WHORL_SUM, rank->comm, NULL);
        RANK_CHECK(rank, rc == WHORL_E_TIMEOUT, "%d", rc);
        RANK_TEXT(rank, whorl_last_error(rank->comm), "did not finish within 2000 ms");
        RANK_TEXT(rank, whorl_last_error(rank->comm), "; rank 1 (host ");
        RANK_TEXT(rank, whorl_last_error(rank->comm), "has not entered it");
    }
    rank_meet(rank);
}

Test(stall, is_reported_before_a_short_deadline_and_the_error_knows_it, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_TIMEOUT=2s", NULL);
    ranks_run(&(struct ranks_job){
        .nprocesses = 3, .run = run_into_the_deadline, .arg = &log, .env = log.env});
    cr_expect_eq(count_in(log_read(&log), "has not entered it: has made no call yet"), 1);
    log_close(&log);
}

static void run_into_the_deadline_unreported(struct rank *rank)
{
    if (rank->rank == 0) {
        RANK_EXPECT(rank, WHORL_E_TIMEOUT, whorl_barrier(rank->comm, NULL));
    }
    rank_meet(rank);
}

Test(stall, is_not_reported_where_that_is_switched_off, .timeout = 120)
{
    struct log_file log;
    log_open(&log, "WHORL_STALL_REPORT=0", "WHORL_TIMEOUT=1s");
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = run_into_the_deadline_unreported, .arg = &log, .env = log.env});
    cr_expect_eq(count_in(log_read(&log), "stall"), 0);
    log_close(&log);
}
