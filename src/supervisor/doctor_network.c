/* SPDX-License-Identifier: Apache-2.0 */

#include "supervisor/doctor_network.h"

#include <stdio.h>

#include "supervisor/dyno.h"

/* Which way through a hook dynos' packets go. */
typedef struct HookFacts {
        const char *loss; /* what does not work while it drops */
        bool from_dynos, to_dynos;
} HookFacts;

static const HookFacts hook_facts[_FILTER_HOOK_MAX] = {
        [HOOK_PREROUTING] = {"dynos may reach nothing", true, false},
        [HOOK_INPUT] = {"dynos may not reach services and public_ports", true, false},
        [HOOK_FORWARD] = {"dynos may reach nothing outside, nor be reached", true, true},
        [HOOK_OUTPUT] = {"programs of this host may not reach web dynos", false, true},
        [HOOK_POSTROUTING] = {"dynos may reach nothing, nor be reached", true, true},
};

static const char *family_of(const LaunchBlocker *b) {
        return b->kind == FILTER_NFT_INET ? "inet" : b->kind == FILTER_NFT_IP ? "ip" : "legacy";
}

static const char *direction(FilterOwner owner, bool in) {
        if (owner == OWNER_UFW)
                return in ? "in" : "out";
        return in ? "i" : "o";
}

/* One command for one direction, as the program has it whose rules those are. */
static int
write_command(char *fix, size_t size, const LaunchBlocker *b, bool in, const char *name) {
        const char *word = direction((FilterOwner)b->owner, in);
        const char *legacy = b->kind == FILTER_LEGACY ? "-legacy" : "";

        switch ((FilterOwner)b->owner) {
        case OWNER_UFW:
                return snprintf(
                        fix,
                        size,
                        "sudo ufw %sallow %s on %s-+",
                        b->hook == HOOK_FORWARD ? "route " : "",
                        word,
                        name);
        case OWNER_DOCKER:
                return snprintf(
                        fix,
                        size,
                        "sudo iptables%s -I DOCKER-USER -%s %s-+ -j ACCEPT",
                        legacy,
                        word,
                        name);
        case OWNER_UNKNOWN:
        case OWNER_FIREWALLD:
        case _FILTER_OWNER_MAX:
        default:
                return b->kind == FILTER_LEGACY
                               ? snprintf(
                                         fix,
                                         size,
                                         "sudo iptables-legacy -t %s -I %s -%s %s-+ -j ACCEPT",
                                         b->table,
                                         b->chain,
                                         word,
                                         name)
                               : snprintf(
                                         fix,
                                         size,
                                         "sudo nft 'insert rule %s %s %s %sifname \"%s-*\" accept'",
                                         family_of(b),
                                         b->table,
                                         b->chain,
                                         word,
                                         name);
        }
}

static void write_fix(char fix[DOCTOR_LINE_SIZE], const LaunchBlocker *b, const char *name) {
        const HookFacts *facts = &hook_facts[b->hook];
        size_t used = 0;

        if (b->owner == OWNER_FIREWALLD) {
                (void)snprintf(
                        fix,
                        DOCTOR_LINE_SIZE,
                        "sudo firewall-cmd --permanent --zone=trusted --add-interface=%s-+ && "
                        "sudo firewall-cmd --reload",
                        name);
                return;
        }
        if (facts->from_dynos)
                used = (size_t)write_command(fix, DOCTOR_LINE_SIZE, b, true, name);
        if (facts->from_dynos && facts->to_dynos)
                used += (size_t)snprintf(fix + used, DOCTOR_LINE_SIZE - used, " && ");
        if (facts->to_dynos)
                (void)write_command(fix + used, DOCTOR_LINE_SIZE - used, b, false, name);
}

static void add_line(DoctorInfo *info, DoctorNetwork *lines, const char *check) {
        if (info->n_checks == ARRAY_SIZE(info->checks))
                return;
        info->checks[info->n_checks++] = (CheckInfo){
                .check = check,
                .verdict = "warning",
                .detail = lines->detail[lines->n],
                .fix = lines->fix[lines->n],
        };
        lines->n++;
}

