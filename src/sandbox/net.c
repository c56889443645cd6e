/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/file.h"
#include "sandbox/firewall_rules.h"
#include "sandbox/net_internal.h"
#include "sandbox/net_link.h"
#include "sandbox/net_policy.h"

#define RULESET_FILE "ruleset.nft.in"
#define RULESET_SIZE 65536 /* bytes of the template at most */

/* A route that covers this much is a way out, not a network: VPNs halve the Internet. */
#define WIDE_PREFIX 7

/*
 * Marks that no two instances of a host share and nobody else is likely to use: they
 * start with 0xd, and the rest is the name's hash (FNV-1a).
 */
static TcMarks instance_marks(const char *instance) {
        uint32_t hash = UINT32_C(2166136261);

        for (const char *p = instance; *p; p++)
                hash = (hash ^ (uint8_t)*p) * UINT32_C(16777619);
        hash = UINT32_C(0xd0000000) | (hash & UINT32_C(0x0ffffffe));

        return (TcMarks){.from_dyno = hash, .to_dyno = hash | 1};
}

static int copy_config(Net *net, const Config *config) {
        memcpy(net->instance, config->instance, sizeof(net->instance));
        net->network = config->network;
        net->prefix = config->network_prefix;
        net->uid_base = config->uid_base;
        memcpy(net->resolvers, config->resolvers, sizeof(net->resolvers));
        net->n_resolvers = config->n_resolvers;
        net->service_address = config->service_address;
        memcpy(net->public_ports, config->public_ports, sizeof(net->public_ports));
        net->n_public_ports = config->n_public_ports;
        net->marks = instance_marks(net->instance);
        net->n_slots = net_plan_slots(net->network, net->prefix);

        net->libexec_dir = strdup(config->libexec_dir);
        net->data_dir = strdup(config->data_dir);
        net->run_dir = strdup(config->run_dir);
        net->slots = calloc(net->n_slots > 0 ? net->n_slots : 1, sizeof(*net->slots));
        return net->libexec_dir && net->data_dir && net->run_dir && net->slots ? 0 : -ENOMEM;
}

/* What net_open() talks to the kernel through, and the namespace that it was called in. */
static int open_sockets(Net *net) {
        int r;

        r = net_rtnl_open(&net->host);
        if (r < 0)
                return r;
        r = net_rtnl_namespace(net->host, &net->host_netns_fd);
        if (r < 0)
                return r;
        r = firewall_open(&net->firewall, net->instance);
        if (r < 0)
                return r;
        r = net_listen_open(&net->listen);
        if (r < 0)
                return r;
        r = conntrack_open(&net->conntrack);
        if (r < 0)
                return r;
        return net_watch_open(&net->watch, net->network, net->prefix);
}

int net_open(Net **ret, const Config *config) {
        _cleanup_(net_freep) Net *net = NULL;
        int r;

        assert(ret);
        assert(config);

        net = calloc(1, sizeof(*net));
        if (!net)
                return -ENOMEM;
        net->host_netns_fd = -EBADF;
        net->watch = (NetWatch)NET_WATCH_INIT;
        net->tc = (TcProgram)TC_PROGRAM_EMPTY;

        r = copy_config(net, config);
        if (r < 0)
                return r;
        r = open_sockets(net);
        if (r < 0)
                return r;
        r = net_recall_uplinks(net);
        if (r < 0)
                return r;

        net->ipv6 = net_host_has_ipv6();
        net->tc_error = tc_program_load(&net->tc, net->marks, net->resolvers, net->n_resolvers);
        r = net_find_overlaps(net);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(net);
        return 0;
}

Net *net_free(Net *net) {
        if (!net)
                return NULL;

        tc_program_close(&net->tc);
        net->conntrack = conntrack_free(net->conntrack);
        net->listen = net_listen_free(net->listen);
        net->firewall = firewall_free(net->firewall);
        net_watch_close(&net->watch);
        net->host_netns_fd = safe_close(net->host_netns_fd);
        net->host = net_rtnl_free(net->host);
        free(net->policies);
        free(net->slots);
        free(net->libexec_dir);
        free(net->data_dir);
        free(net->run_dir);
        free(net);
        return NULL;
}

int net_tc_error(const Net *net) {
        return net->tc_error;
}

uint32_t net_slots(const Net *net) {
        return net->n_slots;
}

bool net_slot_usable(const Net *net, uint32_t slot) {
        return slot < net->n_slots && !net->slots[slot].overlaps;
}

