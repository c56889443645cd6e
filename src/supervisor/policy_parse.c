/* SPDX-License-Identifier: Apache-2.0 */

/* What users write: "10.0.0.0/8:5432/tcp", "any", "8080", "postgres 5432/udp". */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "supervisor/manager_internal.h"
#include "supervisor/policy.h"

#define SHOWN 60 /* characters of a wrong argument that a text repeats */
#define RULE_FORM "NETWORK[:PORT[-PORT]][/tcp|/udp|/icmp], as 10.0.0.0/8:5432/tcp"

static int refuse_argument(ManagerError *reterr, const char *text, const char *what) {
        return refuse(
                reterr,
                DYNOD_ERROR_INVALID_ARGUMENT,
                "\"%.*s\" %s. Nothing was changed.",
                SHOWN,
                text,
                what);
}

/* ---- networks ---- */

static int
refuse_host_bits(ManagerError *reterr, const char *text, uint32_t address, uint32_t prefix) {
        NetworkRange net = {.prefix = prefix}, host = {.network = htonl(address), .prefix = 32};
        char right[NETWORK_TEXT_SIZE], alone[NETWORK_TEXT_SIZE];

        net.network = htonl(prefix > 0 ? address & (UINT32_MAX << (32 - prefix)) : 0);
        policy_format_range(&net, right);
        policy_format_range(&host, alone);
        return refuse(
                reterr,
                DYNOD_ERROR_INVALID_ARGUMENT,
                "\"%.*s\" has bits beyond its /%" PRIu32 ": write %s for the network, %s for the "
                "one host. Nothing was changed.",
                SHOWN,
                text,
                prefix,
                right,
                alone);
}

/* @whole: the argument that @text is a part of */
static int
parse_network(const char *text, const char *whole, NetworkRange *ret, ManagerError *reterr) {
        char address[INET_ADDRSTRLEN];
        size_t len = strcspn(text, "/");
        struct in_addr in;
        uint32_t prefix = 32;

        if (strcmp(text, "any") == 0) {
                *ret = (NetworkRange){.prefix = 0};
                return 0;
        }
        if (len < sizeof(address)) {
                memcpy(address, text, len);
                address[len] = '\0';
        }
        if (len >= sizeof(address) || parse_ipv4(address, &in) < 0)
                return refuse_argument(
                        reterr,
                        whole,
                        strpbrk(text, "abcdefghijklmnopqrstuvwxyz") != NULL
                                ? "is no IPv4 network; names are not looked up, since they change: "
                                  "give addresses, or any"
                                : "is no IPv4 network; write it as 10.0.0.0/8, 192.0.2.7 or any");
        if (text[len] == '/' && (parse_u32(text + len + 1, &prefix) < 0 || prefix > 32))
                return refuse_argument(reterr, whole, "has no prefix from /0 to /32");
        if (prefix < 32 && (ntohl(in.s_addr) & (UINT32_MAX >> prefix)) != 0)
                return refuse_host_bits(reterr, whole, ntohl(in.s_addr), prefix);

        *ret = (NetworkRange){.network = in.s_addr, .prefix = prefix};
        return 0;
}

static bool is_ipv6(const char *text) {
        const char *colon = strchr(text, ':');

        return text[0] == '[' || (colon && strchr(colon + 1, ':'));
}

/* ---- rules ---- */

static int parse_port(const char *text, uint16_t *ret) {
        uint32_t port;

        if (parse_u32(text, &port) < 0 || port < 1 || port > UINT16_MAX)
                return -EINVAL;

        *ret = (uint16_t)port;
        return 0;
}

static int parse_ports(char *text, const char *whole, NetworkRule *rule, ManagerError *reterr) {
        char *dash = strchr(text, '-');

        if (dash)
                *dash++ = '\0';
        if (parse_port(text, &rule->port_first) < 0 ||
            parse_port(dash ? dash : text, &rule->port_last) < 0)
                return refuse_argument(
                        reterr, whole, "has no port from 1 to 65535 behind the colon");
        if (rule->port_first > rule->port_last)
                return refuse_argument(
                        reterr, whole, "has a range of ports that ends before it begins");

        return 0;
}

/* Cuts a trailing "/tcp" off: a '/' that no digit follows. */
static int cut_protocol(char *text, const char *whole, uint8_t *ret, ManagerError *reterr) {
        char *slash = strrchr(text, '/');
        int protocol;

        *ret = 0;
        if (!slash || (slash[1] >= '0' && slash[1] <= '9'))
                return 0;

        *slash = '\0';
        protocol = policy_protocol_from_string(slash + 1);
        if (protocol <= 0)
                return refuse_argument(
                        reterr, whole, "ends with no protocol that is known: tcp, udp or icmp");
        *ret = (uint8_t)protocol;
        return 0;
}

