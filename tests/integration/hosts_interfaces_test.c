/* SPDX-License-Identifier: Apache-2.0 */
/* Which interfaces and addresses a job of several hosts uses, and what it says where none works. */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE_NBYTES = 8 << 20, FEW_NBYTES = 200000 };

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(2, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

TestSuite(hosts_interfaces, .init = make_hosts, .fini = remove_hosts);

static void run_on_both(void (*run)(struct rank *), const char *const *env, bool no_comm)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = run, .env = env, .no_comm = no_comm}, .hosts = hosts, .nprocesses = {2, 2}});
}

static void use(struct rank *rank)
{
    static const size_t counts[] = {3, 100003};
    for (int i = 0; i < 2 * CASE_KINDS; i++) {
        struct coll_case c = {.kind = (enum case_kind)(i % CASE_KINDS),
                              .count = counts[i / CASE_KINDS],
                              .dtype = WHORL_FLOAT32,
                              .seed = (uint64_t)i};
        case_do(rank, rank->comm, &c);
    }
}

/* ---- families ------------------------------------------------------------------------------- */

/* Connections of this host to other hosts over IPv4 or IPv6, as /proc shows them. */
static int count_connections(struct rank *rank, int family)
{
    static const char *const files[] = {"/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"};
    int n = 0;
    for (int i = 0; i < 2; i++) {
        FILE *file = fopen(files[i], "re");
        char line[512], local[64], remote[64];
        unsigned state = 0;
        RANK_CHECK(rank, file != NULL, "no %s", files[i]);
        while (fgets(line, sizeof(line), file) != NULL) {
            if (sscanf(line, " %*d: %63s %63s %x", local, remote, &state) != 3 || state != 1) {
                continue;
            }
            bool is_mapped = strncmp(remote, "0000000000000000FFFF0000", 24) == 0;
            const char *ip = is_mapped ? remote + 24 : remote;
            bool is_v4 = i == 0 || is_mapped;
            bool is_loopback = is_v4 ? strncmp(ip + 6, "7F", 2) == 0
                                     : strncmp(ip, "000000000000000000000000010000", 30) == 0;
            n += !is_loopback && is_v4 == (family == 4);
        }
        fclose(file);
    }
    return n;
}

static void expect_v6_alone(struct rank *rank)
{
    use(rank);
    RANK_CHECK(rank, count_connections(rank, 4) == 0, "there are connections over IPv4");
    RANK_CHECK(rank, count_connections(rank, 6) > 0, "there are none over IPv6");
    rank_meet(rank);
}

static void expect_v4_alone(struct rank *rank)
{
    use(rank);
    RANK_CHECK(rank, count_connections(rank, 6) == 0, "there are connections over IPv6");
    RANK_CHECK(rank, count_connections(rank, 4) > 0, "there are none over IPv4");
    rank_meet(rank);
}

Test(hosts_interfaces, the_family_of_the_setting_is_the_only_one_used)
{
    static const char *const v4[] = {"WHORL_SOCKET_FAMILY=AF_INET", NULL};
    static const char *const v6[] = {"WHORL_SOCKET_FAMILY=AF_INET6", NULL};
    run_on_both(expect_v4_alone, v4, false);
    run_on_both(expect_v6_alone, v6, false);
}

Test(hosts_interfaces, without_ipv4_addresses_ipv6_is_used)
{
    for (int i = 0; i < 2; i++) {
        cr_assert(hosts_ip(hosts, i, "-4 address flush dev eth0"));
    }
    run_on_both(expect_v6_alone, NULL, false);
}

/* ---- which interface ------------------------------------------------------------------------ */

