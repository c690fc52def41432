/* SPDX-License-Identifier: Apache-2.0 */
/* Reports: from what ranks say to what an operator reads. */
#include "comm/report.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 300 };

/* A job whose ranks are all in the stalled operation; tests change some. */
struct job {
    uint32_t nranks;
    struct wh_comm_member members[MOST];
    struct wh_status statuses[MOST];
    struct wh_report report;
};

static struct job job;

static struct wh_status in_all_reduce(void)
{
    return (struct wh_status){
        .state = WH_STATUS_INSIDE,
        .op = {.seq = 42, .count = 1000, .coll = WH_COLL_ALL_REDUCE, .dtype = WHORL_FLOAT32,
               .redop = WHORL_SUM},
        .ncolls = 42,
        .for_ms = 30400,
        .reports_ms = WH_STATUS_NO_REPORT,
        .algo = "ring",
        .where = "waits for rank 3, which has not made this call",
    };
}

static void open_job(uint32_t nranks)
{
    job.nranks = nranks;
    for (uint32_t r = 0; r < nranks; r++) {
        snprintf(job.members[r].host, sizeof(job.members[r].host), "host%u", r / 8);
        job.members[r].pid = 1000 + r;
        job.statuses[r] = in_all_reduce();
    }
}

static void write_report(const char *name, uint32_t rank)
{
    struct wh_report_input in = {name, rank, job.nranks, job.members, job.statuses, 2000};
    cr_assert_eq(wh_report_write(&in, &job.report), WHORL_OK);
}

static void expect_line(uint32_t i, const char *want)
{
    cr_assert_lt(i, job.report.nlines);
    cr_expect_str_eq(job.report.lines[i], want);
}

static struct wh_status outside_since(enum wh_coll coll, uint64_t seq)
{
    struct wh_status s = in_all_reduce();
    s.state = WH_STATUS_OUTSIDE;
    s.op.coll = (uint8_t)coll;
    s.op.seq = seq;
    s.ncolls = seq;
    s.for_ms = 31000;
    s.where[0] = '\0';
    return s;
}

Test(report, names_the_one_rank_that_is_missing)
{
    open_job(16);
    job.statuses[3] = outside_since(WH_COLL_BROADCAST, 41);
    job.statuses[9].for_ms = 30100;
    write_report("train", 0);
    cr_expect_eq(job.report.nlines, 3);
    expect_line(0, "stall in communicator train: all_reduce(count 1000, float32, sum) #42, 4000 "
                   "bytes, algorithm ring, does not end on rank 0 for 30 s now; 16 of 16 ranks "
                   "answered within 2000 ms");
    expect_line(1, "stall: rank 3 (host host0, pid 1003): has not entered it: outside of any call "
                   "since broadcast #41 ended (for 31 s)");
    expect_line(2, "stall: ranks 0-2, 4-15: in it, waits for rank 3, which has not made this call "
                   "(for 30 s or more)");
    cr_expect_str_eq(job.report.finding, "rank 3 (host host0, pid 1003) has not entered it");
}

Test(report, tells_ranks_apart_that_are_missing_for_different_reasons)
{
    open_job(6);
    job.statuses[1] = in_all_reduce();
    job.statuses[1].op.coll = WH_COLL_BROADCAST;
    job.statuses[1].op.seq = job.statuses[1].ncolls = 41;
    snprintf(job.statuses[1].where, sizeof(job.statuses[1].where), "waits for rank 2");
    job.statuses[2] = (struct wh_status){.state = WH_STATUS_UNKNOWN};
    job.statuses[4] = (struct wh_status){.state = WH_STATUS_IDLE, .for_ms = 90000, .nqueued = 2};
    job.statuses[5] = outside_since(WH_COLL_BARRIER, 40);
    snprintf(job.statuses[5].other, sizeof(job.statuses[5].other), "barrier #7 of communicator dp");
    write_report("", 0);
    cr_expect_eq(job.report.nlines, 6);
    expect_line(1, "stall: rank 1 (host host0, pid 1001): has not entered it: in broadcast #41, "
                   "waits for rank 2 (for 30 s)");
    expect_line(2, "stall: rank 4 (host host0, pid 1004): has not entered it: has made no call "
                   "yet, with 2 groups of calls waiting in streams (for 90 s)");
    expect_line(3, "stall: rank 5 (host host0, pid 1005): has not entered it: outside of any call "
                   "since barrier #40 ended; its process is in barrier #7 of communicator dp (for "
                   "31 s)");
    expect_line(4, "stall: rank 2 (host host0, pid 1002): did not answer: stopped, dead or cut "
                   "off");
    expect_line(5, "stall: ranks 0, 3: in it, waits for rank 3, which has not made this call (for "
                   "30 s or more)");
    cr_expect_str_eq(job.report.finding,
                     "rank 1 (host host0, pid 1001), rank 4 (host host0, pid 1004), rank 5 (host "
                     "host0, pid 1005) have not entered it; rank 2 (host host0, pid 1002) did not "
                     "answer");
}

