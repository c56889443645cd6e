/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the net_*.c files that make up a Net share. */

#include "ipc/launch_proto.h"
#include "sandbox/firewall.h"
#include "sandbox/net.h"
#include "sandbox/net_host.h"
#include "sandbox/net_rtnl.h"
#include "sandbox/tc_program.h"

typedef struct NetSlot {
        int ifindex; /* of the host end; 0: the slot is not in use */
        uint16_t web_port;
        bool overlaps;
} NetSlot;

struct Net {
        /* copied from the configuration */
        char instance[INSTANCE_NAME_SIZE];
        char *libexec_dir, *data_dir;
        struct in_addr network;
        uint8_t prefix;
        uint32_t uid_base;
        struct in_addr resolvers[CONFIG_RESOLVERS_MAX];
        size_t n_resolvers;

        NetRtnl *host;      /* in the host's network namespace, like @firewall */
        int host_netns_fd;  /* to come back to */
        int watch_fd;       /* hears of changes to the host's network */
        Firewall *firewall; /* the instance's table */
        TcProgram tc;
        int tc_error; /* 0 or a negative errno: there is no tc half */
        TcMarks marks;
        bool ipv6;
        NetUplinks own_uplinks; /* that we turned forwarding on for */

        LaunchPolicy *policies; /* one per app that has one */
        size_t n_policies;

        NetSlot *slots;
        uint32_t n_slots, n_overlap;
        char overlap[NET_DETAIL_SIZE]; /* who has the overlapping addresses */
};

/* Marks the slots that overlap what the host has now. */
int net_find_overlaps(Net *net) _must_check_;

/* Renders the ruleset with the elements of all slots in use and has it loaded. */
int net_load_ruleset(Net *net) _must_check_;

/* Finds the uplinks that forward, or are to, only because of us: fills own_uplinks. */
int net_find_uplinks(Net *net) _must_check_;
/* Turns forwarding on for them. To be called when the table that restricts it is loaded. */
int net_enable_uplinks(Net *net) _must_check_;
/* Turns it off again where no other instance needs it. */
int net_disable_uplinks(Net *net);

/* A socket that hears of changes to routes, addresses and the host's forwarding. */
int net_watch_open(int *ret_fd) _must_check_;

/* Makes a slot's link into @netns_fd and everything on it; on failure nothing is left. */
int net_wire_slot(Net *net, uint32_t slot, int netns_fd) _must_check_;

/* Brings the host end of a slot in use to what it should be; changes nothing that is. */
int net_converge_slot(Net *net, uint32_t slot) _must_check_;
