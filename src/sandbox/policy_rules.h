/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * An app's network policy as rules of the nftables table: chains of its own, in which
 * nothing is but numbers that launch_message_check() has passed. The same text goes into
 * the whole ruleset and into the change of one policy.
 *
 *   app-N-out      what its dynos may reach, and who may answer; the first rule that fits decides
 *   app-N-host     which ports at the service address they may open
 *   app-N-source   the address that they are seen with
 *   app-N-seen     drops what would leave with another one
 *   app-N-in       who may use its published ports
 *   app-N-publish  spreads what comes to a published port over app-N-web
 *   app-N-web      its web dynos that listen, POLICY_BUCKETS elements
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/cleanup.h"
#include "ipc/launch_proto.h"

/* More web dynos than this of one app on one host do not all get a share. */
#define POLICY_BUCKETS NETWORK_SHARES

#define POLICY_NAME_SIZE 32 /* "app-4294967295-publish" */

/* From which of them a dyno's connection leaves is not for the dyno to say: see the ruleset. */
#define POLICY_SOURCE_PORTS "32768-65535"

typedef enum PolicyPart {
        POLICY_OUT,
        POLICY_HOST,
        POLICY_SOURCE,
        POLICY_SEEN,
        POLICY_IN,
        POLICY_PUBLISH,
        POLICY_WEB, /* the map, all others are chains */
        _POLICY_PART_MAX,
} PolicyPart;

void policy_part_name(uint32_t app_number, PolicyPart part, char ret[POLICY_NAME_SIZE]);

typedef struct PolicyHost {
        struct in_addr service_address;
        bool source_is_gone; /* the fixed source is no address of the host: nothing leaves */
} PolicyHost;

/* Inside of a "table … {" block: all parts, the chains with their rules, the map empty. */
void policy_rules_write(FILE *out, const LaunchPolicy *policy, const PolicyHost *host);

/* Inside of a "table … {" block: all parts, empty. Parts that are there stay as they are. */
void policy_rules_declare(FILE *out, uint32_t app_number);

/* Commands that empty the parts, to be followed by new rules in the same transaction. */
void policy_rules_flush(FILE *out, const char *table, uint32_t app_number);
