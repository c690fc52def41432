/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Putting settings together: for every knob the first source that has it, under either name.
 *
 * The level and the place of the log are settings too, so nothing is logged until all values are
 * there; then the log is turned, and what was found on the way is reported. A bad value does not
 * stop the reading, for the same reason: its report goes where the user asked reports to go.
 */
#include "base/config.h"

#include "base/conffile.h"
#include "base/knobs.h"
#include "base/log.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    NSOURCES_MOST = 3,
    FAILURE_NBYTES = 2048,
    SHOWN_NBYTES = 200, /* of a value, in lines */
};

/* Where values come from, in order. */
struct source {
    const char *label; /* "environment", or the path of a file */
    wh_config_lookup_fn lookup;
    void *ctx;
};

/* Everything that is read. */
struct sources {
    struct source list[NSOURCES_MOST];
    size_t nsources;
    struct wh_conffile files[NSOURCES_MOST - 1];
    size_t nfiles;
    bool first_was_named; /* files[0] is $WHORL_CONF_FILE */
};

/* One value as it was found. */
struct setting {
    const char *text;
    const char *name; /* the variable or its alias */
    const struct source *source;
};

/* Which configuration file is read is decided before one is read. */
static bool is_env_only(const char *var)
{
    return strcmp(var, "WHORL_CONF_FILE") == 0 || strcmp(var, "NCCL_CONF_FILE") == 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool find_setting(const struct wh_knob *knob, const struct sources *sources,
                         struct setting *setting_out)
{
    size_t nsources = is_env_only(knob->var) ? 1 : sources->nsources;
    for (size_t i = 0; i < nsources; i++) {
        const struct source *source = &sources->list[i];
        const char *names[] = {knob->var, knob->alias};
        for (size_t j = 0; j < ARRAY_LEN(names); j++) {
            const char *text = names[j] != NULL ? source->lookup(names[j], source->ctx) : NULL;
            if (text != NULL && text[0] != '\0') {
                *setting_out = (struct setting){text, names[j], source};
                return true;
            }
        }
    }
    return false;
}

static void describe_failure(const struct setting *setting, const char *why,
                             char failure[FAILURE_NBYTES])
{
    bool in_file = setting->source->lookup == wh_conffile_lookup;
    snprintf(failure, FAILURE_NBYTES, "%s=%.*s %s%s%s%s", setting->name, SHOWN_NBYTES,
             setting->text, in_file ? "(in " : "", in_file ? setting->source->label : "",
             in_file ? ") " : "", why);
}

/* Fills every field, with the default where a value is refused. Returns the first refusal,
 * described in failure. */
static whorl_result_t fill(struct wh_config *config, const struct sources *sources,
                           char failure[FAILURE_NBYTES])
{
    memset(config, 0, sizeof(*config));
    whorl_result_t first = WHORL_OK;
    for (size_t i = 0; i < wh_nknobs; i++) {
        const struct wh_knob *knob = &wh_knobs[i];
        char why[WH_KNOB_WHY_NBYTES] = "";
        struct setting setting;
        whorl_result_t rc = WHORL_OK;
        bool found = find_setting(knob, sources, &setting);
        if (found) {
            rc = wh_knob_set(knob, setting.text, config, why);
        }
        if (rc == WHORL_E_CONFIG && first == WHORL_OK) {
            describe_failure(&setting, why, failure);
            first = rc;
        }
        if (!found || rc == WHORL_E_CONFIG) {
            rc = wh_knob_set(knob, knob->dflt, config, why);
            assert(rc != WHORL_E_CONFIG);
        }
        if (rc != WHORL_OK) {
            snprintf(failure, FAILURE_NBYTES, "no memory for the value of %s", knob->var);
            return rc;
        }
    }
    return first;
}

whorl_result_t wh_config_init(struct wh_config *config, wh_config_lookup_fn lookup, void *ctx)
{
    struct sources sources = {.list = {{"environment", lookup, ctx}}, .nsources = 1};
    char failure[FAILURE_NBYTES] = "";
    whorl_result_t rc = fill(config, &sources, failure);
    return rc == WHORL_OK ? rc : wh_fail(rc, WH_SUBSYS_ENV, "%s", failure);
}

void wh_config_fini(struct wh_config *config)
{
    for (size_t i = 0; i < wh_nknobs; i++) {
        wh_knob_clear(&wh_knobs[i], config);
    }
}

/* ---- sources --------------------------------------------------------------------------------- */

static whorl_result_t add_file(struct sources *sources, const char *path)
{
    struct wh_conffile *file = &sources->files[sources->nfiles];
    sources->nfiles++;
    whorl_result_t rc = wh_conffile_init(file, path);
    sources->list[sources->nsources] = (struct source){file->path, wh_conffile_lookup, file};
    sources->nsources++;
    return rc;
}

/* A value of the environment; NULL also where it is empty. */
static const char *env_text(const struct wh_config_world *world, const char *name)
{
    const char *text = world->lookup(name, world->ctx);
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static whorl_result_t sources_init(struct sources *sources, const struct wh_config_world *world)
{
    *sources = (struct sources){
        .list = {{"environment", world->lookup, world->ctx}},
        .nsources = 1,
    };

    char path[PATH_MAX] = "";
    const char *named = env_text(world, "WHORL_CONF_FILE");
    named = named != NULL ? named : env_text(world, "NCCL_CONF_FILE");
    const char *home = env_text(world, "HOME");
    sources->first_was_named = named != NULL;
    if (named != NULL) {
        snprintf(path, sizeof(path), "%s", named);
    } else if (home != NULL) {
        snprintf(path, sizeof(path), "%s/.whorl.conf", home);
    }

    whorl_result_t rc = path[0] != '\0' ? add_file(sources, path) : WHORL_OK;
    return rc == WHORL_OK ? add_file(sources, world->etc_path) : rc;
}

static void sources_fini(struct sources *sources)
{
    for (size_t i = 0; i < sources->nfiles; i++) {
        wh_conffile_fini(&sources->files[i]);
    }
}

/* ---- reports --------------------------------------------------------------------------------- */

/* name is nbytes long; where names the file and line, or is empty. */
static void warn_if_unknown(const char *name, size_t nbytes, const char *where)
{
    char whole[128];
    if (strncmp(name, "WHORL_", 6) != 0 || nbytes >= sizeof(whole)) {
        return;
    }
    memcpy(whole, name, nbytes);
    whole[nbytes] = '\0';
    if (wh_knob_is_name(whole)) {
        return;
    }
    const char *nearest = wh_knob_nearest(whole);
    wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "%s%s is no setting of this library%s%s%s", where, whole,
           nearest != NULL ? "; did you mean " : "", nearest != NULL ? nearest : "",
           nearest != NULL ? "?" : "");
}

static void report_file(const struct wh_conffile *file, bool named)
{
    if (file->why != 0 && (named || (file->why != ENOENT && file->why != ENOTDIR))) {
        errno = file->why;
        wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "settings file %s: %m", file->path);
    }
    for (size_t i = 0; i < file->nlines; i++) {
        const struct wh_conffile_line *line = &file->lines[i];
        char where[PATH_MAX + 32];
        snprintf(where, sizeof(where), "%s:%zu: ", file->path, line->number);
        if (line->name == NULL) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "%sline is not NAME=VALUE; ignored", where);
        } else if (is_env_only(line->name)) {
            wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "%s%s has no effect in a file; ignored", where,
                   line->name);
        } else {
            warn_if_unknown(line->name, strlen(line->name), where);
        }
    }
}

