/* SPDX-License-Identifier: Apache-2.0 */
#include "harness/values.h"

#include "harness/ranks.h"
#include "unit/numeric/reference.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash(const struct values *v, int rank, size_t index)
{
    uint64_t state = v->seed ^ (uint64_t)rank << 40 ^ index;
    return ranks_random(&state);
}

/* Whole numbers up to this, and sums of them that stay below, are exact. */
static int64_t exact_limit(whorl_dtype_t dtype)
{
    switch (dtype) {
    case WHORL_FLOAT8_E5M2:
        return 8;
    case WHORL_FLOAT8_E4M3:
        return 16;
    case WHORL_BFLOAT16:
        return 256;
    case WHORL_FLOAT16:
        return 2048;
    default:
        return 1 << 24;
    }
}

/* One rank in so many, at most nmax of nranks, is the one whose value counts at this index. */
static bool takes_part(const struct values *v, int rank, size_t index, int nmax)
{
    int every = (v->nranks + nmax - 1) / nmax;
    return ((size_t)rank + index) % (size_t)every == 0;
}

static double factor(const struct values *v, int rank)
{
    return v->op == VALUES_PREMUL ? (double)(1 + hash(v, rank, SIZE_MAX) % 2) : 1;
}

/* An input of a sum or product of floats. */
static double float_term(const struct values *v, int rank, size_t index)
{
    uint64_t h = hash(v, rank, index);
    if (v->op == WHORL_PROD) {
        static const double powers[] = {2, 0.5};
        double magnitude = takes_part(v, rank, index, 4) ? powers[h % 2] : 1;
        return h & 4 ? -magnitude : magnitude;
    }
    int64_t half = exact_limit(v->dtype) / 2; /* factors are at most 2 */
    int64_t bound = half / v->nranks;
    if (bound > 0) {
        return (double)((int64_t)(h % (uint64_t)(2 * bound + 1)) - bound);
    }
    return takes_part(v, rank, index, (int)half) ? (h & 1 ? 1 : -1) : 0;
}

static bool any_bits(const struct values *v)
{
    return ref_is_integer(v->dtype) || v->op == VALUES_COPY || v->op == WHORL_MAX ||
           v->op == WHORL_MIN;
}

static uint64_t input_bits(const struct values *v, int rank, size_t index)
{
    if (any_bits(v)) {
        return hash(v, rank, index) & ref_mask(v->dtype);
    }
    return ref_float_bits(v->dtype, float_term(v, rank, index));
}

static uint64_t scalar_bits(const struct values *v, int rank)
{
    if (ref_is_integer(v->dtype)) {
        return hash(v, rank, SIZE_MAX) & ref_mask(v->dtype);
    }
    return ref_float_bits(v->dtype, factor(v, rank));
}

static uint64_t integer_result(const struct values *v, size_t index)
{
    uint64_t result = input_bits(v, 0, index);
    if (v->op == VALUES_PREMUL) {
        result *= scalar_bits(v, 0);
    }
    for (int r = 1; r < v->nranks; r++) {
        uint64_t bits = input_bits(v, r, index);
        switch (v->op) {
        case WHORL_PROD:
            result *= bits;
            break;
        case WHORL_MAX:
        case WHORL_MIN:
            result = ref_extreme(v->dtype, v->op == WHORL_MAX, result, bits);
            break;
        case VALUES_PREMUL:
            result += bits * scalar_bits(v, r);
            break;
        default:
            result += bits;
            break;
        }
    }
    result &= ref_mask(v->dtype);
    if (v->op == WHORL_AVG) {
        result = (uint64_t)(ref_integer(v->dtype, result) / v->nranks) & ref_mask(v->dtype);
    }
    return result;
}

static uint64_t float_result(const struct values *v, size_t index)
{
    if (v->op == WHORL_MAX || v->op == WHORL_MIN) {
        uint64_t result = input_bits(v, 0, index);
        for (int r = 1; r < v->nranks; r++) {
            result = ref_extreme(v->dtype, v->op == WHORL_MAX, result, input_bits(v, r, index));
        }
        return result;
    }
    double result = v->op == WHORL_PROD ? 1 : 0;
    for (int r = 0; r < v->nranks; r++) {
        double term = float_term(v, r, index);
        result = v->op == WHORL_PROD ? result * term : result + term * factor(v, r);
    }
    if (v->op == WHORL_AVG) {
        bool wide = v->dtype == WHORL_FLOAT64;
        result = wide ? result / v->nranks : (double)((float)result / (float)v->nranks);
    }
    return ref_float_bits(v->dtype, result);
}

