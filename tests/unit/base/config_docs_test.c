/* SPDX-License-Identifier: Apache-2.0 */
/* The reference page has a row for every knob and behaves like snprintf. */
#include "base/knobs.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(config_docs, every_knob_has_a_row)
{
    size_t nbytes = wh_config_print_docs(NULL, 0);
    char *page = malloc(nbytes + 1);
    cr_assert(page != NULL);
    cr_expect(wh_config_print_docs(page, nbytes + 1) == nbytes);
    cr_expect(strlen(page) == nbytes);
    for (size_t i = 0; i < wh_nknobs; i++) {
        char cell[80];
        snprintf(cell, sizeof(cell), "\n| `%s` | ", wh_knobs[i].var);
        cr_expect(strstr(page, cell) != NULL, "no row for %s", wh_knobs[i].var);
    }
    cr_expect(strstr(page, "| `WHORL_BUFFSIZE` | `NCCL_BUFFSIZE` | size: 4K to 1G | `480K` | ") !=
              NULL);
    cr_expect(strstr(page, "| `WHORL_RANK` | ") != NULL);
    free(page);
}

Test(config_docs, a_small_buffer_gets_the_beginning)
{
    char page[16];
    memset(page, 'x', sizeof(page));
    size_t nbytes = wh_config_print_docs(page, 9);
    cr_expect(nbytes > 1000);
    cr_expect(memcmp(page, "A settin\0xxxxxx", 15) == 0);
}
