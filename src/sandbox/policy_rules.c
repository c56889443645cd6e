/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>

#include "sandbox/policy_rules.h"

static const char *const part_names[_POLICY_PART_MAX] = {
        [POLICY_OUT] = "out",
        [POLICY_HOST] = "host",
        [POLICY_SOURCE] = "source",
        [POLICY_SEEN] = "seen",
        [POLICY_IN] = "in",
        [POLICY_PUBLISH] = "publish",
        [POLICY_WEB] = "web",
};

void policy_part_name(uint32_t app_number, PolicyPart part, char ret[POLICY_NAME_SIZE]) {
        int n;

        assert(part < _POLICY_PART_MAX);

        n = snprintf(ret, POLICY_NAME_SIZE, "app-%" PRIu32 "-%s", app_number, part_names[part]);
        assert(n > 0 && n < POLICY_NAME_SIZE);
}

static void begin(FILE *out, const LaunchPolicy *policy, PolicyPart part) {
        char name[POLICY_NAME_SIZE];

        policy_part_name(policy->app_number, part, name);
        (void)fprintf(out, "chain %s {\n", name);
}

static void end(FILE *out) {
        (void)fputs("}\n", out);
}

static void write_network(FILE *out, uint32_t network, uint32_t prefix) {
        char text[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, &network, text, sizeof(text));
        (void)fprintf(out, "%s/%" PRIu32, text, prefix);
}

static const char *protocol_name(uint8_t protocol) {
        switch (protocol) {
        case IPPROTO_TCP:
                return "tcp";
        case IPPROTO_UDP:
                return "udp";
        default:
                assert(protocol == IPPROTO_ICMP);
                return "icmp";
        }
}

/*
 * The far end of a connection that a dyno opened is the source of its answers: that fits
 * packets of either direction, errors that belong to it, and where another table redirects
 * it what it really goes to.
 */
static void write_far_end(FILE *out, const NetworkRule *rule) {
        if (rule->prefix == 0)
                return;
        (void)fputs("ct reply ip saddr ", out);
        write_network(out, rule->network, rule->prefix);
        (void)fputc(' ', out);
}

static void write_rule(FILE *out, const NetworkRule *rule) {
        const char *verdict = rule->allow ? "accept" : "drop";

        write_far_end(out, rule);
        if (rule->port_last > 0)
                (void)fprintf(
                        out,
                        "meta l4proto %s ct reply proto-src %u-%u ",
                        protocol_name(rule->protocol),
                        rule->port_first,
                        rule->port_last);
        else if (rule->protocol != 0)
                (void)fprintf(out, "ct reply protocol %s ", protocol_name(rule->protocol));
        (void)fprintf(out, "%s\n", verdict);
        if (rule->port_last == 0 || !rule->allow)
                return;

        /* nft reads no ports of what an error is about. A dyno can make none. */
        write_far_end(out, rule);
        (void)fprintf(
                out,
                "ct reply protocol %s meta l4proto icmp ct state related accept\n",
                protocol_name(rule->protocol));
}

static void write_out(FILE *out, const LaunchPolicy *policy, bool nothing) {
        begin(out, policy, POLICY_OUT);
        if (nothing)
                (void)fputs("drop\n", out);
        for (size_t i = 0; i < policy->n_rules; i++)
                write_rule(out, &policy->rules[i]);
        if (policy->egress_closed)
                (void)fputs(
                        "ct reply ip saddr @resolvers meta l4proto { tcp, udp } "
                        "ct reply proto-src 53 accept\n"
                        "ct reply ip saddr @resolvers meta l4proto icmp ct state related accept\n"
                        "drop\n",
                        out);
        else
                (void)fputs("accept\n", out);
        end(out);
}

/* What the dyno says to the port, and what the port answers. */
static void write_host(FILE *out, const LaunchPolicy *policy, struct in_addr service_address) {
        char address[INET_ADDRSTRLEN];

        (void)inet_ntop(AF_INET, &service_address, address, sizeof(address));
        begin(out, policy, POLICY_HOST);
        for (size_t i = 0; i < policy->n_services; i++) {
                const char *protocol = protocol_name(policy->services[i].protocol);
                unsigned port = policy->services[i].port;

                (void)fprintf(out, "ip daddr %s %s dport %u accept\n", address, protocol, port);
                (void)fprintf(out, "ip saddr %s %s sport %u accept\n", address, protocol, port);
        }
        end(out);
}

