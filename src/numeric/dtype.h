/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an element type is: how many bytes, what it is called. Everything here is an expansion of
 * include/whorl/dtype.def. Arguments may be any integer a caller passed as whorl_dtype_t; these
 * functions are where such a value is first looked at, so they never assert.
 */
#ifndef WH_NUMERIC_DTYPE_H
#define WH_NUMERIC_DTYPE_H

#include <whorl/whorl.h>

#include <stdbool.h>
#include <stddef.h>

/* True if dtype is a row of dtype.def. Any thread. */
bool wh_dtype_valid(whorl_dtype_t dtype);

/* Bytes of one element; 0 if dtype is not valid. Any thread. */
size_t wh_dtype_nbytes(whorl_dtype_t dtype);

/* Name for people ("float32"); "unknown" if dtype is not valid. Static memory, any thread. */
const char *wh_dtype_str(whorl_dtype_t dtype);

#endif
