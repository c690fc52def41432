/* SPDX-License-Identifier: Apache-2.0 */
/* Every bad argument is refused by name, and the communicator goes on working. */
#include <criterion/criterion.h>
#include <string.h>

#include "harness/ranks.h"

/* What a bad call needs at hand. */
struct desk {
    struct rank *rank;
    whorl_comm_t comm;
    char memory[4096];
    whorl_redop_t float_op; /* a handle for float32 */
    whorl_id_t id;
};

struct bad_call {
    const char *name;
    const char *part; /* what the error text must contain */
    whorl_result_t (*call)(struct desk *d);
    whorl_result_t want; /* WHORL_E_ARG if 0 */
};

#define BAD(what, part_, expression)                                                               \
    static whorl_result_t what(struct desk *d)                                                     \
    {                                                                                              \
        (void)d;                                                                                   \
        return (expression);                                                                       \
    }
