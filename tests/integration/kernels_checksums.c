/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints a checksum of what each kernel gives, for kernels_aarch64_test.sh, which compares those of
 * different architectures: a line "table type operation checksum" for each. The operands are the
 * same on every machine. Stands alone with src/numeric/, so that a cross compiler needs no library.
 */
#include "numeric/reduce.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { NSRCS_MAX = 9, NELEMS_MAX = 4200, ELEM_NBYTES_MAX = 8, NVARIANTS = 7 };

static uint8_t operands[NSRCS_MAX][NELEMS_MAX * ELEM_NBYTES_MAX + NVARIANTS];
static uint8_t results[2][NELEMS_MAX * ELEM_NBYTES_MAX + NVARIANTS];

/* A fixed sequence of bits (splitmix64). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/*
 * Any bits: of every type there are subnormals, infinities and NaNs among them. Half of the bytes
 * are those of the operand before, so that sums of floats with a large exponent need rounding.
 */
static void fill_operands(void)
{
    uint64_t seed = 1;
    for (size_t s = 0; s < NSRCS_MAX; s++) {
        for (size_t i = 0; i < sizeof(operands[s]); i++) {
            uint64_t random = next_random(&seed);
            bool again = s > 0 && i % ELEM_NBYTES_MAX >= ELEM_NBYTES_MAX / 2 && random & 0x300;
            operands[s][i] = again ? operands[s - 1][i] : (uint8_t)random;
        }
    }
}

static uint64_t mix(uint64_t sum, const uint8_t *bytes, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        sum = (sum ^ bytes[i]) * 0x100000001b3u;
    }
    return sum;
}

/* Variants differ in misalignment, divisor, the hints and whether they are in place. */
static uint64_t add_variant(uint64_t sum, wh_combine_fn combine, enum wh_kernel_op op, size_t nsrcs,
                            size_t nelems, size_t variant)
{
    const void *srcs[NSRCS_MAX];
    void *dsts[2] = {results[0] + (variant + 3) % NVARIANTS, results[1]};
    for (size_t s = 0; s < nsrcs; s++) {
        srcs[s] = operands[s] + (variant * s) % NVARIANTS;
    }
    struct wh_combine c = {
        .dsts = dsts,
        .ndsts = 1 + variant % 2,
        .srcs = srcs,
        .nsrcs = nsrcs,
        .nelems = nelems,
        .divisor = op == WH_KERNEL_SUM ? (uint32_t)variant : 1,
        .from_memory = variant == 3,
        .streaming = variant == 4,
    };
    size_t nbytes = nelems * ELEM_NBYTES_MAX + NVARIANTS; /* enough for any type */
    memset(results[0], 0, nbytes);
    memset(results[1], 0, nbytes);
    if (variant == 6) {
        memcpy(dsts[0], srcs[0], nelems * ELEM_NBYTES_MAX);
        srcs[0] = dsts[0];
    }
    combine(&c);
    return mix(mix(sum, results[0], nbytes), results[1], nbytes);
}

static uint64_t checksum(wh_combine_fn combine, enum wh_kernel_op op)
{
    static const size_t lengths[] = {0,  1,  2,  3,  5,   7,   15,        16,
                                     17, 31, 33, 63, 100, 257, NELEMS_MAX};
    uint64_t sum = 0xcbf29ce484222325u;
    for (size_t nsrcs = 1; nsrcs <= NSRCS_MAX; nsrcs += 1 + nsrcs / 3) {
        for (size_t l = 0; l < ARRAY_LEN(lengths); l++) {
            for (size_t variant = 0; variant < NVARIANTS; variant++) {
                sum = add_variant(sum, combine, op, nsrcs, lengths[l], variant);
            }
        }
    }
    return sum;
}

static void print_checksums(const struct wh_kernels *kernels)
{
    static const char *const dtypes[] = {
#define DTYPE(name, value, nbytes, text) [value] = text,
#include <whorl/dtype.def>
#undef DTYPE
    };
    static const char *const ops[] = {"sum", "prod", "max", "min"};
    for (size_t dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
        for (size_t op = 0; op < WH_NKERNEL_OPS; op++) {
            uint64_t sum = checksum(kernels->combine[dtype][op], (enum wh_kernel_op)op);
            printf("%s %s %s %016" PRIx64 "\n", kernels->isa, dtypes[dtype], ops[op], sum);
        }
    }
}

int main(void)
{
    fill_operands();
    print_checksums(&wh_kernels_scalar);
#if defined(__aarch64__)
    print_checksums(&wh_kernels_neon);
#endif
    return 0;
}
