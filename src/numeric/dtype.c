/* SPDX-License-Identifier: Apache-2.0 */
/* Element types as a table indexed by their value; the rows are dtype.def. */
#include "numeric/dtype.h"

#include <assert.h>

struct dtype_row {
    size_t nbytes;
    const char *text;
};

static const struct dtype_row rows[] = {
#define DTYPE(name, value, nbytes, text) [value] = {nbytes, text},
#include <whorl/dtype.def>
#undef DTYPE
};

/* A gap in dtype.def would leave rows of zeros that pass for valid types. */
static_assert(sizeof(rows) / sizeof(rows[0]) == WHORL_DTYPE_COUNT, "dtype values end at COUNT");
static_assert(WHORL_DTYPE_COUNT == 0
#define DTYPE(name, value, nbytes, text) +1
#include <whorl/dtype.def>
#undef DTYPE
              ,
              "dtype values have no gaps");

bool wh_dtype_valid(whorl_dtype_t dtype)
{
    /* Through unsigned: the enum's own signedness is the compiler's choice. */
    return (unsigned)dtype < WHORL_DTYPE_COUNT;
}

size_t wh_dtype_nbytes(whorl_dtype_t dtype)
{
    return wh_dtype_valid(dtype) ? rows[dtype].nbytes : 0;
}

const char *wh_dtype_str(whorl_dtype_t dtype)
{
    return wh_dtype_valid(dtype) ? rows[dtype].text : "unknown";
}
