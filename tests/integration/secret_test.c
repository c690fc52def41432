/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret reaches no log and no error text, whatever level is logged: jobs that are created, work,
 * split, go wrong and end, with every line written to files, in which the secret is looked for: as
 * the text that the user gave, and as the bytes that are made of it, plain or in hexadecimal.
 */
#include "bootstrap/boot.h"
#include "bootstrap/ticket.h"
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NNEEDLES = 4, NEEDLE_NBYTES = 64 };

static const char given[] = "Sesame 7c1f, open!";
static const char wrong[] = "Barley 9ad0, open!";

/* A folder for the logs of a job, and what the job's processes have in their environment. */
struct scene {
    char folder[64], file[96], root[64];
    const char *env[12];
    int port;
};

static void scene_begin(struct scene *scene, const char *transports, const char *encrypt)
{
    memset(scene, 0, sizeof(*scene));
    snprintf(scene->folder, sizeof(scene->folder), "/tmp/whorl-secret-XXXXXX");
    cr_assert_not_null(mkdtemp(scene->folder));
    scene->port = ranks_free_port();
    snprintf(scene->file, sizeof(scene->file), "WHORL_DEBUG_FILE=%s/log.%%p", scene->folder);
    snprintf(scene->root, sizeof(scene->root), "WHORL_ROOT=127.0.0.1:%d", scene->port);
    size_t n = 0;
    scene->env[n++] = "WHORL_DEBUG=TRACE";
    scene->env[n++] = "WHORL_DEBUG_SUBSYS=ALL";
    scene->env[n++] = scene->file;
    scene->env[n++] = transports;
    scene->env[n++] = encrypt;
}

/* ---- needles --------------------------------------------------------------------------------- */

struct needle {
    char bytes[NEEDLE_NBYTES];
    size_t nbytes;
};

/* The secret inside an id: as it is, and in hexadecimal. */
static void needles_of_id(const whorl_id_t *id, struct needle needles[3])
{
    struct wh_ticket ticket;
    cr_assert(wh_ticket_decode(id, &ticket));
    memcpy(needles[0].bytes, ticket.secret, WH_SECRET_NBYTES);
    needles[0].nbytes = WH_SECRET_NBYTES;
    for (size_t i = 0; i < WH_SECRET_NBYTES; i++) {
        snprintf(needles[1].bytes + 2 * i, 3, "%02x", ticket.secret[i]);
        snprintf(needles[2].bytes + 2 * i, 3, "%02X", ticket.secret[i]);
    }
    needles[1].nbytes = needles[2].nbytes = 2 * (size_t)WH_SECRET_NBYTES;
}

/* The same of the id that ranks make of an address and a text; and the text itself. */
static void needles_of_text(const struct scene *scene, const char *text,
                            struct needle needles[NNEEDLES])
{
    whorl_id_t id;
    cr_assert_eq(wh_boot_id_from_address(strchr(scene->root, '=') + 1, text, &id), WHORL_OK);
    needles_of_id(&id, needles);
    needles[3].nbytes = strlen(text);
    memcpy(needles[3].bytes, text, needles[3].nbytes);
}

/* ---- logs ------------------------------------------------------------------------------------ */

static void search_file(const char *path, const struct needle *needles, size_t nneedles)
{
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    char *text = NULL;
    size_t nbytes = 0, capacity = 0;
    do {
        capacity += 1 << 16;
        text = realloc(text, capacity);
        cr_assert_not_null(text);
        nbytes += fread(text + nbytes, 1, capacity - nbytes, file);
    } while (nbytes == capacity);
    fclose(file);
    cr_expect_not_null(memmem(text, nbytes, "WHORL INFO", 10), "%s has no log", path);
    for (size_t i = 0; i < nneedles; i++) {
        cr_expect_null(memmem(text, nbytes, needles[i].bytes, needles[i].nbytes),
                       "form %zu of the secret is in this log:\n%.*s", i, (int)nbytes, text);
    }
    free(text);
}

/* Looks through the logs, and takes them away. */
static void scene_end(struct scene *scene, const struct needle *needles, size_t nneedles)
{
    DIR *folder = opendir(scene->folder);
    cr_assert_not_null(folder);
    size_t nfiles = 0;
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%s/%s", scene->folder, entry->d_name);
        if (strncmp(entry->d_name, "log.", 4) == 0) {
            search_file(path, needles, nneedles);
            nfiles++;
        }
        if (entry->d_name[0] != '.') {
            unlink(path);
        }
    }
    closedir(folder);
    rmdir(scene->folder);
    cr_expect_eq(nfiles, 2, "%zu logs of two processes", nfiles);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

/* Works, splits, and ends with calls that do not fit. */
static void use_comm(struct rank *rank)
{
    struct coll_case c = {
        .kind = CASE_ALL_REDUCE, .count = 5000, .dtype = WHORL_FLOAT32, .op = WHORL_SUM, .seed = 1};
    case_do(rank, rank->comm, &c);
    whorl_comm_t part = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, 0, -rank->rank, NULL, &part));
    case_do(rank, part, &c);
    RANK_OK(rank, whorl_comm_destroy(part));
    c.count += (size_t)rank->rank;
    struct case_run *run = case_begin(rank, rank->comm, &c);
    whorl_result_t rc = case_call(run, NULL);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%d: %s", rc, whorl_last_error(rank->comm));
    case_drop(run);
}

