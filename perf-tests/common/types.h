/* SPDX-License-Identifier: Apache-2.0 */
/* The element types and reductions that the programs know, by nccl-tests' names. */
#ifndef PERF_COMMON_TYPES_H
#define PERF_COMMON_TYPES_H

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** How the bits of a type are to be read. */
enum perf_class { PERF_SIGNED, PERF_UNSIGNED, PERF_FLOAT };

/** One element type. Floats: exponent and fraction bits and the exponent's bias. */
struct perf_type {
    whorl_dtype_t dtype;
    const char *name;  /**< in the table and for -d */
    const char *other; /**< Whorl's name, also accepted for -d */
    enum perf_class class;
    size_t nbytes;
    int exponent_bits, fraction_bits, bias;
    bool has_inf; /**< false for e4m3: only the largest code is NaN, there is no infinity */
};

/** One reduction. PERF_MULSUM is made per communicator; the others are the library's numbers. */
enum perf_op_kind {
    PERF_OP_SUM,
    PERF_OP_PROD,
    PERF_OP_MIN,
    PERF_OP_MAX,
    PERF_OP_AVG,
    PERF_OP_MULSUM,
    PERF_NOPS,
    PERF_OP_NONE = PERF_NOPS
};

enum { PERF_NTYPES = 12 };

/** The type number index (0 .. PERF_NTYPES-1), in the order of "-d all". */
const struct perf_type *perf_type_at(int index);

/** Index of the type of that name, or -1. */
int perf_type_find(const char *name);

/** Name of a reduction; "none" for PERF_OP_NONE. */
const char *perf_op_name(enum perf_op_kind op);

/** Index of the reduction of that name, or -1. */
int perf_op_find(const char *name);

/** The library's number of a predefined reduction. Not for PERF_OP_MULSUM. */
whorl_redop_t perf_op_number(enum perf_op_kind op);

/**
 * The bits of value in a float type, rounded to nearest even; in an integer type, the integer.
 *
 * Floats    value must be finite and within the type's range after rounding; this is the
 *           checker's own code and shares nothing with the library.
 */
uint64_t perf_type_encode(const struct perf_type *type, double value);

/**
 * A number that orders the bits of a type like the values they stand for: a < b as values exactly
 * when key(a) < key(b). NaN has no place in it; -0 comes just below +0.
 */
uint64_t perf_type_key(const struct perf_type *type, uint64_t bits);

/** Inverse of perf_type_key(). */
uint64_t perf_type_unkey(const struct perf_type *type, uint64_t key);

#endif