/* What comes to the host itself matters only where some of it is open to dynos. */
static bool host_is_open(const Manager *manager) {
        if (manager->config->n_public_ports > 0)
                return true;
        for (const App *app = manager->apps; app; app = app->next)
                if (app->network.policy.n_services > 0)
                        return true;
        return false;
}

static void check_blockers(
        const Manager *manager,
        const LaunchInspected *hosted,
        DoctorInfo *info,
        DoctorNetwork *lines) {
        size_t before = info->n_checks;

        for (size_t i = 0; i < hosted->n_blockers; i++) {
                const LaunchBlocker *b = &hosted->blockers[i];

                if (b->hook == HOOK_INPUT && !host_is_open(manager))
                        continue;
                (void)snprintf(
                        lines->detail[lines->n],
                        DOCTOR_LINE_SIZE,
                        "%s%s %s %s drops what none of its rules lets through: %s",
                        b->kind == FILTER_LEGACY ? "iptables-" : "",
                        family_of(b),
                        b->table,
                        b->chain,
                        hook_facts[b->hook].loss);
                write_fix(lines->fix[lines->n], b, manager->config->instance);
                add_line(info, lines, "firewall");
        }
        if (info->n_checks == before && info->n_checks < ARRAY_SIZE(info->checks))
                info->checks[info->n_checks++] = (CheckInfo){
                        .check = "firewall",
                        .verdict = "ok",
                        .detail = "no chain of others drops what dynos send",
                        .fix = "",
                };
}

static const char *app_of_port(const Manager *manager, uint16_t port) {
        for (const App *app = manager->apps; app; app = app->next)
                for (size_t i = 0; i < app->network.policy.n_published; i++)
                        if (app->network.policy.published[i] == port)
                                return app->row.name;
        return NULL;
}

static void check_shadowed(
        const Manager *manager,
        const LaunchInspected *hosted,
        DoctorInfo *info,
        DoctorNetwork *lines) {
        for (size_t i = 0; i < hosted->n_shadowed; i++) {
                const char *app = app_of_port(manager, hosted->shadowed[i]);

                if (!app)
                        continue;
                (void)snprintf(
                        lines->detail[lines->n],
                        DOCTOR_LINE_SIZE,
                        "%u is published for %s, and a program of this host listens there, too: "
                        "from outside only %s is reached",
                        hosted->shadowed[i],
                        app,
                        app);
                (void)snprintf(
                        lines->fix[lines->n],
                        DOCTOR_LINE_SIZE,
                        "herokuctl ps:unpublish %u -a %s, or give the program another port",
                        hosted->shadowed[i],
                        app);
                add_line(info, lines, "published ports");
        }
}

static void check_shares(const Manager *manager, DoctorInfo *info, DoctorNetwork *lines) {
        for (const App *app = manager->apps; app; app = app->next) {
                unsigned n = 0;

                if (app->network.policy.n_published == 0)
                        continue;
                for (const Dyno *dyno = manager->dynos; dyno; dyno = dyno->next)
                        n += dyno->app == app && dyno->state == DYNO_UP && dyno->web_port > 0;
                if (n <= NETWORK_SHARES)
                        continue;
                (void)snprintf(
                        lines->detail[lines->n],
                        DOCTOR_LINE_SIZE,
                        "the published ports of %s lead to %d of its %u web dynos; the others get "
                        "no connection by them",
                        app->row.name,
                        NETWORK_SHARES,
                        n);
                (void)snprintf(
                        lines->fix[lines->n],
                        DOCTOR_LINE_SIZE,
                        "herokuctl ps:scale web=%d -a %s, of a larger size; or put a proxy on this "
                        "host in front of all of them",
                        NETWORK_SHARES,
                        app->row.name);
                add_line(info, lines, "published ports");
                return;
        }
}

void doctor_check_network(
        const Manager *manager,
        const LaunchInspected *hosted,
        DoctorInfo *info,
        DoctorNetwork *lines) {
        check_blockers(manager, hosted, info, lines);
        check_shadowed(manager, hosted, info, lines);
        check_shares(manager, info, lines);
}