static void mark_overlap(const NetRoute *route, void *userdata) {
        char dst[INET_ADDRSTRLEN];
        Net *net = userdata;
        uint32_t n = 0;
        size_t used;

        /* What goes nowhere belongs to nobody; our /30s are more specific and win. */
        if (route->prefix <= WIDE_PREFIX || route->type == RTN_BLACKHOLE ||
            route->type == RTN_UNREACHABLE || route->type == RTN_PROHIBIT ||
            !net_plan_overlap(net->network, net->prefix, route->dst, route->prefix))
                return;

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                NetSlotAddress a = net_plan_address(net->network, slot);

                if (net->slots[slot].overlaps ||
                    !net_plan_overlap(a.network, NET_DYNO_PREFIX, route->dst, route->prefix))
                        continue;
                net->slots[slot].overlaps = true;
                n++;
        }
        if (n == 0)
                return;

        net->n_overlap += n;
        used = strlen(net->overlap);
        (void)inet_ntop(AF_INET, &route->dst, dst, sizeof(dst));
        (void)snprintf(
                net->overlap + used,
                sizeof(net->overlap) - used,
                "%s%s/%u on %s",
                used > 0 ? ", " : "",
                dst,
                route->prefix,
                route->link);
}

int net_find_overlaps(Net *net) {
        net->n_overlap = 0;
        net->overlap[0] = '\0';
        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                net->slots[slot].overlaps = false;

        return net_host_routes(net->host, net->instance, mark_overlap, net);
}

