/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/parse.h"
#include "control/facts.h"
#include "supervisor/policy.h"

/* Runs appends until one fails; the rest is skipped by the short circuit. */
#define APPEND(r, call) ((r) < 0 ? (r) : ((r) = (call)))

/* "203.0.113.5"; left out: any address of the host */
static int fact_source(sd_bus_message *m, const Policy *policy) {
        char source[INET_ADDRSTRLEN] = "";

        if (policy->source != 0)
                (void)inet_ntop(AF_INET, &policy->source, source, sizeof(source));
        return fact_text(m, "source", source);
}

static int policy_of_app(sd_bus_message *m, const Policy *policy) {
        const char *names[NETWORK_SERVICES_MAX + 1] = {};
        int r = fact_text(m, "firewall", policy->closed ? "closed" : "open");

        for (size_t i = 0; i < policy->n_services; i++)
                names[i] = policy->services[i].name;
        APPEND(r, fact_u32(m, "rules", (uint32_t)policy->n_rules));
        APPEND(r, fact_source(m, policy));
        APPEND(r, fact_bool(m, "restricted", policy->restricted));
        APPEND(r, fact_u32(m, "trusted", (uint32_t)policy->n_trusted));
        APPEND(r, fact_list(m, "services", names));
        APPEND(r, fact_ports(m, "published", policy->published, policy->n_published));
        return r;
}

int facts_of_app(sd_bus_message *m, const AppInfo *info) {
        int r = fact_text(m, "name", info->name);

        APPEND(r, fact_text(m, "stack", info->stack));
        if (info->stack_version > 0)
                APPEND(r, fact_u32(m, "stack_version", info->stack_version));
        APPEND(r, fact_u32(m, "release", info->release));
        APPEND(r, fact_text(m, "user", info->user));
        APPEND(r, fact_time(m, "created", info->created_usec));
        APPEND(r, fact_u32(m, "dynos", info->dynos));
        APPEND(r, fact_u32(m, "up", info->up));
        APPEND(r, fact_u32(m, "releases", info->releases));
        APPEND(r, fact_text(m, "slug", info->slug));
        if (info->slug && *info->slug)
                APPEND(r, fact_u64(m, "slug_bytes", info->slug_bytes));
        APPEND(r, policy_of_app(m, info->policy));
        return r;
}

int facts_of_stack(sd_bus_message *m, const StackInfo *info) {
        int r = fact_text(m, "name", info->name);

        APPEND(r, fact_u32(m, "version", info->version));
        APPEND(r, fact_text(m, "digest", info->digest));
        APPEND(r, fact_u64(m, "bytes", info->bytes));
        APPEND(r, fact_u64(m, "files", info->files));
        APPEND(r, fact_time(m, "imported", info->imported_usec));
        APPEND(r, fact_list(m, "apps", info->apps));
        return r;
}

static int fact_pairs(sd_bus_message *m, const char *key, const char *const *pairs) {
        int r;

        if (!pairs)
                return 0;
        r = fact_open(m, key, "a{sv}");
        for (; r >= 0 && pairs[0] && pairs[1]; pairs += 2)
                r = fact_text(m, pairs[0], pairs[1]);
        return r < 0 ? r : fact_close(m);
}

int facts_of_release(sd_bus_message *m, const ReleaseInfo *info) {
        int r = fact_u32(m, "release", info->number);

        APPEND(r, fact_text(m, "description", info->description));
        APPEND(r, fact_text(m, "user", info->user));
        APPEND(r, fact_time(m, "created", info->created_usec));
        APPEND(r, fact_bool(m, "current", info->current));
        APPEND(r, fact_text(m, "slug", info->slug));
        if (info->slug && *info->slug)
                APPEND(r, fact_u64(m, "slug_bytes", info->slug_bytes));
        if (info->stack_version > 0) {
                APPEND(r, fact_text(m, "stack", info->stack));
                APPEND(r, fact_u32(m, "stack_version", info->stack_version));
        }
        APPEND(r, fact_pairs(m, "processes", info->processes));
        APPEND(r, fact_list(m, "config_keys", info->config_names));
        return r;
}

int facts_of_formation(sd_bus_message *m, const FormationInfo *info) {
        int r = fact_text(m, "type", info->type);

        APPEND(r, fact_u32(m, "quantity", info->quantity));
        APPEND(r, fact_text(m, "size", info->size));
        APPEND(r, fact_text(m, "command", info->command));
        return r;
}

static int dyno_life(sd_bus_message *m, const DynoInfo *info) {
        int r = fact_time(m, "since", info->since_usec);

        APPEND(r, fact_u32(m, "crashes", info->crashes));
        APPEND(r, fact_time(m, "next_start", info->next_start_usec));
        if (info->boot_left_usec > 0)
                APPEND(r,
                       fact_time(m, "boot_deadline", clock_realtime_usec() + info->boot_left_usec));
        if (info->exit_status >= 0)
                APPEND(r, fact_u32(m, "exit_status", (uint32_t)info->exit_status));
        APPEND(r, fact_u64(m, "memory", info->memory));
        APPEND(r, fact_u64(m, "memory_limit", info->memory_limit));
        APPEND(r, fact_double(m, "cpu_seconds", (double)info->cpu_usec / (double)USEC_PER_SEC));
        if (info->cpu_percent >= 0)
                APPEND(r, fact_double(m, "cpu_percent", info->cpu_percent));
        return r;
}

