/* SPDX-License-Identifier: Apache-2.0 */
/* Settings from the environment and from files: which wins, what is refused, what is reported. */
#include "base/config.h"
#include "base/log.h"
#include "base/macros.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a small environment --------------------------------------------------------------------- */

static const char *lookup_table(const char *name, void *ctx)
{
    for (const char *const *pair = ctx; *pair != NULL; pair += 2) {
        if (strcmp(pair[0], name) == 0) {
            return pair[1];
        }
    }
    return NULL;
}

static whorl_result_t init_from(struct wh_config *config, const char *const *pairs)
{
    return wh_config_init(config, lookup_table, (void *)pairs);
}

/* ---- files of one test ----------------------------------------------------------------------- */

static char dir[64];
static char log_path[128];
static char etc_path[128];
static char home_path[128];
static char named_path[128];

static void make_files(void)
{
    strcpy(dir, "/tmp/whorl-config-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    snprintf(log_path, sizeof(log_path), "%s/log", dir);
    snprintf(etc_path, sizeof(etc_path), "%s/etc.conf", dir);
    snprintf(home_path, sizeof(home_path), "%s/.whorl.conf", dir);
    snprintf(named_path, sizeof(named_path), "%s/named.conf", dir);
}

static void remove_files(void)
{
    const char *const paths[] = {log_path, etc_path, home_path, named_path};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        if (unlink(paths[i]) != 0) {
            cr_expect(errno == ENOENT);
        }
    }
    cr_expect(rmdir(dir) == 0);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    cr_assert(fputs(text, file) >= 0);
    cr_assert(fclose(file) == 0);
}

static const char *read_log(void)
{
    static char text[16384];
    FILE *file = fopen(log_path, "r");
    if (file == NULL) {
        return "";
    }
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static bool log_has(const char *text)
{
    return strstr(read_log(), text) != NULL;
}

/* names is NAME=VALUE of what is to be looked at for unknown names; NULL: none. */
static whorl_result_t load_from(struct wh_config *config, const char *const *pairs,
                                char *const *names)
{
    struct wh_config_world world = {lookup_table, (void *)pairs, names, etc_path};
    return wh_config_load(config, &world);
}

TestSuite(config_files, .init = make_files, .fini = remove_files);

/* ---- the environment alone ------------------------------------------------------------------- */

Test(config, without_settings_every_knob_has_its_default)
{
    struct wh_config config;
    cr_assert(init_from(&config, (const char *const[]){NULL}) == WHORL_OK);
    cr_expect_str_eq(config.debug, "WARN");
    cr_expect_str_eq(config.debug_subsys, "INIT,BOOTSTRAP,ENV");
    cr_expect_str_eq(config.root, "");
    cr_expect_str_eq(config.transports, "auto");
    cr_expect(config.init_timeout_ms == 120000);
    cr_expect(config.timeout_ms == 600000);
    cr_expect(config.buffer_nbytes == 480 * 1024);
    cr_expect(config.nslots == 4);
    cr_expect(!config.shm_disable);
    wh_config_fini(&config);
}

Test(config, an_alias_works_and_the_own_name_wins)
{
    struct wh_config config;
    const char *const pairs[] = {
        "NCCL_BUFFSIZE",     "4194304", "NCCL_ALGO",     "Tree", "WHORL_ALGO", "ring",
        "WHORL_SHM_DISABLE", "yes",     "WHORL_TIMEOUT", "90s",  NULL};
    cr_assert(init_from(&config, pairs) == WHORL_OK);
    cr_expect(config.buffer_nbytes == 4194304);
    cr_expect_str_eq(config.algo, "ring");
    cr_expect(config.shm_disable);
    cr_expect(config.timeout_ms == 90000);
    wh_config_fini(&config);
}

Test(config, an_empty_value_is_as_good_as_none)
{
    struct wh_config config;
    const char *const pairs[] = {"WHORL_BUFFSIZE",
                                 "",
                                 "NCCL_BUFFSIZE",
                                 "1M",
                                 "WHORL_TRANSPORTS",
                                 "",
                                 "WHORL_TIMEOUT",
                                 "",
                                 NULL};
    cr_assert(init_from(&config, pairs) == WHORL_OK);
    cr_expect(config.buffer_nbytes == 1048576);
    cr_expect_str_eq(config.transports, "auto");
    cr_expect(config.timeout_ms == 600000);
    wh_config_fini(&config);
}

Test(config, texts_are_copies)
{
    struct wh_config config;
    char value[] = "ring";
    cr_assert(init_from(&config, (const char *const[]){"WHORL_ALGO", value, NULL}) == WHORL_OK);
    strcpy(value, "tree");
    cr_expect_str_eq(config.algo, "ring");
    wh_config_fini(&config);
    cr_expect(config.algo == NULL);
}

Test(config, a_bad_value_names_the_variable_the_value_and_what_is_accepted)
{
    static const struct {
        const char *name, *value, *error;
    } rows[] = {
        {"WHORL_BUFFSIZE", "4Q",
         "WHORL_BUFFSIZE=4Q is not a size: use bytes with an optional K, M or G (4K to 1G)"},
        {"NCCL_BUFFSIZE", "1", "NCCL_BUFFSIZE=1 is out of range: use 4K to 1G"},
        {"NCCL_DEBUG", "LOUD",
         "NCCL_DEBUG=LOUD is not understood: use NONE, VERSION, WARN, INFO, TRACE or ABORT"},
        {"WHORL_SHM_DISABLE", "maybe",
         "WHORL_SHM_DISABLE=maybe is not a flag: use 0, 1, false, true, no, yes, off or on"},
    };
    wh_log_configure("NONE", "", "");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wh_config config;
        const char *const pairs[] = {rows[i].name, rows[i].value, NULL};
        cr_expect(init_from(&config, pairs) == WHORL_E_CONFIG, "%s=%s", rows[i].name,
                  rows[i].value);
        cr_expect_str_eq(wh_error_get(), rows[i].error);
        wh_config_fini(&config);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

Test(config_files, the_environment_wins_over_home_over_etc)
{
    write_file(home_path, "# a comment\n"
                          "NCCL_BUFFSIZE=1M\n"
                          "WHORL_ALGO=from home\n"
                          "WHORL_ALGO=never\n"
                          "WHORL_TIMEOUT=1s\n");
    write_file(etc_path, "WHORL_BUFFSIZE=2M\r\n"
                         "WHORL_ALGO=from etc\r\n"
                         "\r\n"
                         "WHORL_SLOTS=8\r\n"
                         "WHORL_TIMEOUT=2s");
    const char *const pairs[] = {"HOME", dir, "WHORL_TIMEOUT", "3s", NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, NULL) == WHORL_OK);
    cr_expect(config.timeout_ms == 3000);
    cr_expect(config.buffer_nbytes == 1048576); /* the alias in the first file */
    cr_expect_str_eq(config.algo, "from home");
    cr_expect(config.nslots == 8);
    wh_config_fini(&config);
}

Test(config_files, a_named_file_is_read_instead_of_that_in_home)
{
    write_file(home_path, "WHORL_SLOTS=8\nWHORL_SPIN=1\n");
    write_file(named_path, "WHORL_SLOTS=16\n");
    write_file(etc_path, "WHORL_SLOTS=32\nWHORL_YIELDS=7\n");
    const char *const pairs[] = {"HOME", dir, "NCCL_CONF_FILE", named_path, NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, NULL) == WHORL_OK);
    cr_expect(config.nslots == 16);
    cr_expect(config.spin == 100);
    cr_expect(config.nyields == 7);
    wh_config_fini(&config);
}

