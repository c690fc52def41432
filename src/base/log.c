/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines and the texts of failures.
 *
 * The state is three atomics (level, subsystems, descriptor), read without a lock: a line that is
 * formatted while the log is configured goes to the old place or the new one. No lock also means
 * that a child of fork() can log whatever other threads of its parent were doing.
 */
#include "base/log.h"

#include <whorl/version.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    TEXT_NBYTES = 4096, /* of a failure, and of a line without its head */
    HEAD_NBYTES = 256,
    HOST_NBYTES = 65,
};

static _Atomic int log_level = WH_LOG_WARN;
static _Atomic uint32_t log_subsystems = WH_SUBSYS_INIT | WH_SUBSYS_BOOTSTRAP | WH_SUBSYS_ENV;
static _Atomic int log_fd = STDERR_FILENO;

static _Thread_local int thread_rank = -1;
static _Thread_local char thread_error[TEXT_NBYTES];

static const struct {
    const char *name;
    uint32_t bit;
} subsystems[] = {
#define SUBSYS(name, bit, help) {#name, bit},
#include "base/subsys.def"
#undef SUBSYS
};

/* NCCL's subsystems that have no counterpart here; accepted so that its settings keep working. */
static const char *const foreign_subsystems[] = {"PROXY", "NVLS", "PROFILE", "RAS", "ALLOC_HOST"};

static const struct {
    const char *name;
    enum wh_log_level level;
} levels[] = {
    {"NONE", WH_LOG_NONE}, {"VERSION", WH_LOG_VERSION}, {"WARN", WH_LOG_WARN},
    {"INFO", WH_LOG_INFO}, {"TRACE", WH_LOG_TRACE},     {"ABORT", WH_LOG_WARN},
};

/* ---- this host ------------------------------------------------------------------------------- */

static char host_name[HOST_NBYTES];
static pthread_once_t host_name_once = PTHREAD_ONCE_INIT;

/* As NCCL: without the domain. */
static void read_host_name(void)
{
    if (gethostname(host_name, sizeof(host_name)) != 0) {
        strcpy(host_name, "unknown");
    }
    host_name[sizeof(host_name) - 1] = '\0';
    host_name[strcspn(host_name, ".")] = '\0';
}

const char *wh_host_name(void)
{
    pthread_once(&host_name_once, read_host_name);
    return host_name;
}

/* ---- lines ----------------------------------------------------------------------------------- */

bool wh_log_on(enum wh_log_level level, enum wh_subsys subsys)
{
    if (level == WH_LOG_NONE ||
        (int)level > atomic_load_explicit(&log_level, memory_order_relaxed)) {
        return false;
    }
    return level <= WH_LOG_WARN ||
           (atomic_load_explicit(&log_subsystems, memory_order_relaxed) & (uint32_t)subsys) != 0;
}

static const char *level_name(enum wh_log_level level)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (levels[i].level == level) {
            return levels[i].name;
        }
    }
    return "?";
}

/* "shm: " for SHM; nothing for a bit without a name. */
static void put_subsys(char *text, size_t text_nbytes, enum wh_subsys subsys)
{
    text[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(subsystems); i++) {
        if (subsystems[i].bit == (uint32_t)subsys) {
            snprintf(text, text_nbytes, "%s: ", subsystems[i].name);
        }
    }
    for (char *c = text; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
}

/* Writes "[time] host:pid:tid [rank 3] WHORL WARN shm: "; returns its length, less than
 * HEAD_NBYTES. */
static size_t put_head(char head[HEAD_NBYTES], enum wh_log_level level, enum wh_subsys subsys)
{
    char when[32] = "";
    time_t now = time(NULL);
    struct tm tm;
    if (localtime_r(&now, &tm) != NULL) {
        strftime(when, sizeof(when), "[%Y-%m-%d %H:%M:%S] ", &tm);
    }

    char rank[32] = "";
    if (thread_rank >= 0) {
        snprintf(rank, sizeof(rank), "[rank %d] ", thread_rank);
    }

    char about[32];
    put_subsys(about, sizeof(about), subsys);
    int n = snprintf(head, HEAD_NBYTES, "%s%s:%d:%ld %sWHORL %s %s", when, wh_host_name(),
                     (int)getpid(), (long)syscall(SYS_gettid), rank, level_name(level),
                     level == WH_LOG_VERSION ? "" : about);
    return n < 0 ? 0 : (size_t)n;
}

static void write_all(int fd, const char *bytes, size_t nbytes)
{
    while (nbytes > 0) {
        ssize_t wrote = write(fd, bytes, nbytes);
        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            return; /* nobody is left to tell */
        }
        bytes += wrote;
        nbytes -= (size_t)wrote;
    }
}

