/* SPDX-License-Identifier: Apache-2.0 */

/* The apps' network policies. */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "supervisor/store_internal.h"

static int clear_policy(Store *store, int64_t app) {
        static const char *const statements[] = {
                "DELETE FROM network WHERE app = ?",
                "DELETE FROM network_rules WHERE app = ?",
                "DELETE FROM trusted_networks WHERE app = ?",
                "DELETE FROM published_ports WHERE app = ?",
                "DELETE FROM services WHERE app = ?",
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(statements) && r == 0; i++) {
                sqlite3_stmt *s = NULL;

                r = statement_prepare(store, &s, statements[i], "i", app);
                r = statement_finish(r, s);
        }

        return r;
}

static int add_network(Store *store, int64_t app, const Policy *policy) {
        char source[INET_ADDRSTRLEN] = "";
        sqlite3_stmt *s = NULL;
        int r;

        if (policy->source != 0)
                (void)inet_ntop(AF_INET, &policy->source, source, sizeof(source));
        r = statement_prepare(
                store,
                &s,
                "INSERT INTO network (app, serial, closed, restricted, source)"
                " VALUES (?, ?, ?, ?, ?)",
                "iiiis",
                app,
                (int64_t)policy->serial,
                (int64_t)policy->closed,
                (int64_t)policy->restricted,
                source);
        return statement_finish(r, s);
}

static int add_rule(Store *store, int64_t app, size_t position, const NetworkRule *rule) {
        NetworkRange range = {.network = rule->network, .prefix = rule->prefix};
        char network[NETWORK_TEXT_SIZE];
        sqlite3_stmt *s = NULL;
        int r;

        policy_format_range(&range, network);
        r = statement_prepare(
                store,
                &s,
                "INSERT INTO network_rules (app, position, direction, action, network,"
                " protocol, port_from, port_to) VALUES (?, ?, 'egress', ?, ?, ?, ?, ?)",
                "iisssii",
                app,
                (int64_t)position,
                rule->allow ? "allow" : "deny",
                network,
                policy_protocol_to_string(rule->protocol),
                (int64_t)rule->port_first,
                (int64_t)rule->port_last);
        return statement_finish(r, s);
}

static int add_trusted(Store *store, int64_t app, size_t position, const NetworkRange *range) {
        char network[NETWORK_TEXT_SIZE];
        sqlite3_stmt *s = NULL;
        int r;

        policy_format_range(range, network);
        r = statement_prepare(
                store,
                &s,
                "INSERT INTO trusted_networks (app, position, network) VALUES (?, ?, ?)",
                "iis",
                app,
                (int64_t)position,
                network);
        return statement_finish(r, s);
}

static int add_published(Store *store, int64_t app, uint16_t port) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO published_ports (port, app, type) VALUES (?, ?, 'web')",
                "ii",
                (int64_t)port,
                app);
        return statement_finish(r, s);
}

static int add_service(Store *store, int64_t app, const Service *service) {
        sqlite3_stmt *s = NULL;
        int r;

        r = statement_prepare(
                store,
                &s,
                "INSERT INTO services (app, name, protocol, port) VALUES (?, ?, ?, ?)",
                "issi",
                app,
                service->name,
                policy_protocol_to_string(service->port.protocol),
                (int64_t)service->port.port);
        return statement_finish(r, s);
}

int store_set_policy(Store *store, int64_t app, const Policy *policy) {
        int r;

        r = store_begin(store);
        if (r < 0)
                return r;

        r = clear_policy(store, app);
        if (r == 0)
                r = add_network(store, app, policy);
        for (size_t i = 0; i < policy->n_rules && r == 0; i++)
                r = add_rule(store, app, i, &policy->rules[i]);
        for (size_t i = 0; i < policy->n_trusted && r == 0; i++)
                r = add_trusted(store, app, i, &policy->trusted[i]);
        for (size_t i = 0; i < policy->n_published && r == 0; i++)
                r = add_published(store, app, policy->published[i]);
        for (size_t i = 0; i < policy->n_services && r == 0; i++)
                r = add_service(store, app, &policy->services[i]);
        if (r < 0) {
                store_rollback(store);
                return r;
        }

        return store_commit(store);
}

