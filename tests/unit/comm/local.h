/* SPDX-License-Identifier: Apache-2.0 */
/* Communicators whose ranks are all here, for tests that drive them from one thread. */
#ifndef WH_TESTS_COMM_LOCAL_H
#define WH_TESTS_COMM_LOCAL_H

#include "comm/comm.h"

#include <criterion/criterion.h>
#include <string.h>

struct local {
    int n;
    whorl_comm_t ranks[8];
};

static inline struct local local_open(int n, uint32_t timeout_ms)
{
    struct local l = {.n = n};
    whorl_options_t options = WHORL_OPTIONS_INIT;
    options.timeout_ms = timeout_ms;
    options.init_timeout_ms = 60000;
    options.name = "local";
    cr_assert_eq(whorl_comm_create_local(n, &options, l.ranks), WHORL_OK, "%s",
                 whorl_last_error(NULL));
    return l;
}

static inline void local_close(struct local *l)
{
    for (int r = 0; r < l->n; r++) {
        cr_expect_eq(whorl_comm_destroy(l->ranks[r]), WHORL_OK);
    }
}

/** comm's last error has this text. */
static inline void local_expect_error(whorl_comm_t comm, const char *part)
{
    cr_expect_not_null(strstr(whorl_last_error(comm), part), "\"%s\" has no \"%s\"",
                       whorl_last_error(comm), part);
}

/** An all_reduce of one int32 of every rank gives what it must. */
static inline void local_expect_works(const struct local *l)
{
    int32_t in[8], out[8] = {0};
    cr_assert_eq(whorl_group_start(), WHORL_OK);
    for (int r = 0; r < l->n; r++) {
        in[r] = r + 1;
        cr_assert_eq(
            whorl_all_reduce(&in[r], &out[r], 1, WHORL_INT32, WHORL_SUM, l->ranks[r], NULL),
            WHORL_OK);
    }
    cr_assert_eq(whorl_group_end(), WHORL_OK, "%s", whorl_last_error(NULL));
    for (int r = 0; r < l->n; r++) {
        cr_expect_eq(out[r], l->n * (l->n + 1) / 2);
    }
}

#endif
