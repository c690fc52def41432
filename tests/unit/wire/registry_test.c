/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/wire.h"

#include <criterion/criterion.h>
#include <string.h>

Test(registry, every_transport_is_complete)
{
    cr_assert_gt(wh_ntransports, 0);
    for (size_t i = 0; i < wh_ntransports; i++) {
        const struct whorl_transport_ops *ops = wh_transports[i];
        cr_expect_eq(ops->struct_nbytes, sizeof(*ops));
        cr_assert_not_null(ops->name);
        cr_expect(ops->open && ops->close && ops->address && ops->connect && ops->reaches, "%s",
                  ops->name);
        cr_expect(ops->link_open && ops->link_close && ops->acquire && ops->post && ops->poll &&
                      ops->release,
                  "%s", ops->name);
    }
}

Test(registry, names_are_one_word_and_differ)
{
    for (size_t i = 0; i < wh_ntransports; i++) {
        cr_expect_null(strpbrk(wh_transports[i]->name, ", \t"));
        cr_expect_str_neq(wh_transports[i]->name, "auto");
        for (size_t j = 0; j < i; j++) {
            cr_expect_str_neq(wh_transports[i]->name, wh_transports[j]->name);
        }
    }
}

Test(registry, shm_is_tried_before_the_reference)
{
    cr_assert_geq(wh_ntransports, 2);
    cr_expect_str_eq(wh_transports[0]->name, "shm");
    cr_expect_str_eq(wh_transports[wh_ntransports - 1]->name, "loop");
}
