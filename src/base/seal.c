/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed records: numbers for nonces, and what follows a record that does not open. See seal.h. */
#include "base/seal.h"

#include "base/bytes.h"
#include "base/gcm.h"
#include "base/log.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)WH_SEAL_KEY_NBYTES == (int)WH_GCM_KEY_NBYTES, "a seal's key is one of GCM");
static_assert((int)WH_SEAL_TAG_NBYTES == (int)WH_GCM_TAG_NBYTES, "a record's tag is one of GCM");

struct wh_seal {
    struct wh_gcm *gcm;
    uint64_t next; /* number of the next record */
    bool broken;   /* a record did not open: what follows it is not to be trusted either */
};

whorl_result_t wh_seal_create(const uint8_t key[WH_SEAL_KEY_NBYTES], struct wh_seal **seal_out)
{
    struct wh_seal *seal = calloc(1, sizeof(*seal));
    if (seal != NULL) {
        seal->gcm = wh_gcm_best()->create(key);
    }
    if (seal == NULL || seal->gcm == NULL) {
        wh_seal_destroy(seal);
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_NET, "no memory for the keys of a connection");
    }
    *seal_out = seal;
    return WHORL_OK;
}

void wh_seal_destroy(struct wh_seal *seal)
{
    if (seal != NULL) {
        if (seal->gcm != NULL) {
            seal->gcm->ops->destroy(seal->gcm);
        }
        free(seal);
    }
}

const char *wh_seal_library(void)
{
    return wh_gcm_best()->version();
}

void wh_seal_skip(struct wh_seal *seal, uint64_t nrecords)
{
    assert(nrecords <= UINT64_MAX - seal->next);
    seal->next += nrecords;
}

/* Writes the next record's nonce and uses the number up; false: there is none. The last number is
 * never given out, so the count cannot wrap. */
static bool take_nonce(struct wh_seal *seal, uint8_t nonce_out[WH_GCM_NONCE_NBYTES])
{
    if (seal->broken || seal->next == UINT64_MAX) {
        return false;
    }
    memset(nonce_out, 0, WH_GCM_NONCE_NBYTES);
    wh_put_le64(nonce_out, seal->next);
    seal->next++;
    return true;
}

static bool seal_parts(struct wh_gcm *gcm, const struct wh_bytes *parts, size_t nparts,
                       uint8_t *out)
{
    for (size_t i = 0; i < nparts; i++) {
        assert(parts[i].nbytes <= WH_SEAL_RECORD_NBYTES_MAX);
        if (parts[i].nbytes > 0 &&
            !gcm->ops->update(gcm, parts[i].bytes, out, parts[i].nbytes)) {
            return false;
        }
        out += parts[i].nbytes;
    }
    return true;
}

whorl_result_t wh_seal(struct wh_seal *seal, struct wh_bytes clear, const struct wh_bytes *parts,
                       size_t nparts, void *out, uint8_t tag_out[WH_SEAL_TAG_NBYTES])
{
    assert(clear.nbytes <= WH_SEAL_RECORD_NBYTES_MAX);

    uint8_t nonce[WH_GCM_NONCE_NBYTES];
    if (!take_nonce(seal, nonce)) {
        return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_NET,
                       "an encrypted connection has no numbers left for records");
    }
    struct wh_gcm *gcm = seal->gcm;
    if (!gcm->ops->begin(gcm, true, nonce, clear.bytes, clear.nbytes) ||
        !seal_parts(gcm, parts, nparts, out) || !gcm->ops->end_encrypt(gcm, tag_out)) {
        seal->broken = true;
        return wh_fail(WHORL_E_INTERNAL, WH_SUBSYS_NET, "%s could not encrypt a record",
                       gcm->ops->version());
    }
    return WHORL_OK;
}

static bool unseal_parts(struct wh_gcm *gcm, struct wh_bytes sealed, const struct wh_room *parts,
                         size_t nparts)
{
    const uint8_t *in = sealed.bytes;
    for (size_t i = 0; i < nparts; i++) {
        if (parts[i].nbytes > 0 &&
            !gcm->ops->update(gcm, in, parts[i].bytes, parts[i].nbytes)) {
            return false;
        }
        in += parts[i].nbytes;
    }
    return true;
}

whorl_result_t wh_unseal(struct wh_seal *seal, struct wh_bytes clear, struct wh_bytes sealed,
                         const struct wh_room *parts, size_t nparts,
                         const uint8_t tag[WH_SEAL_TAG_NBYTES])
{
    size_t room_nbytes = 0;
    for (size_t i = 0; i < nparts; i++) {
        room_nbytes += parts[i].nbytes;
    }
    assert(room_nbytes == sealed.nbytes);
    assert(sealed.nbytes <= WH_SEAL_RECORD_NBYTES_MAX && clear.nbytes <= WH_SEAL_RECORD_NBYTES_MAX);

    struct wh_gcm *gcm = seal->gcm;
    uint8_t nonce[WH_GCM_NONCE_NBYTES];
    if (take_nonce(seal, nonce) &&
        gcm->ops->begin(gcm, false, nonce, clear.bytes, clear.nbytes) &&
        unseal_parts(gcm, sealed, parts, nparts) && gcm->ops->end_decrypt(gcm, tag)) {
        return WHORL_OK;
    }

    seal->broken = true;
    for (size_t i = 0; i < nparts; i++) {
        if (parts[i].nbytes > 0) {
            memset(parts[i].bytes, 0, parts[i].nbytes);
        }
    }
    return WHORL_E_TRUST;
}