Test(config_files, a_bad_value_in_a_file_names_the_file)
{
    write_file(etc_path, "NCCL_BUFFSIZE=4Q\n");
    const char *const pairs[] = {"WHORL_DEBUG_FILE", log_path, NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, NULL) == WHORL_E_CONFIG);
    char expected[256];
    snprintf(expected, sizeof(expected),
             "NCCL_BUFFSIZE=4Q (in %s) is not a size: "
             "use bytes with an optional K, M or G (4K to 1G)",
             etc_path);
    cr_expect_str_eq(wh_error_get(), expected);
    cr_expect(log_has(expected)); /* in the place that the good settings chose */
    wh_config_fini(&config);
}

Test(config_files, a_missing_file_is_reported_only_if_it_was_named)
{
    struct wh_config config;
    const char *const unnamed[] = {"HOME", dir, "WHORL_DEBUG_FILE", log_path, NULL};
    cr_assert(load_from(&config, unnamed, NULL) == WHORL_OK);
    cr_expect_str_eq(read_log(), "");
    wh_config_fini(&config);

    const char *const named[] = {"WHORL_CONF_FILE", named_path, "WHORL_DEBUG_FILE", log_path, NULL};
    cr_assert(load_from(&config, named, NULL) == WHORL_OK);
    cr_expect(log_has("named.conf: No such file or directory"));
    wh_config_fini(&config);
}

Test(config_files, mistakes_in_a_file_are_warned_about_with_their_line)
{
    write_file(etc_path, "# fine\n"
                         "WHORL_ALGO = ring\n"
                         "nonsense\n"
                         "=x\n"
                         "WHORL_TIMOUT=5s\n"
                         "WHORL_CONF_FILE=/elsewhere\n"
                         "NCCL_IB_HCA=mlx5_0\n");
    const char *const pairs[] = {"WHORL_DEBUG_FILE", log_path, NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, NULL) == WHORL_OK);
    cr_expect(log_has("etc.conf:2: line is not NAME=VALUE"));
    cr_expect(log_has("etc.conf:3: line is not NAME=VALUE"));
    cr_expect(log_has("etc.conf:4: line is not NAME=VALUE"));
    cr_expect(log_has("etc.conf:5: WHORL_TIMOUT is no setting of this library; "
                      "did you mean WHORL_TIMEOUT?"));
    cr_expect(log_has("etc.conf:6: WHORL_CONF_FILE has no effect in a file"));
    cr_expect(!log_has("NCCL_IB_HCA"));
    cr_expect_str_eq(config.algo, "");
    cr_expect_str_eq(config.conf_file, "");
    wh_config_fini(&config);
}

