/* SPDX-License-Identifier: Apache-2.0 */
#include "common/failure.h"

#include "perf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

const char *perf_hostname(void)
{
    static _Thread_local struct utsname name;
    return uname(&name) == 0 && name.nodename[0] != '\0' ? name.nodename : "localhost";
}

int perf_fail_whorl(const char *what, whorl_result_t rc, whorl_comm_t comm, int rank)
{
    char who[32] = "";
    char story[1024];

    /* A group fails as a whole; which of its communicators knows why is not ours to tell. */
    snprintf(story, sizeof(story), "%s", whorl_last_error(comm));
    if (comm != NULL && strcmp(story, "no error") == 0) {
        snprintf(story, sizeof(story), "%s", whorl_last_error(NULL));
    }
    if (rank >= 0) {
        snprintf(who, sizeof(who), " rank %d", rank);
    }
    fprintf(stderr, "%s: Test Whorl failure %s%s '%s / %s'\n", perf_hostname(), what, who,
            whorl_result_str(rc), story);
    return PERF_E_WHORL;
}

int perf_fail(const char *format, ...)
{
    char text[512];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    fprintf(stderr, "%s: %s\n", perf_hostname(), text);
    return PERF_E_INTERNAL;
}
