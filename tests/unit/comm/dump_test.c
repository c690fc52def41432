/* SPDX-License-Identifier: Apache-2.0 */
/* Flight records: the document and the file. What is in it in a real job: tests/fault. */
#include "comm/dump.h"

#include "local.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sink {
    char text[1 << 18];
    size_t nbytes;
};

static bool take(void *ctx, const char *bytes, size_t nbytes)
{
    struct sink *sink = ctx;
    cr_assert_lt(sink->nbytes + nbytes, sizeof(sink->text));
    memcpy(sink->text + sink->nbytes, bytes, nbytes);
    sink->nbytes += nbytes;
    return true;
}

static void expect_part(const struct sink *sink, const char *part)
{
    cr_expect_not_null(strstr(sink->text, part), "%s has no %s", sink->text, part);
}

Test(dump, tells_everything_about_a_communicator, .timeout = 60)
{
    struct local l = local_open(2, 0);
    struct sink *sink = calloc(1, sizeof(*sink));
    local_expect_works(&l);
    wh_comm_fail(l.ranks[1], WHORL_E_SYS, "a \"disk\"\nis full");
    cr_expect(wh_dump_write(l.ranks[1], take, sink));
    expect_part(sink, "\"communicator\": \"local\",\n  \"rank\": 1,\n  \"nranks\": 2,\n");
    expect_part(sink, "\"failure\": {\n    \"result\": {\"code\": -3, \"text\": \"system call "
                      "failed");
    expect_part(sink, "\"text\": \"a \\\"disk\\\"\\u000ais full [reported by rank 1, ");
    expect_part(sink, "\"waiting\": null");
    expect_part(sink, "{\"rank\": 1, \"host\": \"");
    expect_part(sink, "{\"id\": 1, \"operation\": \"all_reduce\", \"seq\": 1, \"count\": 1, "
                      "\"dtype\": \"int32\", \"nbytes\": 4, \"redop\": \"sum\", \"algorithm\": "
                      "\"arena\", \"state\": \"ended\", \"result\": {\"code\": 0, ");
    free(sink);
    local_close(&l);
}

static bool refuse(void *ctx, const char *bytes, size_t nbytes)
{
    (void)ctx;
    (void)bytes;
    (void)nbytes;
    return false;
}

Test(dump, ends_when_nobody_takes_it, .timeout = 60)
{
    struct local l = local_open(1, 0);
    cr_expect(!wh_dump_write(l.ranks[0], refuse, NULL));
    local_close(&l);
}

Test(dump, to_a_file_is_there_whole_or_not_at_all, .timeout = 60)
{
    struct local l = local_open(1, 0);
    char folder[] = "/tmp/whorl-dump-test-XXXXXX", path[64], part[80];
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/record.json", folder);
    snprintf(part, sizeof(part), "%s.part", path);
    cr_expect_eq(wh_dump_to_file(l.ranks[0], path), WHORL_OK);
    cr_expect_eq(wh_dump_to_file(l.ranks[0], path), WHORL_OK, "a second one replaces the first");
    cr_expect_eq(access(path, R_OK), 0);
    cr_expect_neq(access(part, F_OK), 0);

    cr_expect_eq(wh_dump_to_file(l.ranks[0], "/dev/full/record.json"), WHORL_E_SYS);
    cr_expect_eq(wh_dump_to_file(l.ranks[0], folder), WHORL_E_SYS, "a folder is no file");
    char no_part[64];
    snprintf(no_part, sizeof(no_part), "%s.part", folder);
    cr_expect_neq(access(no_part, F_OK), 0, "what could not be completed is left behind");
    unlink(path);
    rmdir(folder);
    local_close(&l);
}

Test(dump, without_a_folder_a_failure_leaves_no_file, .timeout = 60)
{
    struct local l = local_open(1, 0);
    wh_comm_fail(l.ranks[0], WHORL_E_SYS, "no more");
    wh_dump_on_failure(l.ranks[0]);
    cr_expect(!l.ranks[0]->is_dumped);
    wh_dump_on_signal(l.ranks[0]); /* a line in the log */
    local_close(&l);
}
