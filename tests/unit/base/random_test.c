/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes are written everywhere they should be and nowhere else. */
#include "base/random.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(random, two_draws_differ)
{
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    cr_assert(wh_random(a, sizeof(a)) == WHORL_OK);
    cr_assert(wh_random(b, sizeof(b)) == WHORL_OK);
    cr_expect(memcmp(a, b, sizeof(a)) != 0);
}

Test(random, only_the_bytes_asked_for_are_written)
{
    uint8_t bytes[4] = {1, 2, 3, 4};
    cr_assert(wh_random(bytes, 0) == WHORL_OK);
    cr_expect(memcmp(bytes, "\1\2\3\4", 4) == 0);
    cr_assert(wh_random(bytes + 1, 2) == WHORL_OK);
    cr_expect(bytes[0] == 1 && bytes[3] == 4);
}

Test(random, the_end_of_a_large_buffer_is_random_too)
{
    static uint8_t bytes[100000];
    cr_assert(wh_random(bytes, sizeof(bytes)) == WHORL_OK);
    static const uint8_t zeros[32];
    cr_expect(memcmp(bytes + sizeof(bytes) - 32, zeros, 32) != 0);
}