Test(config_files, unknown_names_of_the_environment_are_warned_about)
{
    char *const names[] = {"WHORL_TIMOUT=secret-text",
                           "WHORL_XYZZY=1",
                           "WHORL_RANK=3",
                           "WHORL_TIMEOUT=5s",
                           "WHORLPOOL=1",
                           "NCCL_NONSENSE=1",
                           NULL};
    const char *const pairs[] = {"WHORL_DEBUG_FILE", log_path, NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, names) == WHORL_OK);
    cr_expect(log_has("WHORL_TIMOUT is no setting of this library; did you mean WHORL_TIMEOUT?"));
    cr_expect(log_has("WHORL_XYZZY is no setting of this library\n"));
    cr_expect(!log_has("secret-text"));
    cr_expect(!log_has("WHORL_RANK"));
    cr_expect(!log_has("WHORLPOOL"));
    cr_expect(!log_has("NCCL_NONSENSE"));
    wh_config_fini(&config);
}

Test(config_files, the_log_says_where_settings_came_from_and_hides_the_secret)
{
    write_file(etc_path, "WHORL_SLOTS=8\n");
    const char *const pairs[] = {
        "WHORL_DEBUG_FILE", log_path,  "NCCL_DEBUG", "INFO", "NCCL_ALGO", "ring",
        "WHORL_SECRET",     "hunter2", NULL};
    struct wh_config config;
    cr_assert(load_from(&config, pairs, NULL) == WHORL_OK);
    cr_expect(log_has("env: WHORL_ALGO set by environment (NCCL_ALGO) to ring\n"));
    cr_expect(log_has("env: WHORL_DEBUG set by environment (NCCL_DEBUG) to INFO\n"));
    cr_expect(log_has("env: WHORL_SECRET set by environment to (hidden)\n"));
    cr_expect(log_has("/etc.conf to 8\n"));
    cr_expect(!log_has("hunter2"));
    cr_expect(!log_has("WHORL_TIMEOUT set"));
    cr_expect_str_eq(config.secret, "hunter2");
    wh_config_fini(&config);
}

/* ---- this process ---------------------------------------------------------------------------- */

Test(config_process, the_settings_of_the_process_are_read_once)
{
    cr_assert(setenv("WHORL_SLOTS", "16", 1) == 0);
    const struct wh_config *first;
    cr_assert(wh_config_get(&first) == WHORL_OK);
    cr_expect(first->nslots == 16);

    cr_assert(setenv("WHORL_SLOTS", "32", 1) == 0);
    const struct wh_config *second;
    cr_assert(wh_config_get(&second) == WHORL_OK);
    cr_expect(second == first);
    cr_expect(second->nslots == 16);
    cr_expect_str_eq(wh_config_env("WHORL_SLOTS"), "32");
    cr_expect(wh_config_env("WHORL_TESTS_NO_SUCH_VARIABLE") == NULL);
}

/* Is the address in memory that core dumps leave out? */
static bool is_hidden(const void *at)
{
    FILE *file = fopen("/proc/self/smaps", "re");
    cr_assert_not_null(file);
    char line[512];
    bool is_inside = false, is_left_out = false;
    while (fgets(line, sizeof(line), file) != NULL) {
        uintptr_t begin, end;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {
            is_inside = (uintptr_t)at >= begin && (uintptr_t)at < end;
        } else if (is_inside && strncmp(line, "VmFlags:", 8) == 0) {
            is_left_out = strstr(line, " dd") != NULL;
        }
    }
    fclose(file);
    return is_left_out;
}

Test(config_process, the_secret_is_in_no_core_dump)
{
    cr_assert(setenv("WHORL_SECRET", "Sesame", 1) == 0);
    const struct wh_config *config;
    cr_assert(wh_config_get(&config) == WHORL_OK);
    cr_expect_str_eq(config->secret, "Sesame");
    cr_expect(is_hidden(config->secret));
    cr_expect(!is_hidden(config->root), "nobody could tell the difference");
}

Test(config_process, a_bad_setting_is_an_error_each_time)
{
    cr_assert(setenv("WHORL_SLOTS", "99", 1) == 0);
    cr_assert(setenv("WHORL_DEBUG", "NONE", 1) == 0);
    const struct wh_config *config = NULL;
    for (int i = 0; i < 2; i++) {
        wh_error_clear();
        cr_expect(wh_config_get(&config) == WHORL_E_CONFIG);
        cr_expect_str_eq(wh_error_get(), "WHORL_SLOTS=99 is out of range: use 2 to 64");
        cr_expect(config == NULL);
    }
}
