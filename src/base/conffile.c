/* SPDX-License-Identifier: Apache-2.0 */
/* Reading configuration files. Nothing is logged here: they may say how to log. */
#include "base/conffile.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Keeps one line; bytes becomes the file's. */
static whorl_result_t keep_line(struct wh_conffile *file, char *bytes, size_t number)
{
    struct wh_conffile_line *lines =
        realloc(file->lines, (file->nlines + 1) * sizeof(file->lines[0]));
    if (lines == NULL) {
        free(bytes);
        return WHORL_E_NOMEM;
    }
    file->lines = lines;

    struct wh_conffile_line *line = &file->lines[file->nlines];
    *line = (struct wh_conffile_line){.number = number, .bytes = bytes};
    file->nlines++;

    size_t name_nbytes = strcspn(bytes, "= \t");
    if (name_nbytes > 0 && bytes[name_nbytes] == '=') {
        bytes[name_nbytes] = '\0';
        line->name = bytes;
        line->value = bytes + name_nbytes + 1;
    }
    return WHORL_OK;
}

static whorl_result_t read_lines(struct wh_conffile *file, FILE *stream)
{
    whorl_result_t rc = WHORL_OK;
    char *bytes = NULL;
    size_t capacity = 0;
    for (size_t number = 1; rc == WHORL_OK && getline(&bytes, &capacity, stream) >= 0; number++) {
        bytes[strcspn(bytes, "\r\n")] = '\0';
        if (bytes[0] == '#' || bytes[strspn(bytes, " \t")] == '\0') {
            continue;
        }
        char *copy = strdup(bytes);
        rc = copy != NULL ? keep_line(file, copy, number) : WHORL_E_NOMEM;
    }
    if (rc == WHORL_OK && ferror(stream)) {
        file->why = errno;
    }
    if (bytes != NULL) {
        explicit_bzero(bytes, capacity); /* a line may be a secret */
    }
    free(bytes);
    return rc;
}

whorl_result_t wh_conffile_init(struct wh_conffile *file, const char *path)
{
    *file = (struct wh_conffile){0};
    file->path = strdup(path);
    if (file->path == NULL) {
        return WHORL_E_NOMEM;
    }

    FILE *stream = fopen(path, "re");
    if (stream == NULL) {
        file->why = errno;
        return WHORL_OK;
    }
    whorl_result_t rc = read_lines(file, stream);
    fclose(stream);
    return rc;
}

void wh_conffile_fini(struct wh_conffile *file)
{
    for (size_t i = 0; i < file->nlines; i++) {
        struct wh_conffile_line *line = &file->lines[i];
        if (line->value != NULL) {
            explicit_bzero((char *)line->value, strlen(line->value));
        }
        free(line->bytes);
    }
    free(file->lines);
    free(file->path);
    *file = (struct wh_conffile){0};
}

const char *wh_conffile_lookup(const char *name, void *ctx)
{
    const struct wh_conffile *file = ctx;
    for (size_t i = 0; i < file->nlines; i++) {
        if (file->lines[i].name != NULL && strcmp(file->lines[i].name, name) == 0) {
            return file->lines[i].value;
        }
    }
    return NULL;
}
