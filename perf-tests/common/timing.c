/* SPDX-License-Identifier: Apache-2.0 */
#include "common/timing.h"

#include <string.h>
#include <time.h>

static uint64_t read_ns(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t perf_now_ns(void)
{
    return read_ns(CLOCK_MONOTONIC);
}

uint64_t perf_thread_cpu_ns(void)
{
    return read_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void format_now(const char *format, char *text, size_t text_nbytes)
{
    time_t now = time(NULL);
    struct tm local;

    text[0] = '\0';
    if (localtime_r(&now, &local) != NULL) {
        strftime(text, text_nbytes, format, &local);
    }
}

void perf_timestamp(char *text, size_t text_nbytes)
{
    format_now("%Y-%m-%d %H:%M:%S", text, text_nbytes);
}

void perf_timestamp_iso(char *text, size_t text_nbytes)
{
    format_now("%Y-%m-%dT%H:%M:%S%z", text, text_nbytes);

    /* strftime writes +0200; ISO 8601 wants a colon when the time has colons. */
    size_t length = strlen(text);
    if (length >= 5 && length + 1 < text_nbytes) {
        memmove(text + length - 1, text + length - 2, 3);
        text[length - 2] = ':';
    }
}
