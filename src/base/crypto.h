/* SPDX-License-Identifier: Apache-2.0 */
/* What the library must not be doing while the process forks. */
#ifndef WH_BASE_CRYPTO_H
#define WH_BASE_CRYPTO_H

/**
 * Around every call of libcrypto. Its locks do not survive a fork(): a child that was forked while
 * another thread was inside, like the root's, would wait for ever at its first handshake. A fork
 * waits for the end.
 */
void wh_crypto_begin(void);
void wh_crypto_end(void);

#endif