static void write_source(FILE *out, const LaunchPolicy *policy) {
        char address[INET_ADDRSTRLEN];

        begin(out, policy, POLICY_SOURCE);
        if (policy->fixed_source != 0) {
                (void)inet_ntop(AF_INET, &policy->fixed_source, address, sizeof(address));
                (void)fprintf(
                        out,
                        "meta l4proto { tcp, udp } snat ip to %s:" POLICY_SOURCE_PORTS
                        " fully-random\nsnat ip to %s\n",
                        address,
                        address);
        }
        end(out);
}

static void write_seen(FILE *out, const LaunchPolicy *policy) {
        char address[INET_ADDRSTRLEN];

        begin(out, policy, POLICY_SEEN);
        if (policy->fixed_source != 0) {
                (void)inet_ntop(AF_INET, &policy->fixed_source, address, sizeof(address));
                (void)fprintf(out, "ct direction reply return\nip saddr != %s drop\n", address);
        }
        end(out);
}

/* A rule for each, for sets do not take networks that lie in each other. */
static void write_clients(FILE *out, const LaunchPolicy *policy, const char *match) {
        for (size_t i = 0; i < policy->n_trusted; i++) {
                (void)fprintf(out, "%s ct original ip saddr ", match);
                write_network(out, policy->trusted[i].network, policy->trusted[i].prefix);
                (void)fputs(" accept\n", out);
        }
        if (policy->n_trusted == 0)
                (void)fprintf(out, "%s accept\n", match);
}

/* By what the client asked for: so it fits packets of either direction. */
static void write_in(FILE *out, const LaunchPolicy *policy) {
        bool open = policy->n_published > 0 && !policy->ingress_closed;

        begin(out, policy, POLICY_IN);
        for (size_t i = 0; i < policy->n_published && open; i++) {
                char match[64];

                (void)snprintf(
                        match,
                        sizeof(match),
                        "meta l4proto tcp ct original proto-dst %u",
                        policy->published[i].port);
                write_clients(out, policy, match);
        }
        /* What routers say about the answers. */
        if (open)
                write_clients(out, policy, "meta l4proto icmp ct state related");
        (void)fputs("drop\n", out);
        end(out);
}

static void declare_web(FILE *out, uint32_t app_number) {
        char name[POLICY_NAME_SIZE];

        policy_part_name(app_number, POLICY_WEB, name);
        (void)fprintf(
                out,
                "map %s {\ntypeof numgen inc mod %d : ip daddr . tcp dport\n}\n",
                name,
                POLICY_BUCKETS);
}

void policy_rules_write(FILE *out, const LaunchPolicy *policy, const PolicyHost *host) {
        char web[POLICY_NAME_SIZE];

        assert(out);
        assert(policy);
        assert(host);

        declare_web(out, policy->app_number);
        write_out(out, policy, host->source_is_gone);
        write_host(out, policy, host->service_address);
        write_source(out, policy);
        write_seen(out, policy);
        write_in(out, policy);

        policy_part_name(policy->app_number, POLICY_WEB, web);
        begin(out, policy, POLICY_PUBLISH);
        (void)fprintf(
                out,
                "meta l4proto tcp dnat ip to numgen inc mod %d map @%s\n",
                POLICY_BUCKETS,
                web);
        end(out);
}

void policy_rules_declare(FILE *out, uint32_t app_number) {
        const LaunchPolicy nothing = {.app_number = app_number};

        assert(out);

        declare_web(out, app_number);
        for (PolicyPart part = POLICY_OUT; part < POLICY_WEB; part++) {
                begin(out, &nothing, part);
                end(out);
        }
}

void policy_rules_flush(FILE *out, const char *table, uint32_t app_number) {
        assert(out);
        assert(table);

        for (PolicyPart part = POLICY_OUT; part < _POLICY_PART_MAX; part++) {
                char name[POLICY_NAME_SIZE];

                policy_part_name(app_number, part, name);
                (void)fprintf(
                        out,
                        "flush %s inet %s %s\n",
                        part == POLICY_WEB ? "map" : "chain",
                        table,
                        name);
        }
}
