/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Drives the network room for the tests: one command per line on stdin, one answer per
 * line on stdout. Run in the network namespace that plays the host.
 *
 *   net_driver INSTANCE NETWORK/PREFIX UID_BASE LIBEXEC_DIR DATA_DIR RUN_DIR RESOLVER [PROTOCOL:PORT ...]
 *
 *   start [SLOT:PORT:PID[:APP] ...]   PID 0: no namespace at hand; APP: it is a dyno's
 *   create SLOT                 answers "fd N": /proc/SELF/fd/N is the namespace
 *   destroy SLOT | web SLOT PORT | forbid SLOT | check SLOT | usable SLOT
 *   begin SLOT APP [BANDWIDTH CONNECTIONS RATE] | listens SLOT 0|1
 *   policy APP SERIAL [closed] [nobody] [+|-NET/PREFIX:PROTOCOL:FIRST-LAST ...] [trust=NET/PREFIX ...]
 *          [service=PROTOCOL:PORT ...] [publish=PORT ...] [source=ADDRESS]
 *   stored ...  the same, as it is told from the store: "shared PORT" if somebody listens there
 *   restore ...  the same, before start
 *   watch       waits for a change of the host's network and works it off
 *   quiet       answers "ok 0" if nothing was reported
 *   damage      "damage WHAT", or "ok 0"
 *   reload      as start, with all slots that are there and their namespaces
 *   refresh | report | purge | bench N
 */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "sandbox/net.h"
#include "sandbox/net_policy.h"

static Net *net;

/* What the launcher would know of its dynos. */
static NetKeep live[64];
static size_t n_live;

static void forget(unsigned slot) {
        for (size_t i = 0; i < n_live; i++)
                if (live[i].slot == slot) {
                        live[i].netns_fd = safe_close(live[i].netns_fd);
                        live[i] = live[--n_live];
                        return;
                }
}

static void remember(unsigned slot, unsigned port, int netns_fd) {
        if (n_live == ARRAY_SIZE(live))
                abort();
        live[n_live++] = (NetKeep){.slot = slot, .web_port = port, .netns_fd = netns_fd};
}

static void remember_port(unsigned slot, unsigned port) {
        for (size_t i = 0; i < n_live; i++)
                if (live[i].slot == slot)
                        live[i].web_port = port;
}

static void answer(int r) {
        if (r < 0)
                printf("error %s\n", strerror(-r));
        else
                printf("ok %d\n", r);
}

static void do_start(char *args) {
        while (n_live > 0)
                forget(live[0].slot);
        for (char *word = strtok(args, " "); word; word = strtok(NULL, " ")) {
                unsigned slot = 0, port = 0, app = 0;
                char path[64];
                int pid = 0;

                if (sscanf(word, "%u:%u:%d:%u", &slot, &port, &pid, &app) < 3)
                        abort();
                (void)snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
                remember(slot, port, pid > 0 ? open(path, O_RDONLY | O_CLOEXEC) : -EBADF);
                live[n_live - 1].dyno.app_number = app;
                live[n_live - 1].listens = app > 0 && port > 0;
        }

        answer(net_start(net, live, n_live));
}

static void do_create(unsigned slot) {
        int fd = -EBADF, r;

        r = net_slot_create(net, slot, &fd);
        if (r == 0) {
                remember(slot, 0, fd);
                printf("fd %d\n", fd);
        } else {
                answer(r);
        }
}

static NetKeep *find_live(unsigned slot) {
        for (size_t i = 0; i < n_live; i++)
                if (live[i].slot == slot)
                        return &live[i];
        abort();
}

static void do_check(unsigned slot) {
        char detail[NET_DETAIL_SIZE];
        int r;

        r = net_check_slot(net, slot, find_live(slot)->netns_fd, detail, sizeof(detail));
        printf("%d %s\n", r, detail);
}

/* Waits for a change of the host's network and works it off. */
static void do_watch(void) {
        struct pollfd p = {.fd = net_watch_fd(net), .events = POLLIN};

        if (poll(&p, 1, 5000) == 1)
                answer(net_handle_watch(net));
        else
                answer(-ETIMEDOUT);
}

static void do_quiet(void) {
        struct pollfd p = {.fd = net_watch_fd(net), .events = POLLIN};

        answer(poll(&p, 1, 0));
}

static void do_damage(void) {
        if (net_damage(net))
                printf("damage %s\n", net_damage(net));
        else
                answer(0);
}

static void do_destroy(unsigned slot) {
        forget(slot);
        answer(net_slot_destroy(net, slot));
}

static void do_web(unsigned slot, unsigned port) {
        remember_port(slot, port);
        answer(port > 0 ? net_web_allow(net, slot, port) : net_web_forbid(net, slot));
}

static void do_begin(const char *args) {
        unsigned slot = 0;
        NetDyno dyno = {0};
        NetKeep *keep;

        if (sscanf(args,
                   "%u %u %" SCNu64 " %u %u",
                   &slot,
                   &dyno.app_number,
                   &dyno.bandwidth,
                   &dyno.connections,
                   &dyno.connection_rate) < 2)
                abort();
        keep = find_live(slot);
        keep->dyno = dyno;
        answer(net_slot_begin(net, slot, keep->netns_fd, &dyno));
}

