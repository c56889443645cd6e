/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The elements of the instance's nftables table, through libmnl and libnftnl. The rules
 * come from profiles/ruleset.nft.in, see firewall_rules.h; dynos only ever add and remove
 * elements, each change in one transaction.
 */

#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

/* The sets of the ruleset that elements are put in while it is loaded. */
#define FIREWALL_SET_LINKS "links"     /* ifname . ipv4_addr: a dyno's link and its address */
#define FIREWALL_SET_WEB "web"         /* ipv4_addr . inet_service: what the host may open */
#define FIREWALL_SET_UPLINKS "uplinks" /* ifname: forwards only because we turned it on */

#define FIREWALL_SET_PUBLIC "public" /* ipv4_addr . inet_proto . inet_service: see public_ports */

/* Maps by a dyno's link: to a chain of its app, see sandbox/policy_rules.h. */
#define FIREWALL_MAP_POLICIES "policies"
#define FIREWALL_MAP_SERVICES "services"
#define FIREWALL_MAP_SOURCES "sources"
#define FIREWALL_MAP_SEEN "seen"
#define FIREWALL_MAP_CLIENTS "clients"

/* By a dyno's link: new connections a second, each element with a limit of its own. */
#define FIREWALL_SET_RATES_FROM "rates_from"
#define FIREWALL_SET_RATES_TO "rates_to"
/* And tracked connections at once: to the chains of its class, see net_dyno.c. */
#define FIREWALL_MAP_COUNTS_FROM "counts_from"
#define FIREWALL_MAP_COUNTS_TO "counts_to"

typedef struct Firewall Firewall;

/* A key as the kernel wants it: fields side by side, each padded to four bytes. */
typedef struct FirewallKey {
        uint8_t bytes[32];
        uint32_t size;
} FirewallKey;

FirewallKey firewall_key_link(const char *link, struct in_addr address);
FirewallKey firewall_key_web(struct in_addr address, uint32_t port);
FirewallKey firewall_key_uplink(const char *link);
FirewallKey firewall_key_port(struct in_addr address, uint8_t protocol, uint32_t port);
FirewallKey firewall_key_number(uint32_t number); /* in the host's byte order */

#define FIREWALL_CHAIN_SIZE 32

typedef enum FirewallData {
        FIREWALL_DATA_NONE,
        FIREWALL_DATA_JUMP,  /* to @chain */
        FIREWALL_DATA_GOTO,  /* to @chain */
        FIREWALL_DATA_VALUE, /* @value */
        FIREWALL_DATA_RATE,  /* fits what is over @limit packets a second */
} FirewallData;

/* An element with what belongs to it. */
typedef struct FirewallElement {
        const char *set; /* or map */
        FirewallKey key;
        FirewallData data;
        char chain[FIREWALL_CHAIN_SIZE];
        FirewallKey value;
        uint32_t limit;
} FirewallElement;

/* Opens a socket in the current network namespace. @instance names the table; copied. */
int firewall_open(Firewall **ret, const char *instance) _must_check_;
Firewall *firewall_free(Firewall *firewall);
DEFINE_CLEANUP(Firewall, firewall_free)

/* The netlink port that this process changes the table from. */
uint32_t firewall_port(const Firewall *firewall);

/* Adding what is there is no error. -ENOENT: there is no such table or set. */
int firewall_add(Firewall *firewall, const char *set, const FirewallKey *key) _must_check_;

/* Removing what is not there, or from no table, is no error. */
int firewall_remove(Firewall *firewall, const char *set, const FirewallKey *key);

/* 0, or -ENOENT if the element, the set or the table is not there. */
int firewall_check(Firewall *firewall, const char *set, const FirewallKey *key) _must_check_;

/* Adds or removes all of @elements, or none. Adding what is there as it is, is no error. */
int firewall_add_elements(Firewall *firewall, const FirewallElement *elements, size_t n)
        _must_check_;
int firewall_remove_elements(Firewall *firewall, const FirewallElement *elements, size_t n);
/* As those; and if some are not there, removes the others, one after the other from the first. */
int firewall_remove_all(Firewall *firewall, const FirewallElement *elements, size_t n);

/* Empties @set, and fills it again with @elements, all of that set; one transaction. */
int firewall_refill(Firewall *firewall, const char *set, const FirewallElement *elements, size_t n)
        _must_check_;

/* 0, or -ENOENT if the element is not there with the same data. */
int firewall_check_element(Firewall *firewall, const FirewallElement *element) _must_check_;

/* True if another table of the inet family, another instance's, has the element. */
bool firewall_others_have(Firewall *firewall, const char *set, const FirewallKey *key);

/* Is the table loaded? 0, -ENOENT, or a negative errno. */
int firewall_check_table(Firewall *firewall) _must_check_;

/* Removes the table with all that is in it. No table is no error. */
int firewall_remove_table(Firewall *firewall);

typedef enum FirewallList {
        FIREWALL_LIST_TABLES,
        FIREWALL_LIST_CHAINS,
        FIREWALL_LIST_RULES,
} FirewallList;

/* Everything of that kind on the host, of all tables and families, one message each. */
typedef int FirewallListed(const struct nlmsghdr *message, void *userdata); /* MNL_CB_* */
int firewall_list(Firewall *firewall, FirewallList what, FirewallListed *handler, void *userdata)
        _must_check_;

/* The elements of a set of any table. -ENOENT: there is none of that name. */
int firewall_list_elements(
        Firewall *firewall,
        int family,
        const char *table,
        const char *set,
        FirewallListed *handler,
        void *userdata) _must_check_;
