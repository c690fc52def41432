/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines and last errors. Each test is a process of its own, so each may turn the log. */
#include "base/log.h"
#include "base/macros.h"

#include <whorl/version.h>

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64];
static char path[128];

static void make_dir(void)
{
    strcpy(dir, "/tmp/whorl-log-test-XXXXXX");
    cr_assert(mkdtemp(dir) != NULL);
    snprintf(path, sizeof(path), "%s/log", dir);
}

static void remove_dir(void)
{
    if (unlink(path) != 0) {
        cr_expect(errno == ENOENT);
    }
    cr_expect(rmdir(dir) == 0);
}

TestSuite(log, .init = make_dir, .fini = remove_dir);

static const char *read_file(const char *file_path)
{
    static char text[1 << 20];
    FILE *file = fopen(file_path, "r");
    cr_assert(file != NULL, "%s: %s", file_path, strerror(errno));
    text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
    fclose(file);
    return text;
}

static const char *read_log(void)
{
    return read_file(path);
}

static bool matches(const char *text, const char *pattern)
{
    regex_t regex;
    cr_assert(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB) == 0);
    bool found = regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    return found;
}

Test(log, a_line_has_time_host_process_thread_level_and_subsystem)
{
    wh_log_configure("WARN", "", path);
    wh_log(WH_LOG_WARN, WH_SUBSYS_SHM, "%d slots", 4);
    cr_expect(matches(read_log(), "^\\[[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\\] "
                                  "[^ :]+:[0-9]+:[0-9]+ WHORL WARN shm: 4 slots\n$"),
              "%s", read_log());
}

Test(log, a_line_has_the_rank_while_the_thread_has_one)
{
    wh_log_configure("WARN", "", path);
    cr_expect(wh_log_set_rank(3) == -1);
    wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "one");
    cr_expect(wh_log_set_rank(-1) == 3);
    wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "two");
    cr_expect(matches(read_log(), ":[0-9]+ \\[rank 3\\] WHORL WARN init: one\n"));
    cr_expect(matches(read_log(), ":[0-9]+ WHORL WARN init: two\n"));
}

Test(log, levels_are_ordered)
{
    static const struct {
        const char *text;
        enum wh_log_level level;
    } rows[] = {
        {"NONE", WH_LOG_NONE}, {"VERSION", WH_LOG_VERSION}, {"warn", WH_LOG_WARN},
        {"Info", WH_LOG_INFO}, {"TRACE", WH_LOG_TRACE},     {"ABORT", WH_LOG_WARN},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum wh_log_level level = WH_LOG_NONE;
        cr_expect(wh_log_parse_level(rows[i].text, &level) && level == rows[i].level, "%s",
                  rows[i].text);
        wh_log_configure(rows[i].text, "ALL", path);
        for (enum wh_log_level l = WH_LOG_VERSION; l <= WH_LOG_TRACE; l++) {
            cr_expect(wh_log_on(l, WH_SUBSYS_COLL) == (l <= rows[i].level), "%s, level %d",
                      rows[i].text, (int)l);
        }
    }
    enum wh_log_level level = WH_LOG_TRACE;
    cr_expect(!wh_log_parse_level("LOUD", &level) && level == WH_LOG_TRACE);
}

Test(log, before_the_settings_are_read_warnings_are_on)
{
    cr_expect(wh_log_on(WH_LOG_WARN, WH_SUBSYS_COLL));
    cr_expect(!wh_log_on(WH_LOG_INFO, WH_SUBSYS_INIT));
}

Test(log, subsystems_filter_info_but_never_warnings)
{
    static const struct {
        const char *list;
        bool init, net, coll;
    } rows[] = {
        {"INIT", true, false, false},     {"init,NET", true, true, false},
        {"^COLL", true, true, false},     {"^INIT,NET", false, false, true},
        {"ALL", true, true, true},        {"^ALL", false, false, false},
        {"", false, false, false},        {"^", true, true, true},
        {"NVLS,NET", false, true, false}, {",NET,,", false, true, false},
        {"NETS", false, false, false},    {"NE", false, false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        wh_log_configure("INFO", rows[i].list, path);
        cr_expect(wh_log_on(WH_LOG_INFO, WH_SUBSYS_INIT) == rows[i].init, "%s", rows[i].list);
        cr_expect(wh_log_on(WH_LOG_INFO, WH_SUBSYS_NET) == rows[i].net, "%s", rows[i].list);
        cr_expect(wh_log_on(WH_LOG_INFO, WH_SUBSYS_COLL) == rows[i].coll, "%s", rows[i].list);
        cr_expect(wh_log_on(WH_LOG_WARN, WH_SUBSYS_COLL), "%s", rows[i].list);
        cr_expect(!wh_log_on(WH_LOG_TRACE, WH_SUBSYS_INIT), "%s", rows[i].list);
    }
}

Test(log, a_subsystem_that_nobody_has_is_warned_about)
{
    wh_log_configure("WARN", "INIT,FOO,NET", path);
    cr_expect(strstr(read_log(), "WHORL_DEBUG_SUBSYS: FOO is no subsystem\n") != NULL);
}

Test(log, version_and_info_begin_with_one_version_line)
{
    wh_log_configure("VERSION", "ALL", path);
    wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "a warning");
    cr_expect(matches(read_log(), "^[^\n]* WHORL VERSION [0-9]+\\.[0-9]+\\.[0-9]+\n$"), "%s",
              read_log());
    cr_expect(strstr(read_log(), WHORL_VERSION_STRING) != NULL);
}

