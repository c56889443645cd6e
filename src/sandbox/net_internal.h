/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the net_*.c files that make up a Net share. */

#include "ipc/launch_proto.h"
#include "sandbox/conntrack.h"
#include "sandbox/firewall.h"
#include "sandbox/net.h"
#include "sandbox/net_host.h"
#include "sandbox/net_listen.h"
#include "sandbox/net_rtnl.h"
#include "sandbox/policy_rules.h"
#include "sandbox/tc_program.h"

/*
 * Seconds that the kernel tracks a dyno's TCP connection after it has closed, for packets that
 * come late: the most that leaves Standard-1X (2,048 at once) its 256 new ones a second.
 */
#define NET_CLOSED_SEC 7

#define NET_PUBLIC_MAX 16 /* addresses of the host; what is more does not get public_ports */

typedef struct NetSlot {
        int ifindex; /* of the host end; 0: the slot is not in use */
        uint16_t web_port;
        bool listens;
        NetDyno dyno;
        bool ruled; /* its link is in the maps by which its app's chains are found */
        bool overlaps;
        bool remembered; /* connections of the last dyno may still be known */
        bool suspect;    /* somebody did something to its link */
} NetSlot;

/* An app's policy, and what the host makes of it. */
typedef struct NetPolicy {
        LaunchPolicy said;
        bool source_is_gone; /* the host has not the fixed source, so nothing leaves */
        bool said_gone;      /* what net_policy_source_news() has told of that */
} NetPolicy;

/* See net_watch.c. */
typedef struct NetWatch {
        int epoll_fd; /* readable when one of the others is */
        int routing_fd, filter_fd;
        bool host_changed; /* net_refresh() is due */
        bool touched;      /* our table, by a transaction whose end was not read yet */
        /* What is to be made good; empty: nothing. */
        char table_damage[NET_DETAIL_SIZE], link_damage[NET_DETAIL_SIZE];
} NetWatch;

#define NET_WATCH_INIT                                                                             \
        { .epoll_fd = -EBADF, .routing_fd = -EBADF, .filter_fd = -EBADF }

struct Net {
        /* copied from the configuration */
        char instance[INSTANCE_NAME_SIZE];
        char *libexec_dir, *data_dir, *run_dir;
        struct in_addr network;
        uint8_t prefix;
        uint32_t uid_base;
        struct in_addr resolvers[CONFIG_RESOLVERS_MAX];
        size_t n_resolvers;
        struct in_addr service_address;
        ConfigPort public_ports[CONFIG_PUBLIC_PORTS_MAX];
        size_t n_public_ports;

        NetRtnl *host;      /* in the host's network namespace, like @firewall */
        int host_netns_fd;  /* to come back to */
        NetWatch watch;     /* hears of changes to the host's network */
        NetListen *listen;  /* asks for listeners of the host */
        Firewall *firewall; /* the instance's table */
        bool loaded;        /* a ruleset, by this process */
        Conntrack *conntrack;
        uint32_t n_remembered; /* slots */
        uint64_t forget_usec;  /* CLOCK_BOOTTIME; not before, if it can wait */
        TcProgram tc;
        int tc_error; /* 0 or a negative errno: there is no tc half */
        TcMarks marks;
        bool ipv6;
        NetUplinks own_uplinks; /* that we turned forwarding on for, as in UPLINKS_FILE */

        struct in_addr public[NET_PUBLIC_MAX]; /* addresses that public_ports are open at */
        size_t n_public, n_public_left_out;
        bool service_is_foreign; /* somebody else gave the host service_address */

        NetPolicy *policies; /* one per app that has one */
        size_t n_policies;

        NetSlot *slots;
        uint32_t n_slots, n_overlap;
        char overlap[NET_DETAIL_SIZE]; /* who has the overlapping addresses */
};

/* Marks the slots that overlap what the host has now. */
int net_find_overlaps(Net *net) _must_check_;

/* Renders the ruleset with the elements of all slots in use and has it loaded. */
int net_load_ruleset(Net *net) _must_check_;

/* Reads own_uplinks as an earlier dynod left them. */
int net_recall_uplinks(Net *net) _must_check_;

/* Opens a file in memory to write rules to. */
int net_rules_open(FILE **ret) _must_check_;
/*
 * Has @rules loaded in one transaction; @whole: they make the table anew.
 * Return: 0, NET_E_FIREWALL, or a negative errno.
 */
int net_rules_load(Net *net, FILE *rules, bool whole) _must_check_;

/* ---- net_policy.c ---- */

/* Placeholders of the ruleset. */
void net_write_policies(FILE *out, void *userdata);
void net_write_services(FILE *out, void *userdata);
void net_write_sources(FILE *out, void *userdata);
void net_write_seen(FILE *out, void *userdata);
void net_write_clients(FILE *out, void *userdata);
void net_write_published(FILE *out, void *userdata);
void net_write_published_ports(FILE *out, void *userdata);
void net_write_apps(FILE *out, void *userdata);

