/* SPDX-License-Identifier: Apache-2.0 */
/* Monotonic time; deadlines saturate at WH_NEVER instead of wrapping. */
#include "base/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <time.h>

enum { NS_PER_MS = 1000000, COARSE_FROM_MS = 10000 };

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    int failed = clock_gettime(clock, &now);
    assert(failed == 0);
    (void)failed;
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t wh_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t wh_now_coarse_ns(void)
{
    return read_clock(CLOCK_MONOTONIC_COARSE);
}

uint64_t wh_deadline_after_ms(uint64_t timeout_ms)
{
    /* Every operation has a deadline; the coarse clock, some milliseconds late, costs a tenth. */
    bool coarse = timeout_ms >= COARSE_FROM_MS;
    uint64_t now = read_clock(coarse ? CLOCK_MONOTONIC_COARSE : CLOCK_MONOTONIC);
    if (timeout_ms >= (WH_NEVER - now) / NS_PER_MS) {
        return WH_NEVER;
    }
    return now + timeout_ms * NS_PER_MS;
}

int wh_ms_until(uint64_t deadline_ns, int most)
{
    assert(most >= 0);

    if (deadline_ns == WH_NEVER) {
        return most;
    }
    uint64_t now = wh_now_ns();
    if (deadline_ns <= now) {
        return 0;
    }
    uint64_t left_ms = (deadline_ns - now - 1) / NS_PER_MS + 1;
    return left_ms < (uint64_t)most ? (int)left_ms : most;
}