int facts_of_dyno(sd_bus_message *m, const DynoInfo *info) {
        int r = fact_text(m, "id", info->id);

        APPEND(r, fact_text(m, "name", info->name));
        APPEND(r, fact_text(m, "app", info->app));
        APPEND(r, fact_text(m, "type", info->type));
        APPEND(r, fact_text(m, "command", info->command));
        APPEND(r, fact_text(m, "size", info->size));
        APPEND(r, fact_text(m, "state", info->state));
        APPEND(r, fact_text(m, "reason", info->reason));
        APPEND(r, fact_u32(m, "release", info->release));
        APPEND(r, fact_text(m, "stack", info->stack));
        APPEND(r, fact_u32(m, "stack_version", info->stack_version));
        APPEND(r, fact_u32(m, "pid", info->pid));
        APPEND(r, fact_u32(m, "uid", info->uid));
        APPEND(r, fact_text(m, "address", info->address));
        if (info->port > 0)
                APPEND(r, fact_u32(m, "port", info->port));
        if (info->policy)
                APPEND(r,
                       fact_ports(
                               m, "published", info->policy->published, info->policy->n_published));
        APPEND(r, dyno_life(m, info));
        return r;
}

int facts_of_size(sd_bus_message *m, const DynoSize *size) {
        int r = fact_text(m, "name", size->name);

        APPEND(r, fact_u64(m, "memory_quota", size->memory_quota));
        APPEND(r, fact_u64(m, "memory_kill", size->memory_kill));
        APPEND(r, fact_u32(m, "cpu_weight", size->cpu_weight));
        APPEND(r, fact_u32(m, "process_limit", size->process_limit));
        APPEND(r, fact_u64(m, "bandwidth", size->bandwidth));
        APPEND(r, fact_u64(m, "disk", size->disk));
        APPEND(r, fact_u64(m, "disk_files", size->disk_files));
        APPEND(r, fact_u32(m, "connections", size->connections));
        APPEND(r, fact_u32(m, "connection_rate", size->connection_rate));
        return r;
}

int facts_of_layer(sd_bus_message *m, const char *key, const LayerInfo *info) {
        int r = fact_text(m, key, info->layer);

        APPEND(r, fact_bool(m, "ok", strcmp(info->verdict, "failed") != 0));
        APPEND(r, fact_text(m, "verdict", info->verdict));
        APPEND(r, fact_text(m, "detail", info->detail));
        APPEND(r, fact_text(m, "fix", info->fix));
        return r;
}

static int result_of_import(sd_bus_message *m, const JobResult *result) {
        int r = 0;

        if (result->stack || result->slug)
                APPEND(r, fact_bool(m, "already", result->already));
        if (result->stack) {
                APPEND(r, fact_open(m, "stack", "a{sv}"));
                APPEND(r, facts_of_stack(m, result->stack));
                APPEND(r, fact_close(m));
        }
        APPEND(r, fact_text(m, "slug", result->slug));
        APPEND(r, fact_u64(m, "files", result->files));
        APPEND(r, fact_u64(m, "bytes", result->bytes));
        if (result->archive_bytes > 0)
                APPEND(r, fact_u64(m, "archive_bytes", result->archive_bytes));
        APPEND(r, fact_list(m, "notes", result->notes));
        return r;
}

static int result_formation(sd_bus_message *m, const JobResult *result) {
        int r;

        if (!result->formation)
                return 0;
        r = fact_open(m, "formation", "aa{sv}");
        for (size_t i = 0; r >= 0 && i < result->n_formation; i++) {
                r = facts_open(m);
                APPEND(r, facts_of_formation(m, &result->formation[i]));
                APPEND(r, facts_close(m));
        }
        return r < 0 ? r : fact_close(m);
}

/* What went with an app; of what there was none is left out. */
static int result_of_destroy(sd_bus_message *m, const JobResult *result) {
        const struct {
                const char *name;
                uint32_t n;
        } counts[] = {
                {"releases", result->releases},
                {"slugs", result->slugs},
                {"rules", result->rules},
                {"published", result->published},
                {"services", result->services},
                {"trusted", result->trusted},
        };
        int r = 0;

        for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
                if (counts[i].n > 0)
                        APPEND(r, fact_u32(m, counts[i].name, counts[i].n));
        return r;
}

