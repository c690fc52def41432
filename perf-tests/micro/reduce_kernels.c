/* SPDX-License-Identifier: Apache-2.0 */
/* Reduction kernels against memcpy of as many bytes: the floor is what reading and writing costs.
 * */
#include "micro/micro.h"
#include "numeric/dtype.h"
#include "numeric/reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct job {
    wh_reduce_fn reduce;
    uint8_t *dst, *a, *b;
    size_t nbytes, nelems;
};

static void run_copy(void *ctx)
{
    struct job *job = ctx;
    memcpy(job->dst, job->a, job->nbytes);
}

static void run_reduce(void *ctx)
{
    struct job *job = ctx;
    job->reduce(job->dst, job->a, job->b, job->nelems);
}

static void compare(whorl_dtype_t dtype, size_t nbytes, uint8_t *memory)
{
    static const char *const ops[] = {"sum", "prod", "max", "min"};
    struct job jobs[1 + WH_NKERNEL_OPS];
    struct micro_case cases[1 + WH_NKERNEL_OPS];
    char names[1 + WH_NKERNEL_OPS][64];
    const struct wh_kernels *kernels = wh_kernels_get();
    for (size_t i = 0; i < 1 + WH_NKERNEL_OPS; i++) {
        jobs[i] = (struct job){
            .reduce = i > 0 ? kernels->reduce[dtype][i - 1] : NULL,
            .dst = memory,
            .a = memory + nbytes,
            .b = memory + 2 * nbytes,
            .nbytes = nbytes,
            .nelems = nbytes / wh_dtype_nbytes(dtype),
        };
        snprintf(names[i], sizeof(names[i]), "%s %s %zu KiB", wh_dtype_str(dtype),
                 i > 0 ? ops[i - 1] : "memcpy", nbytes / 1024);
        cases[i] = (struct micro_case){names[i], i > 0 ? run_reduce : run_copy, &jobs[i], nbytes};
    }
    micro_compare(cases, 1 + WH_NKERNEL_OPS);
}

int main(int argc, char **argv)
{
    micro_args(argc, argv, "reduction kernels against memcpy");
    enum { MOST_NBYTES = 1 << 20 };
    uint8_t *memory = aligned_alloc(4096, 3 * MOST_NBYTES);
    if (memory == NULL) {
        return 1;
    }
    /* One in every element of one byte; small, finite values in every other type. */
    memset(memory, 1, 3 * MOST_NBYTES);
    printf("# kernels: %s\n", wh_kernels_get()->isa);
    micro_header();
    for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        compare((whorl_dtype_t)dtype, 16 << 10, memory);
        compare((whorl_dtype_t)dtype, MOST_NBYTES, memory);
    }
    free(memory);
    return 0;
}
