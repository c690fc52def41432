/* SPDX-License-Identifier: Apache-2.0 */
/* The functions of failure.h refuse what makes no sense, and hand on the rest. */
#include "../comm/local.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

Test(api_failure, refuses_what_makes_no_sense, .timeout = 60)
{
    struct local l = local_open(2, 0);
    whorl_result_t error;
    whorl_comm_t left = NULL;
    const int self[] = {0}, negative[] = {-1}, beyond[] = {2};
    cr_expect_eq(whorl_comm_abort(NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_async_error(NULL, &error), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_async_error(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(NULL, NULL, 0, NULL, &left), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], NULL, 0, NULL, NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], NULL, 1, NULL, &left), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], self, 1, NULL, &left), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], negative, 1, NULL, &left), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], beyond, 1, NULL, &left), WHORL_E_ARG);
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.struct_nbytes = 1;
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], NULL, 0, &options, &left), WHORL_E_ARG);
    cr_expect_null(left);
    cr_expect_eq(whorl_comm_dump(NULL, "/tmp/x"), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_dump(l.ranks[0], NULL), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_dump_to(l.ranks[0], NULL, NULL), WHORL_E_ARG);
    local_expect_works(&l);
    local_close(&l);
}

Test(api_failure, a_bad_shrink_spoils_its_group, .timeout = 60)
{
    struct local l = local_open(1, 0);
    whorl_comm_t left = NULL;
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], NULL, 1, NULL, &left), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_shrink(l.ranks[0], NULL, 0, NULL, &left), WHORL_OK);
    cr_expect_eq(whorl_group_end(), WHORL_E_ARG);
    cr_expect_null(left);
    local_close(&l);
}

static int append(void *ctx, const char *bytes, size_t nbytes)
{
    return fwrite(bytes, 1, nbytes, ctx) == nbytes ? 0 : 1;
}

static int refuse(void *ctx, const char *bytes, size_t nbytes)
{
    (void)bytes;
    size_t *total = ctx;
    *total += nbytes;
    return 7;
}

Test(api_failure, a_record_goes_where_the_caller_wants_it, .timeout = 60)
{
    struct local l = local_open(1, 0);
    char *text = NULL;
    size_t nbytes = 0, nrefused = 0;
    FILE *file = open_memstream(&text, &nbytes);
    cr_expect_eq(whorl_comm_dump_to(l.ranks[0], append, file), WHORL_OK);
    fclose(file);
    cr_expect_eq(text[0], '{');
    cr_expect_eq(strcmp(text + nbytes - 2, "}\n"), 0);
    cr_expect_eq(whorl_comm_dump_to(l.ranks[0], refuse, &nrefused), WHORL_E_ABORTED);
    cr_expect_gt(nrefused, 0);
    local_expect_error(NULL, "write has refused");

    char path[] = "/tmp/whorl-api-dump-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_expect_eq(whorl_comm_dump(l.ranks[0], path), WHORL_OK);
    char first = 0;
    close(fd);
    file = fopen(path, "r");
    cr_expect_eq(fread(&first, 1, 1, file), 1);
    cr_expect_eq(first, '{');
    fclose(file);
    unlink(path);
    free(text);
    local_close(&l);
}
