/* SPDX-License-Identifier: Apache-2.0 */
/* getrandom(), which may give less than asked for and may be interrupted. */
#include "base/random.h"

#include "base/log.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

whorl_result_t wh_random(void *bytes, size_t nbytes)
{
    uint8_t *next = bytes;
    while (nbytes > 0) {
        ssize_t got = getrandom(next, nbytes, 0);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return wh_fail_sys(WH_SUBSYS_INIT, "getrandom of %zu bytes", nbytes);
        }
        next += got;
        nbytes -= (size_t)got;
    }
    return WHORL_OK;
}
