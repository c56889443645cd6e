/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Links: the veth pair of a slot, its two ends' addresses, routes and neighbours.
 *
 * Each function is one or a few netlink requests. An end is addressed by the NetRtnl of
 * the namespace that it is in.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "sandbox/net_plan.h"
#include "sandbox/net_rtnl.h"

#define NET_DYNO_LINK "eth0" /* what Heroku's dynos call it */

/**
 * net_link_make_pair() - make the veth pair of a slot, both ends where they stay
 * @host:      of the host's namespace
 * @name:      of the host end
 * @slot:      decides the MACs
 * @netns_fd:  where the other end, eth0, is born
 *
 * Return: 0 or a negative errno, -EEXIST if there is a link of that name.
 */
int net_link_make_pair(NetRtnl *host, const char *name, uint32_t slot, int netns_fd) _must_check_;

/* Removes a link and its peer. -ENODEV if there is none. */
int net_link_remove(NetRtnl *rtnl, int ifindex) _must_check_;

/**
 * net_link_remove_all() - remove many links in the time of one
 * @host:      of the host's namespace
 * @ifindex:   the links, with their peers; one that is gone is no error
 * @n:         how many
 * @group:     a number that is no other link's group
 *
 * Each removal waits for RCU; the kernel waits once for all links of a group.
 *
 * Return: 0 or a negative errno.
 */
int net_link_remove_all(NetRtnl *host, const int *ifindex, size_t n, uint32_t group) _must_check_;

/* The index and the flags (IFF_*) of a link: 0 or -ENODEV. */
int net_link_find(NetRtnl *rtnl, const char *name, int *ret_ifindex, unsigned *ret_flags)
        _must_check_;

/* Host end, before it goes up: forwards, checks sources, has no IPv6. */
int net_link_configure(NetRtnl *host, int ifindex, bool ipv6) _must_check_;

int net_link_up(NetRtnl *rtnl, int ifindex) _must_check_;
/*
 * As net_link_up(), and deaf to ARP: nobody learns addresses of the host, or teaches it any. Nor
 * does it ask: who sends to addresses on a link that are not there fills a table that all
 * namespaces share, with entries that the kernel keeps as long as there may be an answer.
 */
int net_link_up_without_arp(NetRtnl *rtnl, int ifindex) _must_check_;
int net_link_add_address(NetRtnl *rtnl, int ifindex, struct in_addr address, uint8_t prefix)
        _must_check_;
/* With the route that came with it. No such address is no error. */
int net_link_remove_address(NetRtnl *rtnl, int ifindex, struct in_addr address, uint8_t prefix)
        _must_check_;
int net_link_add_neighbour(
        NetRtnl *rtnl, int ifindex, struct in_addr address, const uint8_t mac[NET_MAC_SIZE])
        _must_check_;
/* Is there such an entry that stays until it is removed? 0, -ENOENT, or another negative errno. */
int net_link_check_neighbour(
        NetRtnl *rtnl, int ifindex, struct in_addr address, const uint8_t mac[NET_MAC_SIZE])
        _must_check_;
int net_link_add_default_route(NetRtnl *rtnl, int ifindex, struct in_addr gateway) _must_check_;

/* A link of the host that bears one of the instance's names and is a veth with its MAC. */
typedef struct NetOwnLink {
        uint32_t slot;
        int ifindex;
        bool up;
        bool arp; /* not deaf to it */
} NetOwnLink;

/* The link of one slot: 0, -ENODEV if there is none that is ours, or a negative errno. */
int net_link_get_own(NetRtnl *host, const char *instance, uint32_t slot, NetOwnLink *ret)
        _must_check_;

/**
 * net_link_list_own() - the links of an instance
 * @host:      of the host's namespace
 * @instance:  name of the instance
 * @ret:       array, owned by the caller; NULL for none
 * @ret_n:     its length
 *
 * A link that has the name but not kind and MAC is somebody else's and not listed.
 *
 * Return: 0 or a negative errno.
 */
int net_link_list_own(NetRtnl *host, const char *instance, NetOwnLink **ret, size_t *ret_n)
        _must_check_;
