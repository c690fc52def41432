/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines: the edges, and that the clock goes forward. */
#include "base/clock.h"

#include <criterion/criterion.h>

Test(clock, time_does_not_go_back)
{
    uint64_t before = wh_now_ns();
    for (int i = 0; i < 1000; i++) {
        uint64_t now = wh_now_ns();
        cr_assert(now >= before);
        before = now;
    }
}

Test(clock, the_coarse_one_is_the_same_a_little_late)
{
    uint64_t before = wh_now_ns();
    uint64_t coarse = wh_now_coarse_ns();
    uint64_t after = wh_now_ns();
    cr_expect(coarse <= after);
    cr_expect(coarse + 20000000u >= before);
}

Test(clock, a_deadline_is_at_least_its_timeout_away)
{
    uint64_t before = wh_now_ns();
    uint64_t deadline = wh_deadline_after_ms(5000);
    uint64_t after = wh_now_ns();
    cr_expect(deadline >= before + 5000000000u);
    cr_expect(deadline <= after + 5000000000u);
}

Test(clock, a_long_deadline_may_be_a_little_early)
{
    uint64_t before = wh_now_ns();
    uint64_t deadline = wh_deadline_after_ms(60000);
    uint64_t after = wh_now_ns();
    cr_expect(deadline >= before + 60000000000u - 20000000u);
    cr_expect(deadline <= after + 60000000000u);
}

Test(clock, a_timeout_that_no_clock_can_hold_is_never)
{
    cr_expect(wh_deadline_after_ms(UINT64_MAX) == WH_NEVER);
    cr_expect(wh_deadline_after_ms(UINT64_MAX / 1000000) == WH_NEVER);
}

Test(clock, milliseconds_are_rounded_up_and_bounded)
{
    cr_expect(wh_ms_until(0, 100) == 0);
    cr_expect(wh_ms_until(wh_now_ns(), 100) == 0);
    cr_expect(wh_ms_until(WH_NEVER, 100) == 100);
    cr_expect(wh_ms_until(WH_NEVER - 1, 100) == 100);
    cr_expect(wh_ms_until(WH_NEVER - 1, 0) == 0);
    int ms = wh_ms_until(wh_deadline_after_ms(3600000), 7200000);
    cr_expect(ms > 0 && ms <= 3600000);
}
