/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the host has of its own: routes that our network must not overlap, uplinks,
 * their forwarding switch, and the one routing rule that we add.
 */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/net_rtnl.h"

#define NET_UPLINKS_MAX 32 /* more than that is a router, which forwards already */

/* A route or address of the host, from any table. */
typedef struct NetRoute {
        struct in_addr dst;
        uint8_t prefix;
        uint8_t type; /* RTN_UNICAST, RTN_LOCAL, … */
        char link[IFNAMSIZ];
} NetRoute;

typedef void (*NetRouteHandler)(const NetRoute *route, void *userdata);

/* Calls @handler for every IPv4 route (each next hop of it) not over a link of @instance. */
int net_host_routes(NetRtnl *host, const char *instance, NetRouteHandler handler, void *userdata)
        _must_check_;

/* Links of others that packets leave by, without duplicates. */
typedef struct NetUplinks {
        char name[NET_UPLINKS_MAX][IFNAMSIZ];
        size_t n;
} NetUplinks;

int net_host_uplinks(NetRtnl *host, const char *instance, NetUplinks *ret) _must_check_;
bool net_uplinks_contain(const NetUplinks *uplinks, const char *name);

/* net.ipv4.conf.@link.forwarding; @link may be "all". The current namespace's. */
int net_host_forwarding(const char *link, bool *ret) _must_check_;
int net_host_set_forwarding(const char *link, bool on) _must_check_;

/* True if this kernel has IPv6 at all. */
bool net_host_has_ipv6(void);
int net_host_ipv6(const char *link, bool *ret) _must_check_; /* is it on? */
/* No IPv6 on @link ("default": on links made from now on). The current namespace's. */
int net_host_disable_ipv6(const char *link) _must_check_;

/* Errors (ICMP) of the current namespace are not for the budget that all have together. */
int net_host_count_no_errors(void) _must_check_;

/*
 * The current namespace remembers 16384 connections that were closed (TIME-WAIT) and no more, 256
 * bytes each, which no cgroup is charged for: the kernel's own bound grows with its memory, to
 * 262,144. Beyond it they are not remembered.
 */
int net_host_remember_few_closed(void) _must_check_;

/* By which link would a packet of the host to @address leave? 0: by none. */
int net_host_way_to(NetRtnl *host, struct in_addr address, int *ret_ifindex) _must_check_;

/* Would a packet of the host to @address stay on it? */
int net_host_is_local(NetRtnl *host, struct in_addr address, bool *ret) _must_check_;

/* Behind the table of local addresses (0), before everything that could route it out. */
#define NET_RULE_PRIORITY 10U

/* The rule "packets with @mark go nowhere", see sandbox/tc_program.h. Both are idempotent. */
int net_host_add_rule(NetRtnl *host, uint32_t mark) _must_check_;
int net_host_remove_rule(NetRtnl *host, uint32_t mark) _must_check_;
int net_host_check_rule(NetRtnl *host, uint32_t mark) _must_check_; /* 0 or -ENOENT */
