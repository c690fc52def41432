/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options come from one table, options.def. Each row names a parser; a parser turns text into a
 * field and answers NULL, or says what it wanted. Defaults go through the same parsers.
 */
#include "common/args.h"

#include "common/types.h"
#include "perf.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* Parses text into *field. NULL: done; else what the text should have been. */
typedef const char *parse_fn(const char *text, void *field);

static const char *parse_int(const char *text, long least, void *field)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > INT_MAX) {
        return least == 0 ? "a whole number, 0 or more" : "a whole number, 1 or more";
    }
    *(int *)field = (int)value;
    return NULL;
}

static const char *parse_count0(const char *text, void *field)
{
    return parse_int(text, 0, field);
}

static const char *parse_count1(const char *text, void *field)
{
    return parse_int(text, 1, field);
}

/* A whole number 0 .. most. */
static bool parse_small(const char *text, int most, void *field)
{
    int value = 0;
    if (parse_int(text, 0, &value) != NULL || value > most) {
        return false;
    }
    *(int *)field = value;
    return true;
}

static const char *parse_flag(const char *text, void *field)
{
    return parse_small(text, 1, field) ? NULL : "0 or 1";
}

static const char *parse_blocking(const char *text, void *field)
{
    return parse_small(text, 3, field) ? NULL : "0, 1, 2 or 3";
}

static const char *parse_average(const char *text, void *field)
{
    return parse_small(text, 3, field) ? NULL : "0, 1, 2 or 3";
}

static const char *parse_register(const char *text, void *field)
{
    return parse_small(text, PERF_MEMORY_SYMMETRIC, field) ? NULL : "0, 1 or 2";
}

static const char *parse_nbytes(const char *text, void *field)
{
    static const char suffixes[] = "KMGT";
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    bool is_number = errno == 0 && end != text && isfinite(value) && value >= 0;

    if (is_number && *end != '\0') {
        const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
        is_number = suffix != NULL && end[1] == '\0';
        value = is_number ? ldexp(value, 10 * (int)(suffix - suffixes + 1)) : value;
    }
    if (!is_number || value > 0x1p60) {
        return "a size such as 8, 64K, 1.5M or 2G";
    }
    *(size_t *)field = (size_t)value;
    return NULL;
}

static const char *parse_op(const char *text, void *field)
{
    int op = strcmp(text, "all") == 0 ? PERF_ALL : perf_op_find(text);
    if (op < 0 && strcmp(text, "all") != 0) {
        return "sum, prod, min, max, avg, mulsum or all";
    }
    *(int *)field = op;
    return NULL;
}

static const char *parse_type(const char *text, void *field)
{
    int type = strcmp(text, "all") == 0 ? PERF_ALL : perf_type_find(text);
    if (type < 0 && strcmp(text, "all") != 0) {
        return "int8, uint8, int32, uint32, int64, uint64, half, float, double, bfloat16, f8e4m3, "
               "f8e5m2 or all";
    }
    *(int *)field = type;
    return NULL;
}

static const char *parse_root(const char *text, void *field)
{
    if (strcmp(text, "all") == 0) {
        *(int *)field = PERF_ALL;
        return NULL;
    }
    return parse_count0(text, field) == NULL ? NULL : "a rank or all";
}

static const char *parse_text(const char *text, void *field)
{
    *(const char **)field = text;
    return NULL;
}

static const char *parse_json_path(const char *text, void *field)
{
    size_t length = strlen(text);
    if (length != 0 && (length <= 5 || strcmp(text + length - 5, ".json") != 0)) {
        return "a file name that ends in .json";
    }
    return parse_text(text, field);
}

static const char *parse_format(const char *text, void *field)
{
    *(int *)field = strcmp(text, "json") == 0;
    return *(int *)field || strcmp(text, "console") == 0 ? NULL : "console or json";
}

static const char *parse_corrupt(const char *text, void *field)
{
    int index = -1;
    if (*text != '\0' && parse_count0(text, &index) != NULL) {
        return "the index of an element";
    }
    *(int64_t *)field = index;
    return NULL;
}

/* An option that is off when 0, and can only be off. */
static const char *parse_gpu_zero(const char *text, void *field)
{
    return parse_small(text, 0, field) ? NULL : "0: not supported, needs a GPU";
}

/* An option without an off value; the empty text is its default. */
static const char *parse_gpu(const char *text, void *field)
{
    *(int *)field = 0;
    return *text == '\0' ? NULL : "left out: not supported, needs a GPU";
}

