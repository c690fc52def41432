/* SPDX-License-Identifier: Apache-2.0 */
/* What the library must not be doing while the process forks; where it keeps a secret. */
#ifndef WH_BASE_CRYPTO_H
#define WH_BASE_CRYPTO_H

/**
 * Around every call of libcrypto. Its locks do not survive a fork(): a child that was forked while
 * another thread was inside, like the root's, would wait for ever at its first handshake. A fork
 * waits for the end.
 */
void wh_crypto_begin(void);
void wh_crypto_end(void);

/**
 * Frees what libcrypto keeps for this thread; it makes it anew if need be. For a thread that nobody
 * waits for: if it ends while the process does, libcrypto does not free it any more.
 */
void wh_crypto_leave(void);

/**
 * A copy of a text in memory of its own, which the kernel leaves out of core dumps. NULL: no memory.
 * Given back with wh_hidden_free(), which wipes it. What came from the environment is in a core
 * dump all the same, with the environment; what came from a file is not.
 */
char *wh_hidden_copy(const char *text);
/** Takes NULL. */
void wh_hidden_free(char *text);

#endif