static void write_links(FILE *out, void *userdata) {
        const Net *net = userdata;
        const char *before = "elements = {";

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                char name[IFNAMSIZ], address[INET_ADDRSTRLEN];
                struct in_addr dyno;

                if (net->slots[slot].ifindex == 0)
                        continue;
                dyno = net_plan_address(net->network, slot).dyno;
                net_plan_link_name(net->instance, slot, name);
                (void)inet_ntop(AF_INET, &dyno, address, sizeof(address));
                (void)fprintf(out, "%s \"%s\" . %s", before, name, address);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

static void write_web(FILE *out, void *userdata) {
        const Net *net = userdata;
        const char *before = "elements = {";

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                char address[INET_ADDRSTRLEN];
                struct in_addr dyno;

                if (net->slots[slot].ifindex == 0 || net->slots[slot].web_port == 0)
                        continue;
                dyno = net_plan_address(net->network, slot).dyno;
                (void)inet_ntop(AF_INET, &dyno, address, sizeof(address));
                (void)fprintf(out, "%s %s . %u", before, address, net->slots[slot].web_port);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

static void write_uplinks(FILE *out, void *userdata) {
        const Net *net = userdata;

        for (size_t i = 0; i < net->own_uplinks.n; i++)
                (void)fprintf(
                        out, "%s \"%s\"", i == 0 ? "elements = {" : ",", net->own_uplinks.name[i]);
        if (net->own_uplinks.n > 0)
                (void)fputs(" }", out);
}

static void write_resolvers(FILE *out, void *userdata) {
        const Net *net = userdata;
        const char *before = "elements = {";

        for (size_t i = 0; i < net->n_resolvers; i++) {
                char address[INET_ADDRSTRLEN];
                bool local = true;

                /* The port of a resolver on the host itself stays refused. */
                if (net_host_is_local(net->host, net->resolvers[i], &local) < 0 || local)
                        continue;
                (void)inet_ntop(AF_INET, &net->resolvers[i], address, sizeof(address));
                (void)fprintf(out, "%s %s", before, address);
                before = ",";
        }
        if (before[0] == ',')
                (void)fputs(" }", out);
}

static int render(Net *net, const char *template, FILE *out) {
        char uids[24], mark[16], closed[16];
        const FirewallPlaceholder values[] = {
                {.name = "INSTANCE", .text = net->instance},
                {.name = "UIDS", .text = uids},
                {.name = "MARK", .text = mark},
                {.name = "CLOSED_SEC", .text = closed},
                {.name = "SOURCE_PORTS", .text = POLICY_SOURCE_PORTS},
                {.name = "LINKS", .write = write_links},
                {.name = "WEB", .write = write_web},
                {.name = "UPLINKS", .write = write_uplinks},
                {.name = "RESOLVERS", .write = write_resolvers},
                {.name = "POLICIES", .write = net_write_policies},
                {.name = "SERVICES", .write = net_write_services},
                {.name = "SOURCES", .write = net_write_sources},
                {.name = "SEEN", .write = net_write_seen},
                {.name = "CLIENTS", .write = net_write_clients},
                {.name = "PUBLISHED", .write = net_write_published},
                {.name = "PUBLISHED_PORTS", .write = net_write_published_ports},
                {.name = "APPS", .write = net_write_apps},
                {.name = "PUBLIC", .write = net_write_public},
                {.name = "SERVICE_GUARD", .write = net_write_service_guard},
                {.name = "RATES", .write = net_write_rates},
                {.name = "COUNTS_FROM", .write = net_write_counts_from},
                {.name = "COUNTS_TO", .write = net_write_counts_to},
                {.name = "COUNT_CLASSES", .write = net_write_count_classes},
                {.name = NULL},
        };

        (void)snprintf(uids, sizeof(uids), "%u-%u", net->uid_base, net->uid_base + CONFIG_UIDS - 1);
        (void)snprintf(mark, sizeof(mark), "0x%08x", net->marks.to_dyno);
        (void)snprintf(closed, sizeof(closed), "%d", NET_CLOSED_SEC);
        return firewall_rules_render(template, values, net, out);
}

static int read_template(const Net *net, char **ret) {
        _cleanup_free_ char *path = NULL, *template = NULL;
        ssize_t n;

        if (asprintf(&path, "%s/%s", net->data_dir, RULESET_FILE) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        template = malloc(RULESET_SIZE);
        if (!template)
                return -ENOMEM;
        n = read_text_at(AT_FDCWD, path, template, RULESET_SIZE);
        if (n < 0)
                return (int)n;

        *ret = TAKE_PTR(template);
        return 0;
}

int net_rules_open(FILE **ret) {
        _cleanup_close_ int fd = memfd_create("ruleset", MFD_CLOEXEC);
        FILE *rules;

        if (fd < 0)
                return -errno;
        rules = fdopen(fd, "w+");
        if (!rules)
                return -errno;

        (void)TAKE_FD(fd);
        *ret = rules;
        return 0;
}

/*
 * Nobody is served while the loader runs. The first ruleset after boot loads a dozen kernel
 * modules, half a minute on a slow and busy machine, and less than systemd waits for a start
 * (90 s). Later the largest one takes seconds, a change of one policy milliseconds.
 */
#define FIRST_LOAD_TIMEOUT_USEC (80 * USEC_PER_SEC)
#define LOAD_TIMEOUT_USEC (30 * USEC_PER_SEC)
#define CHANGE_TIMEOUT_USEC (10 * USEC_PER_SEC)

int net_rules_load(Net *net, FILE *rules, bool whole) {
        uint64_t timeout = !net->loaded ? FIRST_LOAD_TIMEOUT_USEC
                           : whole      ? LOAD_TIMEOUT_USEC
                                        : CHANGE_TIMEOUT_USEC;
        pid_t loader;
        int r, watched;

        if (fflush(rules) == EOF)
                return -errno;
        r = firewall_rules_load(net->libexec_dir, fileno(rules), timeout, &loader);
        net->loaded |= r == 0;
        watched = net_watch_tables(net, loader, whole);
        if (r == -ETIMEDOUT)
                (void)snprintf(
                        net->watch.table_damage,
                        sizeof(net->watch.table_damage),
                        "a change of the nftables table did not come to its end");
        if (watched < 0 && r == 0)
                r = watched;
        return r > 0 ? NET_E_FIREWALL : r;
}

int net_load_ruleset(Net *net) {
        _cleanup_free_ char *template = NULL;
        _cleanup_fclose_ FILE *out = NULL;
        int r;

        r = read_template(net, &template);
        if (r < 0)
                return r;
        r = net_rules_open(&out);
        if (r < 0)
                return r;
        net_note_rules(net);
        r = render(net, template, out);
        if (r < 0)
                return r;
        return net_rules_load(net, out, true);
}

static bool is_kept(const Net *net, const NetKeep *keep, size_t n_keep, uint32_t slot) {
        for (size_t k = 0; k < n_keep; k++)
                if (keep[k].slot == slot)
                        return slot < net->n_slots;
        return false;
}

/* Takes over the links of @keep, removes all others of this instance. */
static int adopt_links(Net *net, const NetKeep *keep, size_t n_keep) {
        _cleanup_free_ NetOwnLink *links = NULL;
        _cleanup_free_ int *stale = NULL;
        size_t n, n_stale = 0;
        int r;

        for (uint32_t slot = 0; slot < net->n_slots; slot++) {
                net->slots[slot].ifindex = 0;
                net->slots[slot].listens = false;
                net->slots[slot].dyno = (NetDyno){0};
        }

        r = net_link_list_own(net->host, net->instance, &links, &n);
        if (r < 0)
                return r;
        stale = calloc(n + 1, sizeof(*stale));
        if (!stale)
                return -ENOMEM;

        for (size_t i = 0; i < n; i++)
                if (is_kept(net, keep, n_keep, links[i].slot))
                        net->slots[links[i].slot].ifindex = links[i].ifindex;
                else
                        stale[n_stale++] = links[i].ifindex;

        for (size_t k = 0; k < n_keep; k++)
                if (keep[k].slot < net->n_slots) {
                        NetSlot *s = &net->slots[keep[k].slot];

                        s->web_port = (uint16_t)keep[k].web_port;
                        s->listens = keep[k].listens;
                        net_take_dyno(s, &keep[k].dyno);
                }

        return net_link_remove_all(net->host, stale, n_stale, net->marks.from_dyno);
}

/* Makes a link that is gone anew, with all that its dyno had. */
static int wire_again(Net *net, const NetKeep *keep) {
        int r;

        if (keep->netns_fd < 0)
                return -ENODEV;
        r = net_wire_slot(net, keep->slot, keep->netns_fd);
        if (r >= 0 && keep->web_port > 0)
                r = net_web_allow(net, keep->slot, keep->web_port);
        return r < 0 ? r : net_spread(net, keep->dyno.app_number);
}

/* An address of the network that no dyno has any more. */
static bool is_unused(struct in_addr address, void *userdata) {
        const Net *net = userdata;
        uint32_t slot;

        return net_plan_slot_of(net->network, address, &slot) >= 0 && slot < net->n_slots &&
               net->slots[slot].ifindex == 0 &&
               net_plan_address(net->network, slot).dyno.s_addr == address.s_addr;
}

/* Return: 0, or NET_E_MISSING if a dyno has to do without its network. */
static int converge_links(Net *net, const NetKeep *keep, size_t n_keep) {
        int result = 0;

        for (size_t k = 0; k < n_keep; k++) {
                uint32_t slot = keep[k].slot;
                int r;

                if (slot >= net->n_slots) {
                        result = NET_E_MISSING; /* `network =` is smaller than it was */
                        continue;
                }
                if (net->slots[slot].ifindex > 0) {
                        r = net_converge_slot(net, slot);
                        if (r >= 0)
                                r = net_dyno_converge(net, slot, keep[k].netns_fd);
                } else {
                        r = wire_again(net, &keep[k]);
                }
                if (r < 0)
                        result = NET_E_MISSING;
        }

        return result;
}

static int start(Net *net, const NetKeep *keep, size_t n_keep) {
        int r;

        r = net_find_overlaps(net);
        if (r < 0)
                return r;
        r = adopt_links(net, keep, n_keep);
        if (r < 0)
                return r;

        /* What restricts comes before what opens. */
        r = net_host_add_rule(net->host, net->marks.from_dyno);
        if (r < 0)
                return r;
        r = net_find_uplinks(net);
        if (r < 0)
                return r;
        r = net_look_at_addresses(net);
        if (r < 0)
                return r;
        r = net_load_ruleset(net);
        if (r != 0)
                return r;
        r = conntrack_forget(net->conntrack, is_unused, net);
        if (r >= 0)
                r = net_update_service_address(net);
        if (r >= 0)
                r = net_open_public(net);
        if (r < 0)
                return r;
        r = net_enable_uplinks(net);
        if (r < 0)
                return r;

        net->watch.link_damage[0] = '\0';
        net->watch.host_changed = false;
        return converge_links(net, keep, n_keep);
}

int net_start(Net *net, const NetKeep *keep, size_t n_keep) {
        int r;

        assert(net);
        assert(keep || n_keep == 0);

        r = start(net, keep, n_keep);
        /* Half of it is worse than what was wrong before. */
        if (r != 0 && r != NET_E_MISSING && !net_damage(net))
                (void)snprintf(
                        net->watch.link_damage,
                        sizeof(net->watch.link_damage),
                        "the network is not set up completely");
        return r;
}
