/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google Benchmark's JSON, so that its compare.py can tell two runs apart. Each half of a row is a
 * benchmark named "all_reduce/float/sum/1048576/oop" ("ip" in place; a root goes before the size);
 * cycles (-N) are its repetitions.
 */
#include "common/failure.h"
#include "common/json.h"
#include "common/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char sysfs_cpu[] = "/sys/devices/system/cpu/cpu0";

/* The first word of the file sysfs_cpu/name; false if there is no such file. */
static bool read_word(const char *name, char *word, size_t word_nbytes)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", sysfs_cpu, name);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    bool is_read = fgets(word, (int)word_nbytes, file) != NULL;
    fclose(file);
    word[is_read ? strcspn(word, " \n") : 0] = '\0';
    return is_read;
}

/* The clock of the first processor as the kernel states it; 0 if it does not. */
static int mhz_per_cpu(void)
{
    char line[256];
    double mhz = 0;
    FILE *file = fopen("/proc/cpuinfo", "re");

    while (file != NULL && mhz == 0 && fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "cpu MHz : %lf", &mhz);
    }
    if (file != NULL) {
        fclose(file);
    }
    return (int)(mhz + 0.5);
}

static void write_caches(struct perf_json *json)
{
    perf_json_open_array(json, "caches");
    for (int i = 0; i < 8; i++) {
        char name[64];
        char type[32];
        char level[32];
        char size[32];
        snprintf(name, sizeof(name), "cache/index%d/type", i);
        bool is_known = read_word(name, type, sizeof(type));
        snprintf(name, sizeof(name), "cache/index%d/level", i);
        is_known = is_known && read_word(name, level, sizeof(level));
        snprintf(name, sizeof(name), "cache/index%d/size", i);
        is_known = is_known && read_word(name, size, sizeof(size));
        if (!is_known) {
            break;
        }
        int64_t factor = strchr(size, 'M') != NULL ? 1 << 20 : strchr(size, 'K') != NULL ? 1024 : 1;
        perf_json_open_object(json, NULL);
        perf_json_string(json, "type", type);
        perf_json_int(json, "level", atoi(level));
        perf_json_int(json, "size", factor * atoi(size));
        perf_json_close_object(json);
    }
    perf_json_close_array(json);
}

static void write_context(const struct perf_report *report, struct perf_json *json)
{
    char governor[64] = "";
    double load[3] = {0};
    bool has_governor = read_word("cpufreq/scaling_governor", governor, sizeof(governor));

    perf_json_open_object(json, "context");
    perf_json_string(json, "date", report->start_time);
    perf_json_string(json, "host_name", perf_hostname());
    perf_json_string(json, "executable", report->args->argv[0]);
    perf_json_int(json, "num_cpus", sysconf(_SC_NPROCESSORS_ONLN));
    perf_json_int(json, "mhz_per_cpu", mhz_per_cpu());
    perf_json_bool(json, "cpu_scaling_enabled",
                   has_governor && strcmp(governor, "performance") != 0);
    write_caches(json);
    int nloads = getloadavg(load, 3);
    perf_json_open_array(json, "load_avg");
    for (int i = 0; i < nloads; i++) {
        perf_json_number(json, NULL, load[i]);
    }
    perf_json_close_array(json);
#ifdef __OPTIMIZE__
    perf_json_string(json, "library_build_type", "release");
#else
    perf_json_string(json, "library_build_type", "debug");
#endif
    perf_json_string(json, "whorl_version", WHORL_VERSION_STRING);
    perf_json_int(json, "nprocs", report->nprocs);
    perf_json_int(json, "nthreads", report->args->nthreads);
    perf_json_int(json, "nranks_per_thread", report->args->nranks_per_thread);
    perf_json_int(json, "local_register", report->args->local_register);
    perf_json_close_object(json);
}

/* Where a benchmark stands in the list. */
struct place {
    int family, instance, repetitions;
};

static void write_benchmark(const struct perf_report *report, const struct perf_row *row,
                            int in_place, const struct place *place, struct perf_json *json)
{
    const struct perf_half *half = &row->half[in_place];
    char root[16] = "";
    char name[160];

    if (row->root >= 0) {
        snprintf(root, sizeof(root), "root%d/", row->root);
    }
    snprintf(name, sizeof(name), "%s/%s/%s/%s%zu/%s", report->coll->name, row->type, row->op, root,
             row->nbytes, in_place ? "ip" : "oop");

    perf_json_open_object(json, NULL);
    perf_json_string(json, "name", name);
    perf_json_int(json, "family_index", place->family);
    perf_json_int(json, "per_family_instance_index", place->instance);
    perf_json_string(json, "run_name", name);
    perf_json_string(json, "run_type", "iteration");
    perf_json_int(json, "repetitions", place->repetitions);
    perf_json_int(json, "repetition_index", row->cycle);
    perf_json_int(json, "threads", report->args->nthreads);
    perf_json_int(json, "iterations", (int64_t)report->args->iters * report->args->agg_iters);
    perf_json_number(json, "real_time", half->time_us);
    perf_json_number(json, "cpu_time", half->cpu_us);
    perf_json_string(json, "time_unit", "us");
    perf_json_number(json, "bytes_per_second", half->algbw * 1e9);
    perf_json_number(json, "busbw", half->busbw);
    if (half->is_checked) {
        perf_json_int(json, "wrong", (int64_t)half->nwrong);
    }
    perf_json_close_object(json);
}

void perf_benchmark_report(const struct perf_report *report, FILE *out)
{
    struct perf_json json;
    struct place place = {.family = -1, .repetitions = report->args->cycles};

    perf_json_init(&json, out);
    perf_json_open_object(&json, NULL);
    write_context(report, &json);
    perf_json_open_array(&json, "benchmarks");
    for (size_t i = 0; i < report->nrows; i++) {
        const struct perf_row *row = &report->rows[i];
        const struct perf_row *before = i > 0 ? &report->rows[i - 1] : NULL;
        bool starts_cycle = before == NULL || before->cycle != row->cycle;
        bool starts_family = starts_cycle || strcmp(before->type, row->type) != 0 ||
                             strcmp(before->op, row->op) != 0 || before->root != row->root;
        if (starts_family) {
            place.family = starts_cycle ? 0 : place.family + 1;
            place.instance = 0;
        }
        for (int in_place = 0; in_place < 2; in_place++) {
            if (row->half[in_place].is_run) {
                write_benchmark(report, row, in_place, &place, &json);
                place.instance++;
            }
        }
    }
    perf_json_close_array(&json);
    perf_json_close_object(&json);
}