/* Writes one line, whether it is wanted or not. Text may hold bytes of a peer or of a user: control
 * characters become blanks, so that nobody can forge a second line. */
static void put_line(enum wh_log_level level, enum wh_subsys subsys, const char *text)
{
    int saved_errno = errno;
    char line[HEAD_NBYTES + TEXT_NBYTES + 1];
    size_t nbytes = put_head(line, level, subsys);
    for (size_t i = 0; text[i] != '\0' && nbytes < sizeof(line) - 1; i++) {
        line[nbytes] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
        nbytes++;
    }
    line[nbytes] = '\n';
    write_all(atomic_load_explicit(&log_fd, memory_order_relaxed), line, nbytes + 1);
    errno = saved_errno;
}

void wh_log(enum wh_log_level level, enum wh_subsys subsys, const char *format, ...)
{
    if (!wh_log_on(level, subsys)) {
        return;
    }

    char text[TEXT_NBYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_line(level, subsys, text);
}

int wh_log_set_rank(int rank)
{
    int before = thread_rank;
    thread_rank = rank;
    return before;
}

/* ---- failures -------------------------------------------------------------------------------- */

/* Formats to a buffer of its own first: an argument may be the last error itself. */
static void __attribute__((format(printf, 2, 0)))
report(enum wh_subsys subsys, const char *format, va_list args, const char *why)
{
    char text[TEXT_NBYTES];
    int n = vsnprintf(text, sizeof(text), format, args);
    if (why != NULL && n >= 0 && (size_t)n < sizeof(text)) {
        snprintf(text + n, sizeof(text) - (size_t)n, ": %s", why);
    }
    wh_error_set(text);
    if (wh_log_on(WH_LOG_WARN, subsys)) {
        put_line(WH_LOG_WARN, subsys, text);
    }
}

whorl_result_t wh_fail(whorl_result_t rc, enum wh_subsys subsys, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    report(subsys, format, args, NULL);
    va_end(args);
    return rc;
}

whorl_result_t wh_fail_sys(enum wh_subsys subsys, const char *format, ...)
{
    char why[128];
    snprintf(why, sizeof(why), "%m"); /* the text of errno, from a buffer of this thread */

    va_list args;
    va_start(args, format);
    report(subsys, format, args, why);
    va_end(args);
    return WHORL_E_SYS;
}

void wh_error_set(const char *text)
{
    size_t nbytes = strnlen(text, sizeof(thread_error) - 1);
    memmove(thread_error, text, nbytes); /* text may be the last error, or its end */
    thread_error[nbytes] = '\0';
}

const char *wh_error_get(void)
{
    return thread_error;
}

void wh_error_clear(void)
{
    thread_error[0] = '\0';
}

/* ---- settings -------------------------------------------------------------------------------- */

bool wh_log_parse_level(const char *text, enum wh_log_level *level_out)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        if (strcasecmp(text, levels[i].name) == 0) {
            *level_out = levels[i].level;
            return true;
        }
    }
    return false;
}

