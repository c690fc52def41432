/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM by each library that can be used here, against memcpy of the same bytes: a small text
 * again and again, and one after the other out of more memory than caches hold, as TCP sends them.
 */
#include "base/gcm.h"
#include "micro/micro.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_NBYTES = 64 << 20, TEXT_NBYTES_MAX = 128 << 10 };

struct job {
    struct wh_gcm *gcm; /* NULL: memcpy */
    const uint8_t *memory;
    size_t nbytes, reach, at; /* of a text; of the memory that is gone through, and how far */
    uint8_t *out;
};

static void run(void *ctx)
{
    static const uint8_t nonce[WH_GCM_NONCE_NBYTES];
    struct job *job = ctx;
    const uint8_t *text = job->memory + job->at;
    uint8_t tag[WH_GCM_TAG_NBYTES];
    job->at = (job->at + job->nbytes) % job->reach;
    if (job->gcm == NULL) {
        memcpy(job->out, text, job->nbytes);
        return;
    }
    const struct wh_gcm_ops *ops = job->gcm->ops;
    if (!ops->begin(job->gcm, true, nonce, NULL, 0) ||
        !ops->update(job->gcm, text, job->out, job->nbytes) || !ops->end_encrypt(job->gcm, tag)) {
        abort();
    }
}

static void compare(const uint8_t *memory, uint8_t *out, size_t nbytes, size_t reach)
{
    static const uint8_t key[WH_GCM_KEY_NBYTES];
    static const struct wh_gcm_ops *const libraries[] = {NULL, &wh_gcm_openssl, &wh_gcm_ipsec_mb};
    struct job jobs[3];
    struct micro_case cases[3];
    char names[3][64];
    size_t ncases = 0;
    for (size_t i = 0; i < 3; i++) {
        if (libraries[i] != NULL && !libraries[i]->is_fit()) {
            continue;
        }
        struct wh_gcm *gcm = libraries[i] != NULL ? libraries[i]->create(key) : NULL;
        if (libraries[i] != NULL && gcm == NULL) {
            abort();
        }
        jobs[ncases] = (struct job){gcm, memory, nbytes, reach, 0, out};
        snprintf(names[ncases], sizeof(names[ncases]), "%zu KiB of %zu %s", nbytes >> 10,
                 reach >> 10, libraries[i] != NULL ? libraries[i]->name : "memcpy");
        cases[ncases] = (struct micro_case){names[ncases], run, &jobs[ncases], nbytes};
        ncases++;
    }
    micro_compare(cases, ncases);
    for (size_t i = 1; i < ncases; i++) {
        jobs[i].gcm->ops->destroy(jobs[i].gcm);
    }
}

int main(int argc, char **argv)
{
    micro_args(argc, argv, "libraries that encrypt, against memcpy");
    uint8_t *memory = malloc(MEMORY_NBYTES), *out = malloc(TEXT_NBYTES_MAX);
    if (memory == NULL || out == NULL) {
        return 1;
    }
    memset(memory, 1, MEMORY_NBYTES);
    memset(out, 1, TEXT_NBYTES_MAX);
    printf("# %s; %s; in use: %s\n", wh_gcm_openssl.version(), wh_gcm_ipsec_mb.version(),
           wh_gcm_best()->name);
    micro_header();
    compare(memory, out, 1 << 10, 1 << 10);
    compare(memory, out, TEXT_NBYTES_MAX, TEXT_NBYTES_MAX);
    compare(memory, out, TEXT_NBYTES_MAX, MEMORY_NBYTES);
    free(memory);
    free(out);
    return 0;
}