Test(log, the_file_name_has_host_process_and_percent)
{
    char pattern[128];
    char expected[256];
    snprintf(pattern, sizeof(pattern), "%s/%%h.%%p.100%%%%.%%x%%", dir);
    snprintf(expected, sizeof(expected), "%s/%s.%d.100%%.%%x%%", dir, wh_host_name(),
             (int)getpid());
    wh_log_configure("WARN", "", pattern);
    wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "here");
    cr_expect(strstr(read_file(expected), "here\n") != NULL);
    cr_expect(unlink(expected) == 0);
}

Test(log, a_file_grows_and_is_not_cut)
{
    for (int i = 0; i < 2; i++) {
        wh_log_configure("WARN", "", path);
        wh_log(WH_LOG_WARN, WH_SUBSYS_INIT, "line %d", i);
    }
    cr_expect(strstr(read_log(), "line 0\n") != NULL);
    cr_expect(strstr(read_log(), "line 1\n") != NULL);
}

Test(log, text_cannot_forge_a_second_line)
{
    wh_log_configure("WARN", "", path);
    wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "%s", "bad\npeer\x1b[31m");
    cr_expect(strstr(read_log(), "net: bad peer [31m\n") != NULL, "%s", read_log());
}

Test(log, a_long_text_is_cut_and_stays_one_line)
{
    static char big[10000];
    memset(big, 'a', sizeof(big) - 1);
    wh_log_configure("WARN", "", path);
    wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "%s", big);
    wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "next");
    cr_expect(matches(read_log(), "^[^\n]*a{1000}a*\n[^\n]* next\n$"));
}

static void *log_many(void *arg)
{
    for (int i = 0; i < 500; i++) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_COLL, "thread %d line %d end", *(int *)arg, i);
    }
    return NULL;
}

Test(log, lines_of_threads_do_not_mix)
{
    enum { NTHREADS = 4 };
    wh_log_configure("WARN", "", path);
    pthread_t threads[NTHREADS];
    int numbers[NTHREADS];
    for (int i = 0; i < NTHREADS; i++) {
        numbers[i] = i;
        cr_assert(pthread_create(&threads[i], NULL, log_many, &numbers[i]) == 0);
    }
    for (int i = 0; i < NTHREADS; i++) {
        cr_assert(pthread_join(threads[i], NULL) == 0);
    }

    int nlines = 0;
    const char *text = read_log();
    while (*text != '\0') {
        size_t nbytes = strcspn(text, "\n");
        cr_assert(text[0] == '[' && nbytes > 4 && memcmp(text + nbytes - 4, " end", 4) == 0);
        text += nbytes + 1;
        nlines++;
    }
    cr_expect(nlines == NTHREADS * 500, "%d lines", nlines);
}

/* ---- failures -------------------------------------------------------------------------------- */

static whorl_result_t fail_as_callers_do(int rank)
{
    return wh_fail(WHORL_E_ARG, WH_SUBSYS_INIT, "rank %d is outside 0..%d", rank, 3);
}

Test(log, a_failure_is_a_line_a_result_and_the_last_error)
{
    wh_log_configure("WARN", "", path);
    cr_expect(fail_as_callers_do(7) == WHORL_E_ARG);
    cr_expect_str_eq(wh_error_get(), "rank 7 is outside 0..3");
    cr_expect(strstr(read_log(), "WHORL WARN init: rank 7 is outside 0..3\n") != NULL);
}

Test(log, a_failure_is_kept_when_nothing_is_logged)
{
    wh_log_configure("NONE", "", path);
    cr_expect(fail_as_callers_do(7) == WHORL_E_ARG);
    cr_expect_str_eq(wh_error_get(), "rank 7 is outside 0..3");
    cr_expect(access(path, F_OK) != 0, "a log that says nothing made a file");
    wh_error_clear();
    cr_expect_str_eq(wh_error_get(), "");
}

Test(log, a_failed_system_call_adds_the_text_of_errno)
{
    wh_log_configure("NONE", "", "");
    errno = ECONNREFUSED;
    cr_expect(wh_fail_sys(WH_SUBSYS_NET, "connect to %s", "10.0.0.7") == WHORL_E_SYS);
    cr_expect_str_eq(wh_error_get(), "connect to 10.0.0.7: Connection refused");
}

Test(log, a_failure_may_quote_the_last_error)
{
    wh_log_configure("NONE", "", "");
    wh_error_set("no route");
    cr_expect(wh_fail(WHORL_E_PEER, WH_SUBSYS_NET, "rank 3: %s", wh_error_get()) == WHORL_E_PEER);
    cr_expect_str_eq(wh_error_get(), "rank 3: no route");
    wh_error_set(wh_error_get() + 8);
    cr_expect_str_eq(wh_error_get(), "no route");
}

Test(log, logging_leaves_errno_alone)
{
    wh_log_configure("WARN", "", "/dev/full"); /* every write fails, with ENOSPC */
    errno = EAGAIN;
    wh_log(WH_LOG_WARN, WH_SUBSYS_NET, "x");
    cr_expect(errno == EAGAIN);
}

static void *look_at_last_error(void *arg)
{
    *(bool *)arg = wh_error_get()[0] == '\0';
    return NULL;
}

Test(log, the_last_error_belongs_to_its_thread)
{
    wh_error_set("mine");
    bool empty = false;
    pthread_t thread;
    cr_assert(pthread_create(&thread, NULL, look_at_last_error, &empty) == 0);
    cr_assert(pthread_join(thread, NULL) == 0);
    cr_expect(empty);
    cr_expect_str_eq(wh_error_get(), "mine");
}

Test(log, the_host_has_a_name_without_a_domain)
{
    cr_expect(wh_host_name()[0] != '\0');
    cr_expect(strchr(wh_host_name(), '.') == NULL);
    cr_expect(strlen(wh_host_name()) <= 64);
}
