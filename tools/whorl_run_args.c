/* SPDX-License-Identifier: Apache-2.0 */
/* whorl-run's command line. */
#include "whorl_run.h"

#include <whorl/version.h>

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OPT_SSH = 256, OPT_TAG, OPT_TIMEOUT, OPT_GRACE, OPT_VERSION, OPT_AGENT };

static const char help[] =
    "usage: whorl-run -n N [-H HOST[:SLOTS],...] [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
    "Starts N ranks of PROGRAM, which find each other with whorl_comm_create_from_env().\n"
    "\n"
    "  -n, --nranks N          how many ranks; with -H all slots if not given\n"
    "  -H, --hosts LIST        where: the first host has the first ranks; without SLOTS the\n"
    "                          ranks are spread evenly. localhost is started without ssh.\n"
    "                          Others need whorl-run and PROGRAM at the same paths\n"
    "      --ssh COMMAND       instead of \"ssh -o BatchMode=yes -o ConnectTimeout=10\"; called\n"
    "                          with the host and a command as last arguments\n"
    "  -x, --export NAME[=VALUE]  give this variable to all ranks; may be repeated. Ranks of\n"
    "                          other hosts get WHORL_*, NCCL_*, PATH and LD_LIBRARY_PATH anyway\n"
    "      --tag-output        begin every line of output with its rank: [3] text\n"
    "      --timeout TIME      end the job after this (90s, 10min, 2h) with status 124\n"
    "      --grace TIME        between SIGTERM and SIGKILL when the job is ended; 5s\n"
    "  -h, --help              this text\n"
    "      --version           the version\n"
    "\n"
    "Each rank gets WHORL_RANK, WHORL_NRANKS, WHORL_LOCAL_RANK, WHORL_ROOT and WHORL_SECRET (a\n"
    "fresh one unless it is set). Standard input is /dev/null.\n"
    "When a rank fails, all others are ended and the exit status is that of the first one that\n"
    "failed: its own, or 128 and the number of the signal that killed it.\n";

void run_say(const char *format, ...)
{
    char text[1024];
    int nbytes = snprintf(text, sizeof(text), "whorl-run: ");
    va_list args;
    va_start(args, format);
    vsnprintf(text + nbytes, sizeof(text) - (size_t)nbytes - 1, format, args);
    va_end(args);
    size_t length = strlen(text);
    text[length++] = '\n';
    ssize_t n = write(STDERR_FILENO, text, length);
    (void)n;
}

void *run_grow(void *memory, size_t nbytes)
{
    void *grown = realloc(memory, nbytes > 0 ? nbytes : 1);
    if (grown == NULL) {
        run_say("no memory for %zu bytes", nbytes);
        exit(1);
    }
    return grown;
}

void *run_alloc(size_t nbytes)
{
    void *memory = run_grow(NULL, nbytes);
    memset(memory, 0, nbytes);
    return memory;
}

char *run_text(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int nbytes = vasprintf(&text, format, args);
    va_end(args);
    if (nbytes < 0) {
        run_say("no memory for a text");
        exit(1);
    }
    return text;
}

/* ---- variables ------------------------------------------------------------------------------- */

/* Where name is in env; nvars if it is not. */
static size_t find_var(const struct run_env *env, const char *name)
{
    size_t nbytes = strlen(name), i = 0;
    while (i < env->nvars &&
           (strncmp(env->vars[i], name, nbytes) != 0 || env->vars[i][nbytes] != '=')) {
        i++;
    }
    return i;
}

char *run_var_name(const char *var)
{
    size_t nbytes = strcspn(var, "=");
    char *name = run_alloc(nbytes + 1);
    memcpy(name, var, nbytes);
    return name;
}

const char *run_env_get(const struct run_env *env, const char *name)
{
    size_t i = find_var(env, name);
    return i < env->nvars ? env->vars[i] + strlen(name) + 1 : NULL;
}

void run_env_set(struct run_env *env, const char *name, const char *value)
{
    size_t i = find_var(env, name);
    if (i == env->nvars) {
        env->vars = run_grow(env->vars, (env->nvars + 1) * sizeof(*env->vars));
        env->nvars++;
    } else {
        free(env->vars[i]);
    }
    env->vars[i] = run_text("%s=%s", name, value);
}

/* -x NAME[=VALUE] */
static bool export_var(struct run_env *env, const char *arg)
{
    char *name = run_text("%s", arg);
    char *equals = strchr(name, '=');
    const char *value = equals != NULL ? equals + 1 : getenv(name);
    if (equals != NULL) {
        *equals = '\0';
    }
    bool ok = name[0] != '\0' && value != NULL;
    if (ok) {
        run_env_set(env, name, value);
    } else if (name[0] == '\0') {
        run_say("-x %s: no name before =", arg);
    } else {
        run_say("-x %s: not set here; -x %s=VALUE sets it", name, name);
    }
    free(name);
    return ok;
}

/* ---- values ---------------------------------------------------------------------------------- */

static bool parse_count(const char *text, long most, int *value_out)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno != 0 || value < 1 ||
        value > most) {
        return false;
    }
    *value_out = (int)value;
    return true;
}