static void do_listens(unsigned slot, bool listens) {
        find_live(slot)->listens = listens;
        answer(net_slot_listens(net, slot, listens));
}

static uint8_t protocol_number(const char *name) {
        return strcmp(name, "tcp") == 0    ? IPPROTO_TCP
               : strcmp(name, "udp") == 0  ? IPPROTO_UDP
               : strcmp(name, "icmp") == 0 ? IPPROTO_ICMP
                                           : 0;
}

static void read_rule(const char *word, NetworkRule *ret) {
        char network[32] = "", protocol[8] = "";
        struct in_addr address;
        unsigned first = 0, last = 0;

        if (sscanf(word + 1, "%31[^:]:%7[a-z]:%u-%u", network, protocol, &first, &last) < 1 ||
            parse_ipv4_net(network, &address, &ret->prefix) < 0)
                abort();
        ret->network = address.s_addr;
        ret->protocol = protocol_number(protocol);
        ret->allow = word[0] == '+';
        ret->port_first = (uint16_t)first;
        ret->port_last = (uint16_t)last;
}

static void read_word(const char *word, LaunchPolicy *p) {
        char protocol[8];
        struct in_addr address;
        unsigned port = 0;
        uint8_t prefix;

        if (strcmp(word, "closed") == 0) {
                p->egress_closed = 1;
        } else if (strcmp(word, "nobody") == 0) {
                p->ingress_closed = 1;
        } else if (word[0] == '+' || word[0] == '-') {
                read_rule(word, &p->rules[p->n_rules++]);
        } else if (sscanf(word, "publish=%u", &port) == 1) {
                p->published[p->n_published++] =
                        (NetworkPort){.port = (uint16_t)port, .protocol = IPPROTO_TCP};
        } else if (sscanf(word, "service=%7[a-z]:%u", protocol, &port) == 2) {
                p->services[p->n_services++] = (NetworkPort){
                        .port = (uint16_t)port, .protocol = protocol_number(protocol)};
        } else if (
                strncmp(word, "trust=", 6) == 0 &&
                parse_ipv4_net(word + 6, &address, &prefix) == 0) {
                p->trusted[p->n_trusted++] =
                        (NetworkRange){.network = address.s_addr, .prefix = prefix};
        } else if (strncmp(word, "source=", 7) == 0 && parse_ipv4(word + 7, &address) == 0) {
                p->fixed_source = address.s_addr;
        } else {
                abort();
        }
}

/* As the launcher: what the check of messages refuses is never handed on. */
static void do_policy(char *args, bool restore, bool stored) {
        LaunchMessage msg = {.policy = {.header = {.type = LAUNCH_POLICY}}};
        LaunchPolicy *p = &msg.policy;
        char *word = strtok(args, " ");
        uint16_t taken = 0;
        int r;

        if (!word || parse_u32(word, &p->app_number) < 0 || !(word = strtok(NULL, " ")) ||
            parse_u64(word, &p->serial) < 0)
                abort();
        while ((word = strtok(NULL, " ")))
                read_word(word, p);
        if (launch_message_check(&msg, sizeof(*p), 0, LAUNCH_FROM_SUPERVISOR) < 0)
                abort();
        if (restore) {
                answer(net_policy_restore(net, p));
                return;
        }
        p->asked = !stored;
        r = net_policy_check(net, p, &taken);
        p->asked = 0;
        if (r == -EADDRINUSE)
                printf("taken %u\n", taken);
        else if (r == 0 && taken != 0 && net_policy_set(net, p) == 0)
                printf("shared %u\n", taken);
        else
                answer(r < 0 ? r : net_policy_set(net, p));
}

/* "forward ip filter FORWARD docker, …" */
static void print_blockers(const NetReport *report) {
        static const char *const hooks[] = {
                "prerouting", "input", "forward", "output", "postrouting"};
        static const char *const kinds[] = {"inet", "ip", "legacy"};
        static const char *const owners[] = {"", " firewalld", " ufw", " docker"};

        for (size_t i = 0; i < report->n_blockers; i++) {
                const LaunchBlocker *b = &report->blockers[i];

                printf("%s%s %s %s %s%s",
                       i > 0 ? ", " : "",
                       hooks[b->hook],
                       kinds[b->kind],
                       b->table,
                       b->chain,
                       owners[b->owner]);
        }
}

static void do_report(void) {
        char detail[NET_DETAIL_SIZE];
        NetReport report;
        int r;

        r = net_report(net, &report);
        if (r < 0) {
                answer(r);
                return;
        }
        r = net_report_text(&report, detail, sizeof(detail));
        printf("{\"ok\": %d, \"table\": %d, \"tc\": %d, \"flush_guard\": %d, \"slots\": %u, "
               "\"n_overlap\": %u, \"overlap\": \"%s\", \"uplinks\": \"%s\", \"forwarding\": %d, "
               "\"n_resolvers\": %u, \"detail\": \"%s\", \"n_shadowed\": %zu, \"shadowed\": %u, "
               "\"public_left_out\": %zu, \"blockers\": \"",
               r,
               report.table,
               report.tc,
               report.flush_guard,
               report.slots,
               report.n_overlap,
               report.overlap,
               report.uplinks,
               report.forwarding,
               report.n_resolvers,
               detail,
               report.n_shadowed,
               report.shadowed[0],
               report.n_public_left_out);
        print_blockers(&report);
        printf("\"}\n");
}

