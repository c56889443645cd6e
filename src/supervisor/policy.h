/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The network policy of one app: what its dynos may reach, who may reach them. Pure:
 * text in, structs, text out; supervisor/network.c keeps it and has root apply it.
 *
 * Egress rules are in the order in which they are tried, the first that fits decides.
 * A new rule goes first: what was said last counts.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/launch_proto.h"
#include "supervisor/manager.h"

#define SERVICE_NAME_SIZE 31 /* [a-z][a-z0-9-]{0,29}, as long as an app's */

typedef struct Service {
        char name[SERVICE_NAME_SIZE];
        NetworkPort port;
} Service;

/* All zero: nothing was ever said. */
typedef struct Policy {
        uint64_t serial; /* of the last change, 0: none yet */
        bool closed;     /* egress that no rule fits is denied */
        bool restricted; /* only @trusted may connect; false: everybody */
        uint32_t source; /* fixed address of egress, network byte order; 0: any of the host's */
        size_t n_rules, n_trusted, n_services, n_published;
        NetworkRule rules[NETWORK_RULES_MAX];
        NetworkRange trusted[NETWORK_TRUSTED_MAX];
        Service services[NETWORK_SERVICES_MAX];
        uint16_t published[NETWORK_PUBLISHED_MAX]; /* of the host, for web dynos; ascending */
} Policy;

/* The serial that root must have: 0 while there is nothing to enforce. */
uint64_t policy_serial(const Policy *policy);
/* Root's form of it. */
void policy_to_message(const Policy *policy, uint32_t app_number, LaunchPolicy *ret);
/* The 1-based number of an earlier rule that fits all that rule @i fits; 0: there is none. */
size_t policy_covered_by(const Policy *policy, size_t i);
bool policy_publishes(const Policy *policy, uint16_t port);

bool service_name_is_valid(const char *name);

/* ---- text ---- */

#define NETWORK_TEXT_SIZE 20 /* "255.255.255.255/32" */
#define RULE_TEXT_SIZE 48    /* "255.255.255.255/32:65535-65535/icmp" */

void policy_format_range(const NetworkRange *range, char ret[NETWORK_TEXT_SIZE]);
/* As users write it: "10.0.0.0/8:5432/tcp", "any:443/tcp", "192.0.2.7". */
void policy_format_rule(const NetworkRule *rule, char ret[RULE_TEXT_SIZE]);
const char *policy_protocol_to_string(uint8_t protocol); /* "tcp", …; "" for any */
/* Return: an IPPROTO_*, 0 for "", or -1. */
int policy_protocol_from_string(const char *text);

/* Return: 0 or -EINVAL. */
int policy_parse_range(const char *text, NetworkRange *ret) _must_check_;

/* ---- changes ---- */

typedef enum PolicyChangeKind {
        POLICY_ALLOW,
        POLICY_DENY,
        POLICY_REMOVE,
        POLICY_RESET,
        POLICY_SOURCE,
        POLICY_TRUST,
        POLICY_DISTRUST,
        POLICY_ADD_SERVICE,
        POLICY_REMOVE_SERVICE,
        POLICY_PUBLISH,
        POLICY_UNPUBLISH,
        _POLICY_CHANGE_MAX,
} PolicyChangeKind;

typedef struct PolicyChange {
        PolicyChangeKind kind;
        bool everything; /* "any" alone: the default of egress; TRUST: everybody */
        size_t n_rules, n_ranges;
        NetworkRule rules[NETWORK_RULES_MAX]; /* ALLOW, DENY; REMOVE by what it says */
        NetworkRange ranges[NETWORK_TRUSTED_MAX];
        uint32_t number; /* REMOVE: of a rule; PUBLISH: port; SOURCE: address, 0 for auto */
        Service service;
        char text[160]; /* what it does, for people and the log; cut */
} PolicyChange;

/**
 * policy_change_parse() - understand what a client asks for
 * @change:     its name, see ChangeNetwork in include/dynod/bus.h
 * @arguments:  as a user types them, NULL-terminated
 * @ret:        filled
 * @reterr:     filled on a refusal: what is wrong and how it is written
 *
 * Return: 0 or MANAGER_E_REFUSED.
 */
int policy_change_parse(
        const char *change, const char *const *arguments, PolicyChange *ret, ManagerError *reterr)
        _must_check_;

/**
 * policy_apply() - carry out a change
 * @policy:       changed, but for its serial; undefined after a refusal
 * @change:       by policy_change_parse(); its text may be made more precise
 * @app:          name, for texts
 * @ret_changed:  false: it was so before
 * @reterr:       filled on a refusal
 *
 * Return: 0 or MANAGER_E_REFUSED.
 */
int policy_apply(
        Policy *policy,
        PolicyChange *change,
        const char *app,
        bool *ret_changed,
        ManagerError *reterr) _must_check_;