Test(report, says_who_has_the_operation_behind_it)
{
    open_job(3);
    job.statuses[2] = outside_since(WH_COLL_ALL_REDUCE, 43);
    job.statuses[1] = outside_since(WH_COLL_ALL_REDUCE, 42);
    write_report("", 0);
    expect_line(1, "stall: rank 1: has it behind it: outside of any call since all_reduce #42 "
                   "ended (for 31 s)");
    expect_line(2, "stall: rank 2: has it behind it: outside of any call since all_reduce #43 "
                   "ended (for 31 s)");
    cr_expect_str_eq(job.report.finding, "");
}

Test(report, of_a_message_says_what_its_peer_does)
{
    open_job(3);
    for (uint32_t r = 0; r < 3; r++) {
        job.statuses[r].op = (struct wh_status_op){.seq = 5, .count = 8, .root = (r + 1) % 3,
                                                   .coll = WH_COLL_RECV, .dtype = WHORL_INT32,
                                                   .redop = 0xff};
        job.statuses[r].where[0] = '\0';
    }
    job.statuses[2] = outside_since(WH_COLL_BARRIER, 9);
    write_report("", 1);
    expect_line(0, "stall: recv(count 8, int32) #5 from rank 2, 32 bytes, algorithm ring, does not "
                   "end on rank 1 for 30 s now; 3 of 3 ranks answered within 2000 ms");
    expect_line(1, "stall: rank 2 (host host0, pid 1002): outside of any call since barrier #9 "
                   "ended (for 31 s)");
    expect_line(2, "stall: rank 0: in recv #5 from rank 1 (for 30 s)");
    expect_line(3, "stall: rank 1: in recv #5 from rank 2 (for 30 s)");
    cr_expect_str_eq(job.report.finding, "rank 2 (host host0, pid 1002): outside of any call "
                                         "since barrier #9 ended");
}

Test(report, of_many_ranks_that_all_differ_stays_short)
{
    open_job(MOST);
    for (uint32_t r = 0; r < MOST; r++) {
        snprintf(job.statuses[r].where, sizeof(job.statuses[r].where), "receives from rank %u", r);
        if (r % 3 == 1) {
            job.statuses[r] = outside_since(WH_COLL_BARRIER, r % 40);
        } else if (r % 3 == 2) {
            job.statuses[r] = (struct wh_status){.state = WH_STATUS_UNKNOWN};
        }
    }
    write_report("big", 0);
    cr_expect_leq(job.report.nlines, WH_REPORT_LINES);
    cr_expect_not_null(strstr(job.report.lines[7], "have not entered it either"));
    cr_expect_not_null(strstr(job.report.lines[8], "did not answer"));
    cr_expect_not_null(strstr(job.report.lines[job.report.nlines - 1], "are in calls too"));
    cr_expect_not_null(strstr(job.report.finding, "have not entered it; ranks 2, 5, 8,"));
    cr_expect_not_null(strstr(job.report.finding, "..."));
}

static void expect_ranks(const char *flags, const char *want)
{
    bool in[64];
    char text[24];
    uint32_t n = 0;
    for (uint32_t r = 0; flags[r] != '\0'; r++) {
        in[r] = flags[r] == '1';
        n += in[r];
    }
    cr_expect_eq(wh_report_print_ranks(in, (uint32_t)strlen(flags), text, sizeof(text)), n);
    cr_expect_str_eq(text, want);
}

Test(report, sets_of_ranks_are_written_as_ranges)
{
    expect_ranks("", "");
    expect_ranks("0000", "");
    expect_ranks("1000", "0");
    expect_ranks("1111", "0-3");
    expect_ranks("1101011", "0-1, 3, 5-6");
    expect_ranks("101010101010101010101", "0, 2, 4, 6, 8, 10, ...");
}
