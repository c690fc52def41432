/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reduction kernels of every instruction set that runs here, against memcpy of the same bytes: the
 * floor is what it costs to copy half of the bytes that the kernel reads and writes, so that as
 * many move. GB/s counts all bytes read and written.
 */
#include "micro/micro.h"
#include "numeric/dtype.h"
#include "numeric/reduce.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NSRCS_MAX = 8, SMALL_NBYTES = 4 << 10, LARGE_NBYTES = 1 << 20, ISAS_MAX = 3 };

struct job {
    wh_combine_fn combine; /* NULL: memcpy */
    struct wh_combine call;
    void *dst;
    const void *srcs[NSRCS_MAX];
    size_t copy_nbytes;
};

static void run(void *ctx)
{
    struct job *job = ctx;
    if (job->combine != NULL) {
        job->combine(&job->call);
    } else {
        memcpy(job->dst, job->srcs[0], job->copy_nbytes);
    }
}

/* memory holds NSRCS_MAX + 1 vectors of nbytes. A copy reads several of them as one. */
static void fill_job(struct job *job, whorl_dtype_t dtype, size_t nsrcs, size_t nbytes,
                     uint8_t *memory)
{
    job->copy_nbytes = (nsrcs + 1) * nbytes / 2;
    job->dst = memory;
    for (size_t s = 0; s < nsrcs; s++) {
        job->srcs[s] = memory + (s + 1) * nbytes;
    }
    if (job->combine == NULL) {
        job->srcs[0] = memory + job->copy_nbytes;
    }
    job->call = (struct wh_combine){
        .dsts = &job->dst,
        .ndsts = 1,
        .srcs = job->srcs,
        .nsrcs = nsrcs,
        .nelems = nbytes / wh_dtype_nbytes(dtype),
    };
}

static void compare(whorl_dtype_t dtype, size_t nsrcs, size_t nbytes, uint8_t *memory)
{
    static const struct {
        enum wh_kernel_op op;
        const char *name;
    } ops[] = {{WH_KERNEL_SUM, "sum"}, {WH_KERNEL_MAX, "max"}};
    struct job jobs[1 + 2 * ISAS_MAX] = {{0}};
    struct micro_case cases[1 + 2 * ISAS_MAX];
    char names[1 + 2 * ISAS_MAX][64];
    size_t ncases = 1;
    snprintf(names[0], sizeof(names[0]), "%s k=%zu %zu KiB memcpy", wh_dtype_str(dtype), nsrcs,
             nbytes / 1024);
    for (size_t o = 0; o < 2; o++) {
        for (size_t i = 0; i < ISAS_MAX && wh_kernels_at(i) != NULL; i++) {
            const struct wh_kernels *kernels = wh_kernels_at(i);
            jobs[ncases].combine = kernels->combine[dtype][ops[o].op];
            snprintf(names[ncases], sizeof(names[ncases]), "%s k=%zu %zu KiB %s %s",
                     wh_dtype_str(dtype), nsrcs, nbytes / 1024, ops[o].name, kernels->isa);
            ncases++;
        }
    }
    for (size_t i = 0; i < ncases; i++) {
        fill_job(&jobs[i], dtype, nsrcs, nbytes, memory);
        cases[i] = (struct micro_case){names[i], run, &jobs[i], (nsrcs + 1) * nbytes};
    }
    micro_compare(cases, ncases);
}

int main(int argc, char **argv)
{
    static const whorl_dtype_t dtypes[] = {
        WHORL_FLOAT32, WHORL_FLOAT64, WHORL_FLOAT16,     WHORL_BFLOAT16,
        WHORL_INT8,    WHORL_INT32,   WHORL_FLOAT8_E4M3, WHORL_FLOAT8_E5M2,
    };
    micro_args(argc, argv, "reduction kernels against memcpy");
    uint8_t *memory = aligned_alloc(4096, (NSRCS_MAX + 1) * LARGE_NBYTES);
    if (memory == NULL) {
        return 1;
    }
    /* One in every element of one byte; small, finite values in every other type. */
    memset(memory, 1, (NSRCS_MAX + 1) * LARGE_NBYTES);
    printf("# kernels in use: %s\n", wh_kernels_get()->isa);
    micro_header();
    for (size_t d = 0; d < sizeof(dtypes) / sizeof(dtypes[0]); d++) {
        for (size_t nsrcs = 2; nsrcs <= NSRCS_MAX; nsrcs *= 2) {
            compare(dtypes[d], nsrcs, SMALL_NBYTES, memory);
            compare(dtypes[d], nsrcs, LARGE_NBYTES, memory);
        }
    }
    free(memory);
    return 0;
}