/* "90s", "1.5min", "500ms", "2h"; a bare number is seconds. */
static bool parse_time(const char *text, uint64_t *ms_out)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"min", 60e3}, {"m", 60e3}, {"h", 3600e3}};
    char *end;
    double value = strtod(text, &end);
    if (end == text || !(value >= 0 && value < 1e9) || text[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *ms_out = (uint64_t)(value * units[i].ms + 0.5);
            return true;
        }
    }
    return false;
}

/* Splits text at blanks. */
static char **split_words(const char *text)
{
    size_t nwords = 0;
    char **words = run_alloc(sizeof(*words));
    for (const char *c = text + strspn(text, " \t"); *c != '\0'; c += strspn(c, " \t")) {
        size_t nbytes = strcspn(c, " \t");
        words = run_grow(words, (nwords + 2) * sizeof(*words));
        words[nwords++] = run_text("%.*s", (int)nbytes, c);
        c += nbytes;
    }
    words[nwords] = NULL;
    return words;
}

static void free_words(char **words)
{
    for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
        free(words[i]);
    }
    free(words);
}

static char **copy_words(char *const *words)
{
    size_t n = 0;
    while (words[n] != NULL) {
        n++;
    }
    char **copy = run_alloc((n + 1) * sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        copy[i] = run_text("%s", words[i]);
    }
    return copy;
}

/* ---- options --------------------------------------------------------------------------------- */

static bool take_time(const char *option, const char *text, uint64_t *ms_out)
{
    bool ok = parse_time(text, ms_out);
    if (!ok) {
        run_say("%s %s is no time: 90s, 10min and 2h are", option, text);
    }
    return ok;
}

/* One option. False: it is wrong, which was said. */
static bool take_option(int option, const char *value, struct run_args *args)
{
    switch (option) {
    case 'n':
        if (!parse_count(value, RUN_NRANKS_MAX, &args->nranks)) {
            run_say("-n %s: the number of ranks must be from 1 to %d", value, RUN_NRANKS_MAX);
            return false;
        }
        return true;
    case 'H':
        return run_hosts_parse(value, args);
    case 'x':
        return export_var(&args->env, value);
    case OPT_SSH:
        free_words(args->ssh);
        args->ssh = split_words(value);
        if (args->ssh[0] == NULL) {
            run_say("--ssh needs a command");
        }
        return args->ssh[0] != NULL;
    case OPT_TAG:
        args->is_tagged = true;
        return true;
    case OPT_TIMEOUT:
        return take_time("--timeout", value, &args->timeout_ms);
    case OPT_GRACE:
        return take_time("--grace", value, &args->grace_ms);
    case OPT_AGENT:
        args->is_agent = true;
        return true;
    default:
        fprintf(stderr, "Try whorl-run --help\n");
        return false;
    }
}

/* What can be seen only when all options are known. */
static bool check_args(struct run_args *args)
{
    if (args->is_agent) {
        return true;
    }
    if (args->nranks == 0 && args->hosts == NULL) {
        run_say("-n is missing: how many ranks? Try whorl-run --help");
        return false;
    }
    if (args->program[0] == NULL) {
        run_say("no program to run. Try whorl-run --help");
        return false;
    }
    return (args->hosts != NULL || run_hosts_parse("localhost", args)) && run_hosts_place(args);
}

int run_args_parse(int argc, char **argv, struct run_args *args)
{
    static const struct option options[] = {
        {"nranks", required_argument, NULL, 'n'},
        {"hosts", required_argument, NULL, 'H'},
        {"ssh", required_argument, NULL, OPT_SSH},
        {"export", required_argument, NULL, 'x'},
        {"tag-output", no_argument, NULL, OPT_TAG},
        {"timeout", required_argument, NULL, OPT_TIMEOUT},
        {"grace", required_argument, NULL, OPT_GRACE},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},
        {"agent", no_argument, NULL, OPT_AGENT}, /* not for people */
        {NULL, 0, NULL, 0},
    };
    memset(args, 0, sizeof(*args));
    args->grace_ms = 5000;
    args->ssh = split_words("ssh -o BatchMode=yes -o ConnectTimeout=10");

    int option;
    while ((option = getopt_long(argc, argv, "+n:H:x:h", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return 0;
        }
        if (option == OPT_VERSION) {
            printf("whorl-run %s\n", WHORL_VERSION_STRING);
            return 0;
        }
        if (!take_option(option, optarg, args)) {
            return RUN_E_USAGE;
        }
    }
    args->program = copy_words(argv + optind);
    return check_args(args) ? -1 : RUN_E_USAGE;
}

void run_args_fini(struct run_args *args)
{
    for (int i = 0; i < args->nhosts; i++) {
        free(args->hosts[i].name);
    }
    free(args->hosts);
    free_words(args->ssh);
    free_words(args->program);
    for (size_t i = 0; i < args->env.nvars; i++) {
        free(args->env.vars[i]);
    }
    free(args->env.vars);
    free(args->folder);
    memset(args, 0, sizeof(*args));
}