/* Elements from nelems_done on repeat those a period before. */
static void repeat(size_t elem_nbytes, size_t nelems_done, size_t nelems, unsigned char *to)
{
    size_t period_nbytes = VALUES_PERIOD * elem_nbytes;
    size_t done = nelems_done * elem_nbytes, all = nelems * elem_nbytes;
    while (done < all) {
        size_t back = done - done % period_nbytes; /* whole periods that are there */
        size_t n = back < all - done ? back : all - done;
        memcpy(to + done, to, n);
        done += n;
    }
}

/* ---- one period of each, once --------------------------------------------------------------- */

enum { RESULT_OF_ALL = -1, NTABLES = 512 };

struct table {
    struct values v;
    int rank; /* or RESULT_OF_ALL */
    unsigned char bytes[VALUES_PERIOD * VALUES_ELEM_NBYTES_MAX];
};

static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;
static struct table *tables[NTABLES]; /* each at a place that its contents decide; never freed */

static uint64_t bits_of(const struct values *v, int rank, size_t index)
{
    if (rank != RESULT_OF_ALL) {
        return input_bits(v, rank, index);
    }
    return ref_is_integer(v->dtype) ? integer_result(v, index) : float_result(v, index);
}

static bool is_table_of(const struct table *t, const struct values *v, int rank)
{
    return t->rank == rank && t->v.dtype == v->dtype && t->v.op == v->op &&
           t->v.nranks == v->nranks && t->v.seed == v->seed;
}

/* The table of these values; tables_lock is held. */
static const struct table *get_table(const struct values *v, int rank)
{
    uint64_t state = v->seed ^ (uint64_t)v->dtype << 32 ^ (uint64_t)v->op << 40 ^
                     (uint64_t)v->nranks << 48 ^ (uint64_t)(rank + 1) << 56;
    struct table **place = &tables[ranks_random(&state) % NTABLES];
    if (*place != NULL && is_table_of(*place, v, rank)) {
        return *place;
    }
    if (*place == NULL) {
        *place = malloc(sizeof(**place));
        assert(*place != NULL);
    }
    struct table *t = *place;
    t->v = *v;
    t->rank = rank;
    for (size_t i = 0; i < VALUES_PERIOD; i++) {
        ref_store(v->dtype, t->bytes + i * wh_dtype_nbytes(v->dtype), bits_of(v, rank, i));
    }
    return t;
}

static void fill(const struct values *v, int rank, size_t first, size_t nelems, unsigned char *to)
{
    size_t elem_nbytes = wh_dtype_nbytes(v->dtype);
    if (nelems < VALUES_PERIOD / 4) {
        for (size_t i = 0; i < nelems; i++) {
            ref_store(v->dtype, to + i * elem_nbytes,
                      bits_of(v, rank, (first + i) % VALUES_PERIOD));
        }
        return;
    }
    size_t nfresh = nelems < VALUES_PERIOD ? nelems : VALUES_PERIOD;
    size_t start = first % VALUES_PERIOD;
    size_t nbefore = nfresh < VALUES_PERIOD - start ? nfresh : VALUES_PERIOD - start;
    pthread_mutex_lock(&tables_lock);
    const struct table *t = get_table(v, rank);
    memcpy(to, t->bytes + start * elem_nbytes, nbefore * elem_nbytes);
    memcpy(to + nbefore * elem_nbytes, t->bytes, (nfresh - nbefore) * elem_nbytes);
    pthread_mutex_unlock(&tables_lock);
    repeat(elem_nbytes, nfresh, nelems, to);
}

void values_input(const struct values *v, int rank, size_t first, size_t nelems, void *to)
{
    fill(v, rank, first, nelems, to);
}

void values_result(const struct values *v, size_t first, size_t nelems, void *to)
{
    fill(v, RESULT_OF_ALL, first, nelems, to);
}

void values_scalar(const struct values *v, int rank, void *to)
{
    ref_store(v->dtype, to, scalar_bits(v, rank));
}

size_t values_first_wrong(const struct values *v, const void *got, const void *want, size_t nelems)
{
    size_t elem_nbytes = wh_dtype_nbytes(v->dtype);
    if (memcmp(got, want, nelems * elem_nbytes) == 0) {
        return nelems;
    }
    for (size_t i = 0; i < nelems; i++) {
        uint64_t g = ref_load(v->dtype, (const unsigned char *)got + i * elem_nbytes);
        uint64_t w = ref_load(v->dtype, (const unsigned char *)want + i * elem_nbytes);
        bool nans = v->op != VALUES_COPY && ref_is_nan(v->dtype, g) && ref_is_nan(v->dtype, w);
        if (g != w && !nans) {
            return i;
        }
    }
    return nelems;
}
