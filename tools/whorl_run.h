/* SPDX-License-Identifier: Apache-2.0 */
/*
 * whorl-run: starts the ranks of a job where there is no other launcher.
 *
 * Ranks of this host are children in one process group, beside a *warden*: a process that waits for
 * whorl-run's end, whatever ends it, and then kills the group. The ranks of another host are the
 * children of an *agent* there, which is whorl-run again, started by ssh. An agent is told what to
 * run through its standard input, so that no secret is on a command line; later bytes are signals
 * for its ranks, and the end of the input is the end of the job.
 */
#ifndef WHORL_RUN_H
#define WHORL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    RUN_NRANKS_MAX = 65536,
    RUN_E_USAGE = 2, /* exit status of whorl-run for what is wrong with its arguments */
    RUN_E_TIMEOUT = 124,
    RUN_E_CANNOT_RUN = 126,
    RUN_E_NOT_FOUND = 127,
    RUN_E_SIGNAL = 128, /* and the signal's number */
    RUN_E_SSH = 255,
};

/** A host and its block of ranks. */
struct run_host {
    char *name;
    int nslots; /* 0: not given */
    int first_rank, nranks;
    bool is_here;
};

/** NAME=VALUE texts, owned. */
struct run_env {
    char **vars;
    size_t nvars;
};

/** What the command line says; what an agent is told. */
struct run_args {
    int nranks;
    struct run_host *hosts; /* one without -H */
    int nhosts;
    char **ssh; /* words of the command, NULL at the end */
    bool is_tagged, is_agent;
    uint64_t timeout_ms; /* 0: none */
    uint64_t grace_ms;
    struct run_env env; /* what every rank gets beside the environment of its host */
    char **program;     /* NULL at the end */
    char *folder;       /* of an agent's ranks; NULL: where this process is */
};

/** Prints "whorl-run: MESSAGE" to stderr, in one piece. */
void run_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** malloc() and friends that end the program where there is no memory. */
void *run_alloc(size_t nbytes);
void *run_grow(void *memory, size_t nbytes);
char *run_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- whorl_run_args.c ---- */

/** Reads the command line into *args. -1: go on; else the exit status, everything said. */
int run_args_parse(int argc, char **argv, struct run_args *args);
void run_args_fini(struct run_args *args);

/** The name in NAME=VALUE, to be freed. */
char *run_var_name(const char *var);
/** Value of name in env; NULL: not there. */
const char *run_env_get(const struct run_env *env, const char *name);
/** Sets name in env; the last one counts. */
void run_env_set(struct run_env *env, const char *name, const char *value);

/* ---- whorl_run_hosts.c ---- */

/** Reads "host[:slots],..." into args->hosts. False: said. */
bool run_hosts_parse(const char *list, struct run_args *args);
/** Gives each host its block of ranks, first host first; decides args->nranks if it is 0. False:
 *  said. */
bool run_hosts_place(struct run_args *args);
/** Writes where the ranks meet, "host:port", to be freed; NULL: said. */
char *run_hosts_root(const struct run_args *args);

/* ---- whorl_run_remote.c ---- */

/** Starts the agent of host. *control_out is written signals to; closing it ends the job there.
 *  Returns the pid of its ssh; -1: said. */
pid_t run_remote_start(const struct run_args *args, const struct run_host *host, int *control_out);
/** The agent's side: reads from fd what to run. False: said. */
bool run_remote_read(int fd, struct run_args *args);

/* ---- whorl_run_local.c ---- */

/** A rank's output on its way: whole lines of fd go to `to` with a tag before them. */
struct run_tag {
    int fd; /* -1: closed */
    int to;
    int rank;
    char *line;
    size_t line_nbytes;
};

/** Starts the warden. Returns its pid, which is also the process group's; -1: said. *lifeline_out
 *  must stay open as long as this process lives. */
pid_t run_local_warden(int *lifeline_out);

struct run_rank {
    const struct run_args *args;
    int rank, local_rank;
    pid_t group;
    struct run_tag *tags; /* two, for stdout and stderr; only with --tag-output */
};

/** Starts one rank. Returns its pid; a negative exit status: said. */
pid_t run_local_start(const struct run_rank *rank);

/** Passes on what tag->fd has; closes it at its end. */
void run_tag_read(struct run_tag *tag);

#endif