static void use_comm_from_env(struct rank *rank)
{
    const struct scene *scene = rank->arg;
    char text[16];
    snprintf(text, sizeof(text), "%d", rank->rank);
    setenv("WHORL_RANK", text, 1);
    setenv("WHORL_NRANKS", "2", 1);
    setenv("WHORL_SECRET", given, 1);
    setenv("WHORL_ROOT", strchr(scene->root, '=') + 1, 1);
    RANK_OK(rank, whorl_comm_create_from_env(NULL, &rank->comm));
    use_comm(rank);
}

/* Once in a test: looking for the secret reads this process's settings, which a second job's
 * processes would inherit. */
static void expect_silence(const char *transports, const char *encrypt)
{
    struct scene scene;
    struct needle needles[NNEEDLES] = {{.nbytes = 0}};
    scene_begin(&scene, transports, encrypt);
    ranks_run(&(struct ranks_job){.nprocesses = 2,
                                  .run = use_comm_from_env,
                                  .arg = &scene,
                                  .env = scene.env,
                                  .no_comm = true});
    needles_of_text(&scene, given, needles);
    scene_end(&scene, needles, NNEEDLES);
}

Test(secret, the_one_of_the_environment_is_in_no_log)
{
    expect_silence("WHORL_TRANSPORTS=auto", "WHORL_ENCRYPT=0");
}

Test(secret, the_one_of_the_environment_is_in_no_log_over_tcp)
{
    expect_silence("WHORL_TRANSPORTS=tcp", "WHORL_ENCRYPT=0");
}

Test(secret, the_one_of_the_environment_is_in_no_log_over_tcp_that_encrypts)
{
    expect_silence("WHORL_TRANSPORTS=tcp", "WHORL_ENCRYPT=1");
}

/* Both are wrong for the other end, which must not quote what it compared. */
static void come_with_another(struct rank *rank)
{
    const struct scene *scene = rank->arg;
    char text[16];
    snprintf(text, sizeof(text), "%d", rank->rank);
    setenv("WHORL_RANK", text, 1);
    setenv("WHORL_NRANKS", "2", 1);
    setenv("WHORL_INIT_TIMEOUT", "2s", 1);
    setenv("WHORL_SECRET", rank->rank == 1 ? wrong : given, 1);
    setenv("WHORL_ROOT", strchr(scene->root, '=') + 1, 1);
    whorl_result_t rc = whorl_comm_create_from_env(NULL, &rank->comm);
    whorl_result_t wanted = rank->rank == 1 ? WHORL_E_TRUST : WHORL_E_TIMEOUT;
    RANK_CHECK(rank, rc == wanted, "%d: %s", rc, whorl_last_error(NULL));
    RANK_CHECK(rank, strstr(whorl_last_error(NULL), wrong) == NULL, "it was told");
    RANK_CHECK(rank, strstr(whorl_last_error(NULL), given) == NULL, "it was told");
}

Test(secret, neither_of_two_that_differ_is_in_a_log)
{
    struct scene scene;
    struct needle needles[2 * NNEEDLES] = {{.nbytes = 0}};
    scene_begin(&scene, "WHORL_TRANSPORTS=auto", "WHORL_ENCRYPT=0");
    ranks_run(&(struct ranks_job){.nprocesses = 2,
                                  .run = come_with_another,
                                  .arg = &scene,
                                  .env = scene.env,
                                  .no_comm = true});
    needles_of_text(&scene, given, needles);
    needles_of_text(&scene, wrong, needles + NNEEDLES);
    scene_end(&scene, needles, 2 * NNEEDLES);
}

static void use_comm_and_leave_id(struct rank *rank)
{
    const struct scene *scene = rank->arg;
    if (rank->rank == 0) {
        char path[96];
        whorl_id_t id = rank_job_id(rank);
        snprintf(path, sizeof(path), "%s/id", scene->folder);
        FILE *file = fopen(path, "we");
        RANK_CHECK(rank, file != NULL && fwrite(&id, sizeof(id), 1, file) == 1, "%s", path);
        fclose(file);
    }
    use_comm(rank);
}

Test(secret, the_one_of_an_id_is_in_no_log)
{
    struct scene scene;
    struct needle needles[3] = {{.nbytes = 0}};
    whorl_id_t id;
    char path[96];
    scene_begin(&scene, "WHORL_TRANSPORTS=auto", "WHORL_ENCRYPT=0");
    ranks_run(&(struct ranks_job){
        .nprocesses = 2, .run = use_comm_and_leave_id, .arg = &scene, .env = scene.env});
    snprintf(path, sizeof(path), "%s/id", scene.folder);
    FILE *file = fopen(path, "re");
    cr_assert(file != NULL && fread(&id, sizeof(id), 1, file) == 1);
    fclose(file);
    needles_of_id(&id, needles);
    scene_end(&scene, needles, 3);
}