static void sum_much(struct rank *rank)
{
    size_t n = LARGE_NBYTES / sizeof(float);
    float *x = calloc(n, sizeof(*x));
    RANK_CHECK(rank, x != NULL, "no memory");
    rank_at(rank, "sums %zu floats", n);
    RANK_OK(rank, whorl_all_reduce(x, x, n, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
    free(x);
}

/* What the interfaces of this host send in sums, which every rank comes to before any looks. */
struct sent {
    int64_t eth0, eth1;
};

static struct sent send_much(struct rank *rank)
{
    sum_much(rank); /* all connections there will be, and their windows */
    rank_meet(rank);
    struct sent sent = {-hosts_bytes_sent("eth0"), -hosts_bytes_sent("eth1")};
    rank_meet(rank);
    sum_much(rank);
    rank_meet(rank);
    sent.eth0 += hosts_bytes_sent("eth0");
    sent.eth1 += hosts_bytes_sent("eth1");
    rank_meet(rank);
    return sent;
}

static void expect_second_alone(struct rank *rank)
{
    use(rank);
    struct sent sent = send_much(rank);
    RANK_CHECK(rank, sent.eth1 >= LARGE_NBYTES && sent.eth0 < FEW_NBYTES,
               "eth0 sent %lld bytes, eth1 %lld", (long long)sent.eth0, (long long)sent.eth1);
}

Test(hosts_interfaces, the_one_that_is_named_carries_everything)
{
    static const char *const exact[] = {"WHORL_SOCKET_IFNAME==eth1", NULL};
    static const char *const others[] = {"NCCL_SOCKET_IFNAME=^eth0,lo", NULL};
    hosts_add_rail(hosts);
    run_on_both(expect_second_alone, exact, false);
    run_on_both(expect_second_alone, others, false);
}

static void expect_both(struct rank *rank)
{
    use(rank);
    struct sent sent = send_much(rank);
    int64_t least = sent.eth0 < sent.eth1 ? sent.eth0 : sent.eth1;
    RANK_CHECK(rank, sent.eth0 + sent.eth1 >= LARGE_NBYTES && least >= LARGE_NBYTES / 8,
               "eth0 sent %lld bytes, eth1 %lld", (long long)sent.eth0, (long long)sent.eth1);
}

Test(hosts_interfaces, two_are_used_together)
{
    static const char *const both[] = {"WHORL_SOCKET_IFNAME=eth", NULL};
    hosts_add_rail(hosts);
    run_on_both(expect_both, both, false);
    run_on_both(expect_both, NULL, false);
}

static void run_use(struct rank *rank)
{
    use(rank);
}

/* ---- interfaces that lead nowhere ----------------------------------------------------------- */

Test(hosts_interfaces, one_that_leads_nowhere_is_not_in_the_way)
{
    hosts_add_rail(hosts);
    cr_assert(hosts_link(hosts, 1, 1, "cut"));
    run_on_both(run_use, NULL, false);
    cr_assert(hosts_link(hosts, 1, 1, "up"));
    cr_assert(hosts_link(hosts, 0, 0, "cut"));
    run_on_both(run_use, NULL, false);
}

/* What each way of failing to connect to an address does: the others are tried. */
Test(hosts_interfaces, addresses_that_are_refused_are_passed_over)
{
    static const char *const routes[] = {"unreachable", "prohibit", "blackhole"};
    hosts_add_rail(hosts);
    for (int i = 0; i < 3; i++) {
        cr_assert(hosts_ip(hosts, 1, "route add %s %s/32", routes[i], hosts->addrs[0]));
        run_on_both(run_use, NULL, false);
        cr_assert(hosts_ip(hosts, 1, "route del %s %s/32", routes[i], hosts->addrs[0]));
    }
    /* The address of host 0 is one of host 1 too: whoever calls it there meets itself. */
    cr_assert(hosts_ip(hosts, 1, "address add %s/32 dev lo", hosts->addrs[0]));
    run_on_both(run_use, NULL, false);
}

/* As on machines with Docker: an interface that has the same address on every host, and a carrier
 * of its own. */
static void add_docker(void)
{
    for (int i = 0; i < 2; i++) {
        cr_assert(hosts_ip(hosts, i, "link add docker0 type bridge"));
        cr_assert(hosts_ip(hosts, i, "link add veth0 type veth peer name veth1"));
        cr_assert(hosts_ip(hosts, i, "link set veth0 master docker0 up"));
        cr_assert(hosts_ip(hosts, i, "link set veth1 up"));
        cr_assert(hosts_ip(hosts, i, "link set docker0 up"));
        cr_assert(hosts_ip(hosts, i, "address add 172.17.0.1/16 dev docker0"));
    }
}

Test(hosts_interfaces, an_address_that_all_hosts_have_is_not_in_the_way)
{
    static const char *const all[] = {"WHORL_SOCKET_IFNAME=docker,eth", NULL};
    add_docker();
    run_on_both(run_use, NULL, false);
    run_on_both(run_use, all, false);
}

static void want_no_way(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    rank_at(rank, "creates a communicator that cannot be");
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm);
    const char *text = whorl_last_error(NULL);
    bool is_far = hosts_of_rank(rank, rank->rank) == 1;
    RANK_CHECK(rank,
               rc == WHORL_E_TIMEOUT || rc == WHORL_E_SYS || rc == WHORL_E_PEER ||
                   rc == WHORL_E_TRUST,
               "%d: %s", rc, text);
    RANK_TEXT(rank, text, is_far ? "172.17.0.1" : "missing: 2, 3");
}

Test(hosts_interfaces, where_only_an_address_of_all_hosts_is_allowed_the_error_names_it)
{
    static const char *const env[] = {"WHORL_SOCKET_IFNAME==docker0", "WHORL_INIT_TIMEOUT=2s",
                                      NULL};
    add_docker();
    run_on_both(want_no_way, env, true);
}

/* ---- no interface --------------------------------------------------------------------------- */

static void want_interfaces_named(struct rank *rank)
{
    whorl_id_t id;
    if (rank->rank == 0) {
        RANK_EXPECT(rank, WHORL_E_CONFIG, whorl_id_create(&id));
        RANK_TEXT(rank, whorl_last_error(NULL), "nosuch0");
        RANK_TEXT(rank, whorl_last_error(NULL), "SOCKET_IFNAME");
        RANK_TEXT(rank, whorl_last_error(NULL), "eth0");
    }
}

Test(hosts_interfaces, a_setting_that_allows_none_is_refused_with_those_there_are)
{
    static const char *const env[] = {"WHORL_SOCKET_IFNAME==nosuch0", NULL};
    static const char *const nccl_env[] = {"NCCL_SOCKET_IFNAME=nosuch0", NULL};
    run_on_both(want_interfaces_named, env, true);
    run_on_both(want_interfaces_named, nccl_env, true);
}

/* One host's setting is wrong: its rank says so, and the others do not wait for ever. */
static void want_one_refused(struct rank *rank)
{
    whorl_id_t id = rank_job_id(rank);
    if (rank->rank == rank->nranks - 1) {
        setenv("WHORL_SOCKET_IFNAME", "=nosuch0", 1);
    }
    rank_at(rank, "creates a communicator of which one rank has a wrong setting");
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm);
    const char *text = whorl_last_error(NULL);
    if (rank->rank == rank->nranks - 1) {
        RANK_CHECK(rank, rc == WHORL_E_CONFIG, "%d: %s", rc, text);
        RANK_TEXT(rank, text, "nosuch0");
    } else {
        RANK_CHECK(rank, rc < 0 && rank->comm == NULL, "%d: %s", rc, text);
        RANK_TEXT(rank, text, "missing: 3");
    }
}