/* The whole ruleset was loaded: what is in it for each slot. */
void net_note_rules(Net *net);

/* Opens, or closes, the ports of the host that @policy opens for a slot; the tc half. */
int net_open_services(Net *net, uint32_t slot, const LaunchPolicy *policy) _must_check_;
void net_close_services(Net *net, uint32_t slot, const LaunchPolicy *policy);

/* The host's addresses changed: apps whose fixed source went, or came back. */
int net_refresh_policies(Net *net) _must_check_;
/* "reaches the Internet", "closed but for 3 rules, services 5432, published 8080" */
void net_policy_describe(const Net *net, uint32_t app_number, char *text, size_t size);

/* ---- net_service.c ---- */

/* Placeholders: a set's elements, and the rule that keeps others from service_address. */
void net_write_public(FILE *out, void *userdata);
void net_write_service_guard(FILE *out, void *userdata);

/* Finds the host's public addresses. Return: 1 if service_address is there and ours, 0, -errno. */
int net_look_at_addresses(Net *net) _must_check_;
/* Puts service_address on the host if an app has a service, takes it away if none has. */
int net_update_service_address(Net *net) _must_check_;
int net_remove_service_address(Net *net);
/* The tc half of public_ports, after net_look_at_addresses(). */
int net_open_public(Net *net) _must_check_;
/* The host's addresses changed. */
int net_refresh_services(Net *net) _must_check_;

/* ---- net_dyno.c ---- */

void net_write_rates(FILE *out, void *userdata);
void net_write_counts_from(FILE *out, void *userdata);
void net_write_counts_to(FILE *out, void *userdata);
void net_write_count_classes(FILE *out, void *userdata);

#define NET_SLOT_ELEMENTS 9

/* The elements of a slot that is in use, NET_SLOT_ELEMENTS at most. Returns how many. */
size_t net_slot_elements(const Net *net, uint32_t slot, FirewallElement *ret);

/* Makes an app's published ports lead to its dynos that listen. */
int net_spread(Net *net, uint32_t app_number) _must_check_;
/* Fills @ret, of POLICY_BUCKETS elements. Returns how many: all or none. */
size_t net_spread_elements(const Net *net, uint32_t app_number, FirewallElement *ret);

/*
 * The slot is under the limits of @dyno. However large those are, it never gets more than an
 * eighth of the connections that the host can track, half of them for each way: no dyno alone
 * takes them from others.
 */
void net_take_dyno(NetSlot *slot, const NetDyno *dyno);

/* Puts back what the dyno of a kept slot has; its elements are in the ruleset already. */
int net_dyno_converge(Net *net, uint32_t slot, int netns_fd) _must_check_;
/* The slot is nobody's any more; its elements are removed already. 0 or the first negative errno. */
int net_dyno_end(Net *net, uint32_t slot);
#define LOOPBACK_INDEX 1 /* of lo, in every namespace */

/* Has nothing that is for a group come in, on both links of a dyno's namespace. */
int net_filter_inside(Net *net, NetRtnl *inside, int ifindex) _must_check_;

/* net_check_slot() of the dyno's own end, @detail only filled if something is wrong with it. */
int net_check_inside(Net *net, uint32_t slot, int netns_fd, char *detail, size_t size) _must_check_;
/* What is missing of what a dyno has, or NULL; a negative errno in *@r if that is not known. */
const char *net_dyno_fault(Net *net, uint32_t slot, int *r);

/* Finds the uplinks that forward, or are to, only because of us: fills own_uplinks. */
int net_find_uplinks(Net *net) _must_check_;
/* Turns forwarding on for them. To be called when the table that restricts it is loaded. */
int net_enable_uplinks(Net *net) _must_check_;
/* Turns it off again where no other instance needs it. */
int net_disable_uplinks(Net *net);

/* @network and @prefix: the addresses whose neighbour entries matter. */
int net_watch_open(NetWatch *ret, struct in_addr network, uint8_t prefix) _must_check_;
void net_watch_close(NetWatch *watch);
/*
 * Reads what happened to tables. @loader: a child of ours that changed the table and has
 * ended, or 0; @whole: it made the table anew. Return: 0 or a negative errno.
 */
int net_watch_tables(Net *net, pid_t loader, bool whole) _must_check_;

/*
 * Makes a slot's link into @netns_fd and everything on it, in force before it is up: also the
 * policy and the limits of the slot's dyno. On failure nothing is left.
 */
int net_wire_slot(Net *net, uint32_t slot, int netns_fd) _must_check_;

/* net_check_slot() of what is the slot's own. */
int net_probe_slot(Net *net, uint32_t slot, char *detail, size_t size) _must_check_;

/* Brings the host end of a slot in use to what it should be; changes nothing that is. */
int net_converge_slot(Net *net, uint32_t slot) _must_check_;