static int result_of_dynos(sd_bus_message *m, const JobResult *result) {
        int r = fact_list(m, "dynos", result->dynos);

        /* destroy: a number, where restart and stop have names */
        if (!result->dynos && result->releases > 0)
                APPEND(r, fact_u32(m, "dynos", result->total));
        APPEND(r, fact_u32(m, "total", result->total));
        APPEND(r, fact_u32(m, "up", result->up));
        APPEND(r, fact_text(m, "dyno", result->dyno));
        APPEND(r, fact_text(m, "dyno_id", result->dyno_id));
        APPEND(r, fact_text(m, "code", result->code));
        APPEND(r, result_formation(m, result));
        APPEND(r, result_of_destroy(m, result));
        return r;
}

int facts_of_result(sd_bus_message *m, const JobResult *result) {
        int r = fact_u64(m, "duration_usec", result->duration_usec);

        APPEND(r, fact_u32(m, "release", result->release));
        if (result->rollback_to > 0)
                APPEND(r, fact_u32(m, "to", result->rollback_to));
        APPEND(r, fact_list(m, "config", result->config));
        APPEND(r, fact_list(m, "changed", result->changed));
        APPEND(r, result_of_import(m, result));
        APPEND(r, result_of_dynos(m, result));
        return r;
}

int facts_of_progress(sd_bus_message *m, const JobProgress *progress) {
        int r = fact_text(m, "phase", progress->phase);

        if (progress->result) {
                APPEND(r, facts_of_result(m, progress->result));
                return r;
        }
        APPEND(r, fact_u64(m, "done", progress->done));
        APPEND(r, fact_u64(m, "total", progress->total));
        APPEND(r, fact_u64(m, "files", progress->files));
        APPEND(r, fact_u64(m, "bytes", progress->bytes));
        APPEND(r, fact_text(m, "text", progress->text));
        APPEND(r, fact_list(m, "dynos", progress->dynos));
        return r;
}

static int facts_of_rule(sd_bus_message *m, const Policy *policy, size_t i) {
        const NetworkRule *rule = &policy->rules[i];
        NetworkRange range = {.network = rule->network, .prefix = rule->prefix};
        char target[RULE_TEXT_SIZE], network[NETWORK_TEXT_SIZE];
        size_t covered_by = policy_covered_by(policy, i);
        int r = fact_u32(m, "number", (uint32_t)i + 1);

        policy_format_rule(rule, target);
        policy_format_range(&range, network);
        APPEND(r, fact_text(m, "action", rule->allow ? "allow" : "deny"));
        APPEND(r, fact_text(m, "target", target));
        APPEND(r, fact_text(m, "network", network));
        APPEND(r, fact_text(m, "protocol", policy_protocol_to_string(rule->protocol)));
        APPEND(r, fact_u32(m, "port_first", rule->port_first));
        APPEND(r, fact_u32(m, "port_last", rule->port_last));
        if (covered_by > 0)
                APPEND(r, fact_u32(m, "covered_by", (uint32_t)covered_by));
        return r;
}

static int network_rules(sd_bus_message *m, const Policy *policy) {
        int r = fact_open(m, "rules", "aa{sv}");

        for (size_t i = 0; i < policy->n_rules && r >= 0; i++) {
                r = facts_open(m);
                APPEND(r, facts_of_rule(m, policy, i));
                APPEND(r, facts_close(m));
        }
        return r < 0 ? r : fact_close(m);
}

static int network_services(sd_bus_message *m, const Policy *policy) {
        int r = fact_open(m, "services", "aa{sv}");

        for (size_t i = 0; i < policy->n_services && r >= 0; i++) {
                const Service *service = &policy->services[i];

                r = facts_open(m);
                APPEND(r, fact_text(m, "name", service->name));
                APPEND(r, fact_u32(m, "port", service->port.port));
                APPEND(r,
                       fact_text(m, "protocol", policy_protocol_to_string(service->port.protocol)));
                APPEND(r, facts_close(m));
        }
        return r < 0 ? r : fact_close(m);
}

static int network_trusted(sd_bus_message *m, const Policy *policy) {
        char texts[NETWORK_TRUSTED_MAX][NETWORK_TEXT_SIZE];
        const char *list[NETWORK_TRUSTED_MAX + 1] = {};

        for (size_t i = 0; i < policy->n_trusted; i++) {
                policy_format_range(&policy->trusted[i], texts[i]);
                list[i] = texts[i];
        }
        return fact_list(m, "trusted", list);
}

int facts_of_network(sd_bus_message *m, const NetworkInfo *info) {
        const Policy *policy = info->policy;
        int r = fact_text(m, "app", info->app);

        APPEND(r, fact_text(m, "firewall", policy->closed ? "closed" : "open"));
        APPEND(r, network_rules(m, policy));
        APPEND(r, fact_source(m, policy));
        APPEND(r, fact_bool(m, "restricted", policy->restricted));
        APPEND(r, network_trusted(m, policy));
        APPEND(r, network_services(m, policy));
        APPEND(r, fact_text(m, "service_address", info->service_address));
        APPEND(r, fact_ports(m, "published", policy->published, policy->n_published));
        APPEND(r, fact_u32(m, "dynos", info->dynos));
        APPEND(r, fact_bool(m, "in_force", info->in_force));
        APPEND(r, fact_text(m, "problem", info->problem));
        return r;
}
