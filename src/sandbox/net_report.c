/* SPDX-License-Identifier: Apache-2.0 */

/* What `doctor` reports, and how everything goes away. */

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sandbox/firewall_others.h"
#include "sandbox/net_internal.h"
#include "sandbox/net_link.h"

static int report_uplinks(Net *net, NetReport *ret) {
        NetUplinks all;
        size_t used = 0;
        int r;

        r = net_host_uplinks(net->host, net->instance, &all);
        if (r < 0)
                return r;

        ret->forwarding = true;
        ret->forwards_nowhere = all.n > 0;
        for (size_t i = 0; i < all.n; i++) {
                bool on = false;
                int n;

                if (net_host_forwarding(all.name[i], &on) < 0)
                        continue;
                ret->forwarding &= on;
                ret->forwards_nowhere &= !on;
                n = snprintf(
                        ret->uplinks + used,
                        sizeof(ret->uplinks) - used,
                        "%s%s%s",
                        used > 0 ? " " : "",
                        all.name[i],
                        on ? "" : " (does not forward)");
                if (n > 0 && (size_t)n < sizeof(ret->uplinks) - used)
                        used += (size_t)n;
        }
        return 0;
}

/* Who began to listen on a port after it was published is not reached from outside. */
static int find_shadowed(Net *net, NetReport *ret) {
        _cleanup_free_ NetListeners *listeners = calloc(1, sizeof(*listeners));
        int r;

        if (!listeners)
                return -ENOMEM;
        r = net_listen_all(net->listen, listeners);
        if (r < 0)
                return r;

        for (size_t i = 0; i < net->n_policies; i++) {
                const LaunchPolicy *policy = &net->policies[i].said;

                for (size_t k = 0; k < policy->n_published && ret->n_shadowed < SHADOWED_MAX; k++)
                        if (net_listeners_have(listeners, policy->published[k].port))
                                ret->shadowed[ret->n_shadowed++] = policy->published[k].port;
        }
        return 0;
}

int net_report(Net *net, NetReport *ret) {
        NetReport report = {.tc = net->tc_error >= 0, .slots = net->n_slots};
        int r;

        assert(ret);

        if (net_damage(net))
                (void)snprintf(report.damage, sizeof(report.damage), "%s", net_damage(net));
        report.table = firewall_check_table(net->firewall) == 0;
        report.flush_guard = net_host_check_rule(net->host, net->marks.from_dyno) == 0;
        report.n_overlap = net->n_overlap;
        if (net->n_public_ports > 0)
                report.n_public_left_out = net->n_public_left_out;
        memcpy(report.overlap, net->overlap, sizeof(report.overlap));

        for (size_t i = 0; i < net->n_resolvers; i++) {
                bool local = true;

                r = net_host_is_local(net->host, net->resolvers[i], &local);
                report.n_resolvers += r >= 0 && !local;
        }

        r = report_uplinks(net, &report);
        if (r < 0)
                return r;
        r = firewall_blockers(net->firewall, net->instance, report.blockers);
        if (r < 0)
                return r;
        report.n_blockers = (size_t)r;
        r = find_shadowed(net, &report);
        if (r < 0)
                return r;

        *ret = report;
        return 0;
}

int net_report_text(const NetReport *report, char *detail, size_t size) {
        assert(report);
        assert(detail && size > 0);

        if (!report->table) {
                (void)snprintf(detail, size, "nftables table is not loaded");
                return NET_E_MISSING;
        }
        if (!report->flush_guard) {
                (void)snprintf(detail, size, "the routing rule is gone");
                return NET_E_MISSING;
        }
        if (report->damage[0] != '\0') {
                (void)snprintf(detail, size, "%s", report->damage);
                return NET_E_MISSING;
        }
        if (report->forwards_nowhere) {
                (void)snprintf(detail, size, "no link that leads out forwards");
                return NET_E_MISSING;
        }
        if (report->n_overlap == report->slots) {
                (void)snprintf(detail, size, "network = overlaps %s", report->overlap);
                return NET_E_MISSING;
        }

        (void)snprintf(
                detail,
                size,
                "%u addresses%s, %s, out by %s%s",
                report->slots - report->n_overlap,
                report->n_overlap > 0 ? " (some overlap)" : "",
                report->tc ? "nftables and tc" : "nftables, no tc",
                report->uplinks[0] != '\0' ? report->uplinks : "no link",
                report->n_resolvers > 0 ? "" : ", no resolver");
        return 0;
}

static int remove_links(Net *net) {
        _cleanup_free_ NetOwnLink *links = NULL;
        _cleanup_free_ int *ifindex = NULL;
        size_t n;
        int r;

        r = net_link_list_own(net->host, net->instance, &links, &n);
        if (r < 0)
                return r;
        ifindex = calloc(n + 1, sizeof(*ifindex));
        if (!ifindex)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                ifindex[i] = links[i].ifindex;

        return net_link_remove_all(net->host, ifindex, n, net->marks.from_dyno);
}

int net_purge(Net *net) {
        int result, r;

        assert(net);

        /* The table knows what to turn off again, so it is asked before it goes. */
        result = net_disable_uplinks(net);

        r = net_remove_service_address(net);
        if (r < 0 && result == 0)
                result = r;
        r = remove_links(net);
        if (r < 0 && result == 0)
                result = r;

        r = firewall_remove_table(net->firewall);
        if (r < 0 && result == 0)
                result = r;
        r = net_host_remove_rule(net->host, net->marks.from_dyno);
        if (r < 0 && result == 0)
                result = r;

        for (uint32_t slot = 0; slot < net->n_slots; slot++)
                net->slots[slot].ifindex = 0;
        return result;
}