static const struct option_row {
    int letter;
    const char *name;
    parse_fn *parse;
    size_t offset;
    const char *value_name, *dflt, *help;
} rows[] = {
#define OPTION(letter, name, parser, field, value_name, dflt, help) \
    {letter, name, parse_##parser, offsetof(struct perf_args, field), value_name, dflt, help},
#include "common/options.def"
#undef OPTION
};

enum { NROWS = sizeof(rows) / sizeof(rows[0]), LONG_VALUE = 1000 };

static void print_usage(FILE *out, const char *program)
{
    fprintf(out, "usage: %s [options]\n\n", program);
    for (size_t i = 0; i < NROWS; i++) {
        char left[64];
        char letter[8] = "   ";
        if (rows[i].letter != 0) {
            snprintf(letter, sizeof(letter), "-%c,", rows[i].letter);
        }
        snprintf(left, sizeof(left), "%s --%s %s", letter, rows[i].name, rows[i].value_name);

        const char *line = rows[i].help;
        for (int first = 1; line != NULL; first = 0) {
            const char *end = strchr(line, '\n');
            int length = end != NULL ? (int)(end - line) : (int)strlen(line);
            fprintf(out, "  %-34s %.*s", first ? left : "", length, line);
            line = end != NULL ? end + 1 : NULL;
            if (line == NULL && rows[i].dflt[0] != '\0') {
                fprintf(out, " [%s]", rows[i].dflt);
            }
            fprintf(out, "\n");
        }
    }
    fprintf(out, "  %-34s %s\n", "-h, --help", "this text");
    fprintf(out,
            "\n"
            "ranks = processes x threads x ranks per thread. Defaults are in brackets.\n"
            "\n"
            "  processes on this host    %1$s -b 8 -e 128M -f 2 -P 4\n"
            "  threads of one process    %1$s -t 2 -g 2\n"
            "  MPI                       mpirun -np 4 %1$s\n"
            "  torchrun, Slurm           torchrun --no-python --nproc-per-node 4 %1$s\n"
            "                            srun -n 4 %1$s\n"
            "  by hand, in two shells    RANK=0 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 "
            "MASTER_PORT=29500 %1$s\n"
            "                            the same with RANK=1\n"
            "\n"
            "Environment: WHORL_PERF_MIN_BW or NCCL_TESTS_MIN_BW=GB/s fails a run whose mean bus\n"
            "bandwidth is below 0.9 times that. NCCL_TESTS_SPLIT='MOD 2' (AND, OR, MOD, DIV) and\n"
            "NCCL_TESTS_SPLIT_MASK=HEX colour processes into groups that run side by side.\n",
            program);
}

static int usage_error(const char *program)
{
    print_usage(stderr, program);
    return PERF_E_USAGE;
}

static const struct option_row *find_row(int value)
{
    if (value >= LONG_VALUE) {
        return &rows[value - LONG_VALUE];
    }
    for (size_t i = 0; i < NROWS; i++) {
        if (rows[i].letter == value) {
            return &rows[i];
        }
    }
    return NULL;
}

/* Tables for getopt_long(): the leading ':' asks to tell a missing value from a wrong option. */
static void make_getopt_tables(char *letters, struct option *names)
{
    *letters++ = ':';
    *letters++ = 'h';
    for (size_t i = 0; i < NROWS; i++) {
        names[i] = (struct option){rows[i].name, required_argument, NULL, LONG_VALUE + (int)i};
        if (rows[i].letter != 0) {
            *letters++ = (char)rows[i].letter;
            *letters++ = ':';
        }
    }
    names[NROWS] = (struct option){"help", no_argument, NULL, 'h'};
    names[NROWS + 1] = (struct option){0};
    *letters = '\0';
}

static int parse_options(struct perf_args *out, int argc, char **argv)
{
    char letters[2 * NROWS + 4];
    struct option names[NROWS + 2];
    make_getopt_tables(letters, names);
    opterr = 0;

    for (int value; (value = getopt_long(argc, argv, letters, names, NULL)) != -1;) {
        const char *text = argv[optind - 1];
        if (value == 'h') {
            print_usage(stdout, argv[0]);
            return PERF_OK;
        }
        if (value == '?' && optopt != 0) {
            fprintf(stderr, "invalid option '%c'\n", optopt < LONG_VALUE ? optopt : '-');
            return usage_error(argv[0]);
        }
        if (value == '?' || value == ':') {
            fprintf(stderr, value == '?' ? "invalid option '%s'\n" : "option '%s' needs a value\n",
                    text);
            return usage_error(argv[0]);
        }

        const struct option_row *row = find_row(value);
        const char *wanted = row->parse(optarg, (char *)out + row->offset);
        if (wanted != NULL) {
            fprintf(stderr, "option --%s: '%s' should be %s\n", row->name, optarg, wanted);
            return usage_error(argv[0]);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "unexpected argument '%s'\n", argv[optind]);
        return usage_error(argv[0]);
    }
    return -1;
}

/* What options mean together. */
static int check_options(const struct perf_args *args)
{
    const char *problem = NULL;

    if (args->min_nbytes > args->max_nbytes) {
        fprintf(stderr, "invalid sizes for 'minbytes' and 'maxbytes': %zu > %zu\n",
                args->min_nbytes, args->max_nbytes);
        return PERF_E_USAGE;
    }
    bool one_size = args->min_nbytes == args->max_nbytes;
    if (!one_size && args->step_factor == 1 && args->step_nbytes == 0) {
        problem = "--stepbytes 0 without --stepfactor would never end";
    } else if (!one_size && args->step_factor > 1 && args->min_nbytes == 0) {
        problem = "--minbytes 0 and --stepfactor would never end";
    } else if (args->corrupt_index >= 0 && args->check_iters == 0) {
        problem = "--corrupt needs --check";
    } else if (args->per_iter_skip >= args->iters) {
        problem = "--per_iter_skip leaves no iteration of --iters";
    } else if (args->cycles == 0 && (args->json_path[0] != '\0' || args->benchmark_stdout != 0 ||
                                     args->benchmark_path[0] != '\0')) {
        problem = "--run_cycles 0 never ends, so no JSON would be written";
    }
    if (problem != NULL) {
        fprintf(stderr, "%s\n", problem);
        return PERF_E_USAGE;
    }
    return -1;
}

static void find_launcher(struct perf_env *out)
{
    /* Slurm's own variables are also set in a batch script, where one process runs; the count of a
     * step is set only for processes that srun started. */
    static const struct {
        const char *name, *rank, *nprocs;
    } launchers[] = {
        {"WHORL_RANK and WHORL_NRANKS", "WHORL_RANK", "WHORL_NRANKS"},
        {"RANK and WORLD_SIZE", "RANK", "WORLD_SIZE"},
        {"Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
        {"PMI", "PMI_RANK", "PMI_SIZE"},
        {"Slurm", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS"},
    };

    for (size_t i = 0; i < sizeof(launchers) / sizeof(launchers[0]); i++) {
        const char *nprocs = getenv(launchers[i].nprocs);
        if (getenv(launchers[i].rank) != NULL && nprocs != NULL && atoi(nprocs) > 1) {
            out->launcher = launchers[i].name;
            break;
        }
    }
    out->under_open_mpi = getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL;
    out->under_mpich = getenv("PMI_RANK") != NULL;
}

/* Reads one variable; the status after a message if its text is no good. */
static int bad_variable(const char *name, const char *text, const char *wanted)
{
    fprintf(stderr, "%s: '%s' should be %s\n", name, text, wanted);
    return PERF_E_USAGE;
}

static int read_environment(struct perf_env *out)
{
    const char *name = "WHORL_PERF_MIN_BW";
    const char *text = getenv(name);
    if (text == NULL) {
        name = "NCCL_TESTS_MIN_BW";
        text = getenv(name);
    }
    out->min_bandwidth = -1;
    if (text != NULL) {
        char *end;
        out->min_bandwidth = strtod(text, &end);
        if (end == text || *end != '\0' || !(out->min_bandwidth >= 0)) {
            return bad_variable(name, text, "a number of GB/s");
        }
    }

    text = getenv("NCCL_TESTS_SPLIT_MASK");
    if (text != NULL && !perf_split_parse_mask(text, &out->split)) {
        return bad_variable("NCCL_TESTS_SPLIT_MASK", text, "a hexadecimal mask");
    }
    text = getenv("NCCL_TESTS_SPLIT");
    if (text != NULL && !perf_split_parse(text, &out->split)) {
        return bad_variable("NCCL_TESTS_SPLIT", text, "AND, OR, MOD or DIV and a number");
    }
    if (getenv("NCCL_TESTS_DEVICE") != NULL) {
        fprintf(stderr, "NCCL_TESTS_DEVICE has no effect: buffers are in host memory\n");
    }
    find_launcher(out);
    out->variables = environ;
    return -1;
}

int perf_args_parse(struct perf_args *out, int argc, char **argv)
{
    *out = (struct perf_args){.argc = argc, .argv = argv};
    for (size_t i = 0; i < NROWS; i++) {
        rows[i].parse(rows[i].dflt, (char *)out + rows[i].offset);
    }

    int status = parse_options(out, argc, argv);
    if (status < 0) {
        status = check_options(out);
    }
    if (status < 0) {
        status = read_environment(&out->env);
    }
    return status;
}

size_t perf_args_next_size(const struct perf_args *args, size_t nbytes)
{
    size_t next = 0;
    bool too_large = args->step_factor > 1
                         ? __builtin_mul_overflow(nbytes, (size_t)args->step_factor, &next)
                         : __builtin_add_overflow(nbytes, args->step_nbytes, &next);
    return too_large || next <= nbytes ? SIZE_MAX : next;
}
