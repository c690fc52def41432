/* SPDX-License-Identifier: Apache-2.0 */
#include "common/verify.h"

#include <string.h>

/* Elements compared at a time: the expected bytes stay in the first-level cache. */
enum { CHECK_NELEMS = 1024, ELEM_NBYTES_MAX = 8 };

void perf_fill(const struct perf_values *values, const struct perf_place *place, void *send)
{
    perf_values_input(values, place->rank, 0, place->sizes.send_count, send);
}

bool perf_is_checked(const struct perf_coll *coll, const struct perf_place *place)
{
    struct perf_part part;
    return coll->expect(place, 0, &part);
}

static uint64_t load(const char *from, size_t nbytes)
{
    uint64_t bits = 0;
    memcpy(&bits, from, nbytes); /* little endian, as everything in these programs */
    return bits;
}

static bool is_close(const struct perf_values *values, uint64_t got, uint64_t want)
{
    uint64_t a = perf_type_key(values->type, got);
    uint64_t b = perf_type_key(values->type, want);
    return (a > b ? a - b : b - a) <= values->tolerance;
}

static uint64_t count_block(const struct perf_values *values, const char *got, const char *want,
                            size_t nelems)
{
    size_t elem_nbytes = values->type->nbytes;
    uint64_t nwrong = 0;

    if (memcmp(got, want, nelems * elem_nbytes) == 0) {
        return 0;
    }
    for (size_t i = 0; i < nelems; i++) {
        uint64_t a = load(got + i * elem_nbytes, elem_nbytes);
        uint64_t b = load(want + i * elem_nbytes, elem_nbytes);
        if (a != b && (values->tolerance == 0 || !is_close(values, a, b))) {
            nwrong++;
        }
    }
    return nwrong;
}

static uint64_t count_part(const struct perf_values *values, const struct perf_part *part,
                           const char *got)
{
    char want[CHECK_NELEMS * ELEM_NBYTES_MAX];
    uint64_t nwrong = 0;

    for (size_t done = 0; done < part->nelems; done += CHECK_NELEMS) {
        size_t n = part->nelems - done < CHECK_NELEMS ? part->nelems - done : CHECK_NELEMS;
        if (part->reduced) {
            perf_values_reduced(values, part->first + done, n, want);
        } else {
            perf_values_input(values, part->source, part->first + done, n, want);
        }
        nwrong += count_block(values, got + done * values->type->nbytes, want, n);
    }
    return nwrong;
}

uint64_t perf_count_wrong(const struct perf_coll *coll, const struct perf_values *values,
                          const struct perf_place *place, const void *recv)
{
    const char *got = recv;
    uint64_t nwrong = 0;
    struct perf_part part;

    for (int i = 0; coll->expect(place, i, &part); i++) {
        nwrong += count_part(values, &part, got);
        got += part.nelems * values->type->nbytes;
    }
    return nwrong;
}

void perf_corrupt(const struct perf_type *type, void *recv, size_t nelems, uint64_t index)
{
    if (nelems == 0) {
        return;
    }
    /* The highest bit below the sign: far outside of any tolerance, even where avg allows some. */
    char *elem = (char *)recv + index % nelems * type->nbytes;
    elem[type->nbytes - 1] = (char)(elem[type->nbytes - 1] ^ 0x40);
}