static int by_value(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

/* @n slots made and destroyed, all of them there at the same time. Medians in µs. */
static void do_bench(unsigned n) {
        uint64_t create[1024], destroy[1024];
        int fds[1024];

        if (n > ARRAY_SIZE(create))
                abort();
        for (unsigned i = 0; i < n; i++) {
                uint64_t start = clock_boottime_usec();

                if (net_slot_create(net, 1000 + i, &fds[i]) != 0)
                        abort();
                create[i] = clock_boottime_usec() - start;
        }
        for (unsigned i = 0; i < n; i++) {
                uint64_t start = clock_boottime_usec();

                if (net_slot_destroy(net, 1000 + i) != 0)
                        abort();
                fds[i] = safe_close(fds[i]);
                destroy[i] = clock_boottime_usec() - start;
        }
        qsort(create, n, sizeof(create[0]), by_value);
        qsort(destroy, n, sizeof(destroy[0]), by_value);
        printf("create %" PRIu64 " destroy %" PRIu64 " create_p99 %" PRIu64 "\n",
               create[n / 2],
               destroy[n / 2],
               create[n * 99 / 100]);
}

static void run(char *line) {
        unsigned slot = 0, port = 0;
        char verb[16] = "";

        line[strcspn(line, "\n")] = '\0';
        if (sscanf(line, "%15s %u %u", verb, &slot, &port) < 1)
                return;

        if (strcmp(verb, "start") == 0)
                do_start(line + strlen(verb));
        else if (strcmp(verb, "create") == 0)
                do_create(slot);
        else if (strcmp(verb, "destroy") == 0)
                do_destroy(slot);
        else if (strcmp(verb, "web") == 0)
                do_web(slot, port);
        else if (strcmp(verb, "forbid") == 0)
                do_web(slot, 0);
        else if (strcmp(verb, "begin") == 0)
                do_begin(line + strlen(verb));
        else if (strcmp(verb, "listens") == 0)
                do_listens(slot, port != 0);
        else if (
                strcmp(verb, "policy") == 0 || strcmp(verb, "restore") == 0 ||
                strcmp(verb, "stored") == 0)
                do_policy(line + strlen(verb), verb[0] == 'r', verb[0] == 's');
        else if (strcmp(verb, "check") == 0)
                do_check(slot);
        else if (strcmp(verb, "usable") == 0)
                answer(net_slot_usable(net, slot));
        else if (strcmp(verb, "reload") == 0)
                answer(net_start(net, live, n_live));
        else if (strcmp(verb, "refresh") == 0)
                answer(net_refresh(net));
        else if (strcmp(verb, "watch") == 0)
                do_watch();
        else if (strcmp(verb, "quiet") == 0)
                do_quiet();
        else if (strcmp(verb, "damage") == 0)
                do_damage();
        else if (strcmp(verb, "report") == 0)
                do_report();
        else if (strcmp(verb, "purge") == 0)
                answer(net_purge(net));
        else if (strcmp(verb, "bench") == 0)
                do_bench(slot);
        else
                printf("error unknown command %s\n", verb);
}

int main(int argc, char **argv) {
        Config config = {0};
        char line[4096];
        int r;

        if (argc < 7)
                return 2;
        field_set(config.instance, sizeof(config.instance), argv[1]);
        r = parse_ipv4_net(argv[2], &config.network, &config.network_prefix);
        if (r >= 0)
                r = parse_u32(argv[3], &config.uid_base);
        config.libexec_dir = argv[4];
        config.data_dir = argv[5];
        config.run_dir = argv[6];
        if (r >= 0 && argc > 7) {
                r = parse_ipv4(argv[7], &config.resolvers[0]);
                config.n_resolvers = 1;
        }
        for (int i = 8; i < argc; i++) {
                ConfigPort *port = &config.public_ports[config.n_public_ports++];

                port->protocol = strncmp(argv[i], "udp:", 4) == 0 ? IPPROTO_UDP : IPPROTO_TCP;
                port->port = (uint16_t)strtoul(argv[i] + 4, NULL, 10);
        }
        if (r >= 0)
                r = parse_ipv4("172.16.0.1", &config.service_address);
        if (r >= 0)
                r = net_open(&net, &config);
        if (r < 0) {
                fprintf(stderr, "net_driver: %s\n", strerror(-r));
                return 1;
        }

        printf("ready %d\n", net_tc_error(net));
        (void)fflush(stdout);
        while (fgets(line, sizeof(line), stdin)) {
                run(line);
                (void)fflush(stdout);
        }

        net = net_free(net);
        return 0;
}