/* Bits of one name of nbytes bytes; 0 for one of NCCL's own. false if nobody has it. */
static bool parse_subsystem(const char *name, size_t nbytes, uint32_t *bits_out)
{
    if (nbytes == 3 && strncasecmp(name, "ALL", 3) == 0) {
        *bits_out = UINT32_MAX;
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(subsystems); i++) {
        if (strlen(subsystems[i].name) == nbytes &&
            strncasecmp(name, subsystems[i].name, nbytes) == 0) {
            *bits_out = subsystems[i].bit;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(foreign_subsystems); i++) {
        if (strlen(foreign_subsystems[i]) == nbytes &&
            strncasecmp(name, foreign_subsystems[i], nbytes) == 0) {
            *bits_out = 0;
            return true;
        }
    }
    return false;
}

/* Bits of a list such as "INIT,NET" or "^COLL". *unknown_out becomes the first name that nobody
 * has, NULL if there is none. */
static uint32_t parse_subsystems(const char *text, const char **unknown_out)
{
    *unknown_out = NULL;
    bool inverted = text[0] == '^';
    uint32_t all = 0;
    for (const char *name = inverted ? text + 1 : text; *name != '\0';) {
        size_t nbytes = strcspn(name, ",");
        uint32_t bits = 0;
        if (nbytes > 0 && !parse_subsystem(name, nbytes, &bits) && *unknown_out == NULL) {
            *unknown_out = name;
        }
        all |= bits;
        name += nbytes;
        name += *name == ',';
    }
    return inverted ? ~all : all;
}

/* Replaces %h, %p and %% in pattern; false if path is too small. */
static bool expand_path(const char *pattern, char *path, size_t path_nbytes)
{
    size_t used = 0;
    while (*pattern != '\0') {
        char piece[HOST_NBYTES] = {*pattern, '\0'};
        if (pattern[0] == '%' && pattern[1] == 'h') {
            snprintf(piece, sizeof(piece), "%s", wh_host_name());
        } else if (pattern[0] == '%' && pattern[1] == 'p') {
            snprintf(piece, sizeof(piece), "%d", (int)getpid());
        }
        bool pair = pattern[0] == '%' && pattern[1] != '\0' && strchr("hp%", pattern[1]) != NULL;
        pattern += pair ? 2 : 1;

        size_t nbytes = strlen(piece);
        if (used + nbytes >= path_nbytes) {
            return false;
        }
        memcpy(path + used, piece, nbytes);
        used += nbytes;
    }
    path[used] = '\0';
    return true;
}

/* Lines of several processes may go to one file, so it grows and is not cut. */
static void open_file(const char *pattern)
{
    char path[PATH_MAX];
    if (!expand_path(pattern, path, sizeof(path))) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "WHORL_DEBUG_FILE is too long; logging to stderr");
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_ENV,
               "WHORL_DEBUG_FILE %s does not open: %m; logging to stderr", path);
        return;
    }
    atomic_store(&log_fd, fd);
}

void wh_log_configure(const char *level, const char *subsys, const char *file)
{
    enum wh_log_level wanted = WH_LOG_WARN;
    bool level_ok = wh_log_parse_level(level, &wanted);
    const char *unknown;
    uint32_t bits = parse_subsystems(subsys, &unknown);

    atomic_store(&log_level, (int)wanted);
    atomic_store(&log_subsystems, bits);
    if (file[0] != '\0' && wanted != WH_LOG_NONE) {
        open_file(file);
    }

    if (wanted == WH_LOG_VERSION || wanted >= WH_LOG_INFO) {
        put_line(WH_LOG_VERSION, WH_SUBSYS_INIT, WHORL_VERSION_STRING);
    }
    if (!level_ok) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "WHORL_DEBUG=%s is no level; logging warnings", level);
    }
    if (unknown != NULL) {
        wh_log(WH_LOG_WARN, WH_SUBSYS_ENV, "WHORL_DEBUG_SUBSYS: %.*s is no subsystem",
               (int)strcspn(unknown, ","), unknown);
    }
}