/* These are out of a dyno's reach whatever a rule says: an opening would be a promise that is not kept. */
static const struct {
        uint32_t network, prefix;
        const char *what;
} unreachable[] = {
        {0x00000000, 8, "this host"},
        {0x7f000000, 8, "loopback: a dyno has its own, and reaches it without a rule"},
        {0xa9fe0000, 16, "link-local, where clouds keep their secrets"},
        {0xe0000000, 3, "multicast or reserved"},
};

static int check_reachable(const NetworkRule *rule, const char *whole, ManagerError *reterr) {
        for (size_t i = 0; i < ARRAY_SIZE(unreachable); i++) {
                uint32_t mask = UINT32_MAX << (32 - unreachable[i].prefix);

                if (rule->prefix >= unreachable[i].prefix &&
                    (ntohl(rule->network) & mask) == unreachable[i].network)
                        return refuse(
                                reterr,
                                DYNOD_ERROR_INVALID_ARGUMENT,
                                "\"%.*s\" is %s: no rule opens that. Nothing was changed.",
                                SHOWN,
                                whole,
                                unreachable[i].what);
        }

        return 0;
}

static int add_rule(PolicyChange *change, const NetworkRule *rule, ManagerError *reterr) {
        if (change->n_rules == ARRAY_SIZE(change->rules))
                return refuse(
                        reterr,
                        DYNOD_ERROR_LIMIT,
                        "An app has at most %d rules: name larger networks. Nothing was changed.",
                        NETWORK_RULES_MAX);

        change->rules[change->n_rules++] = *rule;
        return 0;
}

static int parse_rule(PolicyChange *change, const char *whole, ManagerError *reterr) {
        NetworkRule rule = {.allow = change->kind == POLICY_ALLOW};
        NetworkRange range;
        char text[64], *ports;
        int r;

        if (is_ipv6(whole))
                return refuse_argument(
                        reterr, whole, "is IPv6, which dynos do not have: name IPv4 networks");
        if (strlen(whole) >= sizeof(text))
                return refuse_argument(reterr, whole, "is not " RULE_FORM);
        field_set(text, sizeof(text), whole);

        r = cut_protocol(text, whole, &rule.protocol, reterr);
        if (r != 0)
                return r;
        ports = strchr(text, ':');
        if (ports) {
                *ports++ = '\0';
                r = parse_ports(ports, whole, &rule, reterr);
        }
        if (r == 0 && ports && rule.protocol == IPPROTO_ICMP)
                r = refuse_argument(reterr, whole, "names a port, and icmp has none");
        if (r == 0)
                r = parse_network(text, whole, &range, reterr);
        if (r != 0)
                return r;

        rule.network = range.network;
        rule.prefix = (uint8_t)range.prefix;
        if (rule.allow)
                r = check_reachable(&rule, whole, reterr);
        if (r != 0)
                return r;
        if (rule.prefix == 0 && rule.protocol == 0 && !ports) {
                change->everything = true;
                return 0;
        }
        if (!ports || rule.protocol != 0)
                return add_rule(change, &rule, reterr);

        /* A port alone: of both protocols that have ports. */
        rule.protocol = IPPROTO_TCP;
        r = add_rule(change, &rule, reterr);
        rule.protocol = IPPROTO_UDP;
        return r == 0 ? add_rule(change, &rule, reterr) : r;
}

static int parse_rules(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        int r = 0;

        if (!args[0])
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "Say what: any, or " RULE_FORM ". Nothing was changed.");
        for (; *args && r == 0; args++)
                r = parse_rule(change, *args, reterr);
        return r;
}

/* A rule by its number, or by what it says. */
static int parse_remove(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        if (!args[0] || args[1])
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "Say which one rule, by its number. Nothing was changed.");
        if (parse_u32(args[0], &change->number) == 0 && change->number > 0)
                return 0;
        change->number = 0;
        if (strcmp(args[0], "any") == 0)
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "What holds for any is no rule: allow any or deny any sets it. Nothing was "
                        "changed.");
        return parse_rule(change, args[0], reterr);
}

static int parse_nothing(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        return args[0] ? refuse_argument(
                                 reterr, args[0], "is too much: nothing is to be named here")
                       : 0;
}

static int parse_source(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        struct in_addr address;

        if (!args[0] || args[1])
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "Say which address of this host, or auto. Nothing was changed.");
        if (strcmp(args[0], "auto") == 0)
                return 0;
        if (parse_ipv4(args[0], &address) < 0 || address.s_addr == 0)
                return refuse_argument(
                        reterr, args[0], "is neither an IPv4 address of this host nor auto");

        change->number = address.s_addr;
        return 0;
}

/* ---- inbound ---- */

static int parse_trusted(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        int r = 0;

        if (!args[0])
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "Say which network, as 203.0.113.0/24. Nothing was changed.");
        for (; *args && r == 0; args++) {
                NetworkRange range = {0};

                if (is_ipv6(*args))
                        return refuse_argument(
                                reterr,
                                *args,
                                "is IPv6, which dynos do not have: name IPv4 networks");
                if (change->n_ranges == ARRAY_SIZE(change->ranges))
                        return refuse(
                                reterr,
                                DYNOD_ERROR_LIMIT,
                                "An app trusts at most %d networks. Nothing was changed.",
                                NETWORK_TRUSTED_MAX);
                r = parse_network(*args, *args, &range, reterr);
                if (r == 0 && range.prefix == 0)
                        change->everything = true;
                else if (r == 0)
                        change->ranges[change->n_ranges++] = range;
        }

        return r;
}