/* One INFO line for each knob that was set, with its true name and where it was set. */
static void report_settings(const struct sources *sources)
{
    for (size_t i = 0; i < wh_nknobs; i++) {
        struct setting setting;
        if (!find_setting(&wh_knobs[i], sources, &setting)) {
            continue;
        }
        bool by_alias = setting.name == wh_knobs[i].alias;
        bool secret = wh_knobs[i].offset == offsetof(struct wh_config, secret);
        wh_log(WH_LOG_INFO, WH_SUBSYS_ENV, "%s set by %s%s%s%s to %.*s", wh_knobs[i].var,
               setting.source->label, by_alias ? " (" : "", by_alias ? setting.name : "",
               by_alias ? ")" : "", SHOWN_NBYTES, secret ? "(hidden)" : setting.text);
    }
}

static void report_all(const struct sources *sources, const struct wh_config_world *world)
{
    for (size_t i = 0; i < sources->nfiles; i++) {
        report_file(&sources->files[i], i == 0 && sources->first_was_named);
    }
    for (size_t i = 0; world->names != NULL && world->names[i] != NULL; i++) {
        warn_if_unknown(world->names[i], strcspn(world->names[i], "="), "");
    }
    report_settings(sources);
}

whorl_result_t wh_config_load(struct wh_config *config, const struct wh_config_world *world)
{
    memset(config, 0, sizeof(*config));
    char failure[FAILURE_NBYTES] = "no memory for the settings";
    struct sources sources;
    whorl_result_t rc = sources_init(&sources, world);
    if (rc == WHORL_OK) {
        rc = fill(config, &sources, failure);
    }
    if (rc == WHORL_OK || rc == WHORL_E_CONFIG) {
        wh_log_configure(config->debug, config->debug_subsys, config->debug_file);
        report_all(&sources, world);
    }
    sources_fini(&sources);
    return rc == WHORL_OK ? rc : wh_fail(rc, WH_SUBSYS_ENV, "%s", failure);
}

/* ---- this process ---------------------------------------------------------------------------- */

static struct {
    pthread_once_t once;
    whorl_result_t rc;
    struct wh_config config;
    char failure[FAILURE_NBYTES];
} process = {.once = PTHREAD_ONCE_INIT};

const char *wh_config_env(const char *name)
{
    return secure_getenv(name);
}

static const char *lookup_env(const char *name, void *ctx)
{
    (void)ctx;
    return secure_getenv(name);
}

static void load_process(void)
{
    process.rc = wh_config_load(&process.config, &(struct wh_config_world){
                                                     .lookup = lookup_env,
                                                     .names = environ,
                                                     .etc_path = "/etc/whorl.conf",
                                                 });
    if (process.rc != WHORL_OK) {
        snprintf(process.failure, sizeof(process.failure), "%s", wh_error_get());
    }
}

whorl_result_t wh_config_get(const struct wh_config **config_out)
{
    pthread_once(&process.once, load_process);
    if (process.rc != WHORL_OK) {
        wh_error_set(process.failure);
        return process.rc;
    }
    *config_out = &process.config;
    return WHORL_OK;
}
