/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed records: AES-256-GCM with one key per connection and direction, and the number of the
 * record as nonce, so that a record that is altered, repeated, left out or out of order does not
 * open.
 *
 * Where keys come from. Both ends of a connection have proved to each other that they know the
 * job's secret (handshake.h) and have exchanged fresh X25519 shares, which their proofs cover.
 * HKDF-SHA256 over the shared point, salted with the secret and bound to the transcript of the
 * handshake, gives one key for each direction. Who learns the secret later cannot open what was
 * recorded before.
 *
 * A seal serves one thread at a time.
 */
#ifndef WH_BASE_SEAL_H
#define WH_BASE_SEAL_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>
#include <stdint.h>

enum {
    WH_SEAL_KEY_NBYTES = 32,
    WH_SEAL_TAG_NBYTES = 16,
    WH_SEAL_RECORD_NBYTES_MAX = 1 << 30, /* of all parts, and of what goes with them in clear */
};

struct wh_seal;

/**
 * Memory    key is copied; the caller wipes its own. Given back with wh_seal_destroy().
 * Errors    WHORL_E_NOMEM, reported.
 */
WH_MUST_CHECK whorl_result_t wh_seal_create(const uint8_t key[WH_SEAL_KEY_NBYTES],
                                            struct wh_seal **seal_out);
/** Forgets the key. Takes NULL. */
void wh_seal_destroy(struct wh_seal *seal);

/** What does the work, with its version, on which its speed depends: "OpenSSL 3.0.19 27 Jan 2026",
 *  "Intel ipsec-mb 1.3.0" (gcm.h). Lives as long as the process. */
const char *wh_seal_library(void);

/** Uses up nrecords numbers, for tests of what happens when none is left. */
void wh_seal_skip(struct wh_seal *seal, uint64_t nrecords);

/** A piece of memory. bytes may be NULL where nbytes is 0. */
struct wh_bytes {
    const void *bytes;
    size_t nbytes;
};

/** Memory to be written. */
struct wh_room {
    void *bytes;
    size_t nbytes;
};

/**
 * Encrypts the parts, one behind the other, to out (as many bytes), and writes the tag, which also
 * covers `clear`, bytes that travel as they are. Uses up one number. out may be the memory of the
 * only part, and must not overlap the parts in another way.
 *
 * Errors    WHORL_E_INTERNAL, reported: no more numbers, or the library failed. Nothing more can be
 *           sealed.
 */
WH_MUST_CHECK whorl_result_t wh_seal(struct wh_seal *seal, struct wh_bytes clear,
                                     const struct wh_bytes *parts, size_t nparts, void *out,
                                     uint8_t tag_out[WH_SEAL_TAG_NBYTES]);

/**
 * Decrypts `sealed` into the parts, which have as many bytes together, and uses up one number. The
 * only part may be the memory of `sealed`. What is written to the parts must not be used before it
 * returns WHORL_OK.
 *
 * Errors    WHORL_E_TRUST, not reported: not what the peer sealed under this number. The parts are
 *           zeros then, and nothing more opens.
 */
WH_MUST_CHECK whorl_result_t wh_unseal(struct wh_seal *seal, struct wh_bytes clear,
                                       struct wh_bytes sealed, const struct wh_room *parts,
                                       size_t nparts, const uint8_t tag[WH_SEAL_TAG_NBYTES]);

#endif