/* One row into *@policy. Return: 0 or -EINVAL: root would refuse it, so it is not ours. */
typedef int (*PolicyRow)(sqlite3_stmt *s, Policy *policy);

static int read_network(sqlite3_stmt *s, Policy *policy) {
        const char *source = statement_text(s, 3);
        struct in_addr address = {0};

        policy->serial = statement_u64(s, 0);
        policy->closed = statement_u64(s, 1) != 0;
        policy->restricted = statement_u64(s, 2) != 0;
        if (*source && parse_ipv4(source, &address) < 0)
                return -EINVAL;
        policy->source = address.s_addr;
        return 0;
}

static int read_rule(sqlite3_stmt *s, Policy *policy) {
        int protocol = policy_protocol_from_string(statement_text(s, 2));
        NetworkRange range = {0};

        if (policy->n_rules == NETWORK_RULES_MAX || protocol < 0 ||
            policy_parse_range(statement_text(s, 1), &range) < 0)
                return -EINVAL;
        policy->rules[policy->n_rules++] = (NetworkRule){
                .network = range.network,
                .prefix = (uint8_t)range.prefix,
                .protocol = (uint8_t)protocol,
                .allow = strcmp(statement_text(s, 0), "allow") == 0,
                .port_first = (uint16_t)statement_u64(s, 3),
                .port_last = (uint16_t)statement_u64(s, 4),
        };
        return 0;
}

static int read_trusted(sqlite3_stmt *s, Policy *policy) {
        if (policy->n_trusted == NETWORK_TRUSTED_MAX)
                return -EINVAL;
        return policy_parse_range(statement_text(s, 0), &policy->trusted[policy->n_trusted++]);
}

static int read_published(sqlite3_stmt *s, Policy *policy) {
        if (policy->n_published == NETWORK_PUBLISHED_MAX)
                return -EINVAL;
        policy->published[policy->n_published++] = (uint16_t)statement_u64(s, 0);
        return 0;
}

static int read_service(sqlite3_stmt *s, Policy *policy) {
        int protocol = policy_protocol_from_string(statement_text(s, 1));
        Service *service = &policy->services[policy->n_services];

        if (policy->n_services == NETWORK_SERVICES_MAX || protocol < 0 ||
            !service_name_is_valid(statement_text(s, 0)))
                return -EINVAL;
        statement_field(s, 0, service->name, sizeof(service->name));
        service->port.protocol = (uint8_t)protocol;
        service->port.port = (uint16_t)statement_u64(s, 2);
        policy->n_services++;
        return 0;
}

int store_read_policy(Store *store, int64_t app, Policy *ret) {
        static const struct {
                const char *sql;
                PolicyRow read;
        } queries[] = {
                {"SELECT serial, closed, restricted, source FROM network WHERE app = ?",
                 read_network},
                {"SELECT action, network, protocol, port_from, port_to FROM network_rules"
                 " WHERE app = ? AND direction = 'egress' ORDER BY position",
                 read_rule},
                {"SELECT network FROM trusted_networks WHERE app = ? ORDER BY position",
                 read_trusted},
                {"SELECT port FROM published_ports WHERE app = ? ORDER BY port", read_published},
                {"SELECT name, protocol, port FROM services WHERE app = ? ORDER BY name",
                 read_service},
        };
        LaunchMessage msg = {0};
        int r = 0;

        memset(ret, 0, sizeof(*ret));
        for (size_t i = 0; i < ARRAY_SIZE(queries) && r >= 0; i++) {
                _cleanup_statement_ sqlite3_stmt *s = NULL;

                r = statement_prepare(store, &s, queries[i].sql, "i", app);
                while (r >= 0 && (r = statement_next(s)) > 0) {
                        r = queries[i].read(s, ret);
                        if (r < 0)
                                return r;
                }
        }
        if (r < 0)
                return r;

        /* What root would not take was not written by us. */
        policy_to_message(ret, (uint32_t)app, &msg.policy);
        return launch_message_check(&msg, sizeof(msg.policy), 0, LAUNCH_FROM_SUPERVISOR) < 0
                       ? -EINVAL
                       : 0;
}