Test(hosts_interfaces, a_wrong_setting_on_one_host_ends_creation_on_all)
{
    static const char *const env[] = {"WHORL_INIT_TIMEOUT=2s", NULL};
    run_on_both(want_one_refused, env, true);
}

/* ---- no route ------------------------------------------------------------------------------- */

/* Every address of host 0 is out of reach from host 1, each for another reason. */
static void want_reasons(struct rank *rank)
{
    const struct hosts *both = hosts_of_job(rank);
    whorl_id_t id = rank_job_id(rank);
    rank_at(rank, "creates a communicator without a route");
    whorl_result_t rc = whorl_comm_create(rank->nranks, rank->rank, &id, NULL, &rank->comm);
    const char *text = whorl_last_error(NULL);
    RANK_CHECK(rank, rc < 0 && rank->comm == NULL, "%d: %s", rc, text);
    if (hosts_of_rank(rank, rank->rank) == 1) {
        RANK_TEXT(rank, text, both->addrs[0]);
        RANK_TEXT(rank, text, "No route to host");
        RANK_TEXT(rank, text, both->rail_addrs[0]);
        RANK_TEXT(rank, text, "Permission denied");
    } else {
        RANK_TEXT(rank, text, "missing: 2, 3");
    }
}

Test(hosts_interfaces, without_a_route_the_error_tells_of_each_address)
{
    static const char *const env[] = {"WHORL_SOCKET_FAMILY=AF_INET", "WHORL_INIT_TIMEOUT=2s", NULL};
    hosts_add_rail(hosts);
    cr_assert(hosts_ip(hosts, 1, "route add unreachable %s/32", hosts->addrs[0]));
    cr_assert(hosts_ip(hosts, 1, "route add prohibit %s/32", hosts->rail_addrs[0]));
    run_on_both(want_reasons, env, true);
}