/* NAME PORT[/udp] */
static int parse_service(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        NetworkPort port = {.protocol = IPPROTO_TCP};
        char text[16];

        if (!args[0] || !args[1] || args[2])
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "A service has a name and a port of this host, as: postgres 5432. Nothing "
                        "was changed.");
        if (!service_name_is_valid(args[0]))
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_NAME,
                        "\"%.40s\" cannot be a service's name: a small letter, then small letters, "
                        "digits and -, at most %d characters. Nothing was changed.",
                        args[0],
                        SERVICE_NAME_SIZE - 1);
        (void)snprintf(text, sizeof(text), "%s", args[1]);
        if (strlen(args[1]) < sizeof(text)) {
                char *slash = strchr(text, '/');
                int protocol = slash ? policy_protocol_from_string(slash + 1) : IPPROTO_TCP;

                if (slash)
                        *slash = '\0';
                if (protocol == IPPROTO_UDP)
                        port.protocol = IPPROTO_UDP;
                if ((protocol == IPPROTO_TCP || protocol == IPPROTO_UDP) &&
                    parse_port(text, &port.port) == 0) {
                        field_set(change->service.name, sizeof(change->service.name), args[0]);
                        change->service.port = port;
                        return 0;
                }
        }

        return refuse_argument(
                reterr, args[1], "is no port from 1 to 65535, with /udp behind it for UDP");
}

static int parse_service_name(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        if (!args[0] || args[1] || !service_name_is_valid(args[0]))
                return refuse(
                        reterr,
                        DYNOD_ERROR_NO_SUCH_SERVICE,
                        "Say which one service, by its name. Nothing was changed.");

        field_set(change->service.name, sizeof(change->service.name), args[0]);
        return 0;
}

/* [web] PORT */
static int parse_published(PolicyChange *change, const char *const *args, ManagerError *reterr) {
        const char *type = args[0] && args[1] ? args[0] : "web";
        const char *text = args[0] && args[1] ? args[1] : args[0];
        uint16_t port;

        if (!text || (args[1] && args[2]))
                return refuse(
                        reterr,
                        DYNOD_ERROR_INVALID_ARGUMENT,
                        "Say which one port of this host, as 8080. Nothing was changed.");
        if (strcmp(type, "web") != 0)
                return refuse_argument(
                        reterr, type, "cannot be published: only web dynos listen for others");
        if (parse_port(text, &port) < 0)
                return refuse_argument(reterr, text, "is no port from 1 to 65535");

        change->number = port;
        return 0;
}

/* ---- all of them ---- */

static const struct {
        const char *name;
        int (*parse)(PolicyChange *change, const char *const *args, ManagerError *reterr);
} changes[_POLICY_CHANGE_MAX] = {
        [POLICY_ALLOW] = {"allow", parse_rules},
        [POLICY_DENY] = {"deny", parse_rules},
        [POLICY_REMOVE] = {"remove", parse_remove},
        [POLICY_RESET] = {"reset", parse_nothing},
        [POLICY_SOURCE] = {"source", parse_source},
        [POLICY_TRUST] = {"trust", parse_trusted},
        [POLICY_DISTRUST] = {"distrust", parse_trusted},
        [POLICY_ADD_SERVICE] = {"add-service", parse_service},
        [POLICY_REMOVE_SERVICE] = {"remove-service", parse_service_name},
        [POLICY_PUBLISH] = {"publish", parse_published},
        [POLICY_UNPUBLISH] = {"unpublish", parse_published},
};

/* "allow 10.0.0.0/8:5432/tcp 192.0.2.7", as it was typed. */
static void describe(PolicyChange *change, const char *name, const char *const *args) {
        size_t used = (size_t)snprintf(change->text, sizeof(change->text), "%s", name);

        for (; *args && used < sizeof(change->text); args++)
                used += (size_t)snprintf(
                        change->text + used, sizeof(change->text) - used, " %s", *args);
}

int policy_change_parse(
        const char *change, const char *const *arguments, PolicyChange *ret, ManagerError *reterr) {
        for (unsigned i = 0; i < _POLICY_CHANGE_MAX; i++) {
                if (strcmp(changes[i].name, change) != 0)
                        continue;
                memset(ret, 0, sizeof(*ret));
                ret->kind = (PolicyChangeKind)i;
                describe(ret, change, arguments);
                return changes[i].parse(ret, arguments, reterr);
        }

        return refuse(
                reterr,
                DYNOD_ERROR_INVALID_ARGUMENT,
                "This dynod does not know the change \"%.*s\": herokuctl may be newer.",
                SHOWN,
                change);
}
