/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WHORL_TRANSPORTS and what ranks tell each other of it.
 *
 * The bytes are a count and that many indexes into wh_transports, which is the same list in every
 * process that runs the same version of the library; bootstrap has compared the versions.
 */
#include "wire/choose.h"

#include "base/log.h"
#include "wire/wire.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

_Static_assert(WH_CHOICE_NBYTES > WH_CHOICE_MAX, "a count and the indexes fit");

bool wh_choice_has(const struct wh_choice *choice, uint32_t index)
{
    for (uint32_t i = 0; i < choice->n; i++) {
        if (choice->index[i] == index) {
            return true;
        }
    }
    return false;
}

static void choice_add(struct wh_choice *choice, size_t index)
{
    if (choice->n < WH_CHOICE_MAX && index < wh_ntransports &&
        !wh_choice_has(choice, (uint32_t)index)) {
        choice->index[choice->n++] = (uint8_t)index;
    }
}

/* Index of the transport whose name is name[0..nbytes), wh_ntransports if there is none. */
static size_t find_transport(const char *name, size_t nbytes)
{
    for (size_t i = 0; i < wh_ntransports; i++) {
        if (strlen(wh_transports[i]->name) == nbytes &&
            memcmp(wh_transports[i]->name, name, nbytes) == 0) {
            return i;
        }
    }
    return wh_ntransports;
}

static whorl_result_t fail_unknown(const char *text, const char *name, size_t nbytes)
{
    char known[256] = "";
    size_t used = 0;

    for (size_t i = 0; i < wh_ntransports && used < sizeof(known); i++) {
        used +=
            (size_t)snprintf(known + used, sizeof(known) - used, ", %s", wh_transports[i]->name);
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                   "wire: WHORL_TRANSPORTS=%s: there is no transport \"%.*s\"; there are auto%s",
                   text, (int)nbytes, name, known);
}

static whorl_result_t parse_list(const char *text, struct wh_choice *choice)
{
    const char *name = text;

    while (*name != '\0') {
        name += strspn(name, ", \t");
        size_t nbytes = strcspn(name, ", \t");
        if (nbytes == 0) {
            continue;
        }
        if (nbytes == 4 && memcmp(name, "auto", 4) == 0) {
            for (size_t i = 0; i < wh_ntransports; i++) {
                choice_add(choice, i);
            }
        } else {
            size_t index = find_transport(name, nbytes);
            if (index == wh_ntransports) {
                return fail_unknown(text, name, nbytes);
            }
            choice_add(choice, index);
        }
        name += nbytes;
    }
    return WHORL_OK;
}

whorl_result_t wh_choice_parse(const struct wh_config *config, struct wh_choice *choice_out)
{
    struct wh_choice all = {.n = 0};
    struct wh_choice left = {.n = 0};

    assert(wh_ntransports <= WH_CHOICE_MAX);

    whorl_result_t rc = parse_list(config->transports, &all);
    if (rc != WHORL_OK) {
        return rc;
    }
    for (uint32_t i = 0; i < all.n; i++) {
        if (!config->shm_disable || strcmp(wh_transports[all.index[i]]->name, "shm") != 0) {
            choice_add(&left, all.index[i]);
        }
    }
    if (left.n == 0) {
        return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV,
                       "wire: WHORL_TRANSPORTS=%s with WHORL_SHM_DISABLE=%d leaves no transport",
                       config->transports, config->shm_disable);
    }
    *choice_out = left;
    return WHORL_OK;
}

void wh_choice_encode(const struct wh_choice *choice, uint8_t bytes[WH_CHOICE_NBYTES])
{
    memset(bytes, 0, WH_CHOICE_NBYTES);
    bytes[0] = (uint8_t)choice->n;
    memcpy(bytes + 1, choice->index, choice->n);
}

void wh_choice_decode(const uint8_t bytes[WH_CHOICE_NBYTES], struct wh_choice *choice_out)
{
    *choice_out = (struct wh_choice){.n = 0};
    for (uint32_t i = 0; i < bytes[0] && i < WH_CHOICE_MAX; i++) {
        choice_add(choice_out, bytes[1 + i]);
    }
}
