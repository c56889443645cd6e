/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Net: the network of one instance. One veth pair and /30 per slot, one nftables table,
 * one tc program on every link, forwarding on the links and the uplinks.
 *
 * Belongs to the launcher, which is single-threaded: net_slot_create() enters another
 * network namespace for a moment. No call but net_start() runs another
 * program, and none waits for anything but the kernel.
 *
 * Life: net_open() looks only. net_start() makes the host what it should be, whatever was
 * there: slots that are named stay (their dynos run on), everything else that is the
 * instance's own goes. Links, table and filters outlive the process.
 */

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "ipc/launch_proto.h"
#include "sandbox/net_plan.h"

typedef struct Net Net;

/* Conditions, see style: positive, handled by the direct caller. */
enum {
        _NET_E_OK,
        NET_E_MISSING,  /* something of the slot is not there, or not as it must be */
        NET_E_OVERLAP,  /* the /30 belongs to somebody else's route or address */
        NET_E_FIREWALL, /* the ruleset was refused; text on stderr */
};

#define NET_DETAIL_SIZE 160

/**
 * net_open() - get ready to work on the network of an instance
 * @ret:     owned by the caller, release with net_free(), which changes nothing outside
 * @config:  copied as far as needed
 *
 * Opens netlink sockets, remembers the network namespace that it is called in as the
 * host's, finds the /30s that overlap and loads the tc program. Changes nothing.
 *
 * Return: 0 or a negative errno. A kernel that refuses the tc program is no error, see
 * net_tc_error().
 */
int net_open(Net **ret, const Config *config) _must_check_;

Net *net_free(Net *net);
DEFINE_CLEANUP(Net, net_free)

/* Why the kernel refused the tc program: 0 or a negative errno. MISSING_TC is about this. */
int net_tc_error(const Net *net);

/* Slots that the network has room for; the launcher uses slots below this and max_dynos. */
uint32_t net_slots(const Net *net);

/* False for a slot whose /30 overlaps a route or address of the host. */
bool net_slot_usable(const Net *net, uint32_t slot);

/* What a slot's link is for, once it is a dyno's. */
typedef struct NetDyno {
        uint32_t app_number; /* whose policy it is under, see net_policy.h; 0: nobody's yet */
        uint32_t connections, connection_rate; /* as in LaunchStart, like what follows */
        uint64_t bandwidth;
} NetDyno;

/* A slot that a living dyno has. */
typedef struct NetKeep {
        uint32_t slot;
        uint32_t web_port; /* 0: not a web dyno */
        bool listens;      /* on that port */
        NetDyno dyno;
        int netns_fd; /* borrowed; lets a link that was deleted be made again, or -EBADF */
} NetKeep;

/**
 * net_start() - make the host's network what it should be
 * @net:     the network
 * @keep:    slots of living dynos
 * @n_keep:  how many
 *
 * Loads the ruleset with the elements of @keep in one transaction (dynod-firewall of
 * config's libexec_dir, ruleset.nft.in of its data_dir; waits for that child), replaces
 * the tc filters of the kept links, makes kept links that are gone again, and removes
 * every other link of this instance. Turns forwarding on for the uplinks. Can be called at
 * any time: it is also what makes net_damage() good.
 *
 * Return: 0, NET_E_FIREWALL, NET_E_MISSING (a kept slot could not be made whole;
 * net_check_slot() says which), or a negative errno.
 */
int net_start(Net *net, const NetKeep *keep, size_t n_keep) _must_check_;

/* Uplinks or the host's addresses may have changed: forwarding for the new ones. Cheap. */
int net_refresh(Net *net) _must_check_;

/**
 * net_watch_fd() - a descriptor that is readable when somebody changed the host's network
 *
 * A daemon that starts before the host's network is up has no uplink yet, and a link that
 * comes later has forwarding off: without net_handle_watch() on EPOLLIN no dyno gets out.
 *
 * Return: borrowed, valid until net_free().
 */
int net_watch_fd(const Net *net);

/* Reads what there is: calls net_refresh() if it matters, and finds damage. 0 or a negative errno. */
int net_handle_watch(Net *net) _must_check_;

/**
 * net_damage() - did somebody take away or change what is ours, and who
 *
 * The dynos are cut off or as isolated as before, see docs/decisions/0006; the host may be
 * a router for its neighbours. net_start() makes it good.
 *
 * Return: "the nftables table was changed by nft (PID 4711)", or NULL; valid until the next
 * call with this Net.
 */
const char *net_damage(const Net *net);

/**
 * net_slot_create() - make namespace, link, filter and set elements of a slot
 * @net:           the network, after net_start()
 * @slot:          a usable slot that is not in use
 * @ret_netns_fd:  the network namespace with eth0 up; owned by the caller. It lives as
 *                 long as this descriptor or a process in it.
 *
 * The dyno reaches the outside from here on; nothing reaches it. On failure nothing is left.
 *
 * Return: 0, NET_E_OVERLAP, or a negative errno (-ENOENT: the table is gone, net_start()
 * helps).
 */
int net_slot_create(Net *net, uint32_t slot, int *ret_netns_fd) _must_check_;

/**
 * net_slot_destroy() - cut a slot off and forget it
 * @net:   the network
 * @slot:  any slot; one that is not there is no error
 *
 * From here on its link passes nothing. The link itself goes with the network namespace,
 * in the background, when the last descriptor of it is closed and the last process in it
 * has ended. A slot whose link is still going can be created again, but that waits for
 * the kernel: use slots in turn.
 *
 * Return: 0 or the first negative errno; it goes on after one.
 */
int net_slot_destroy(Net *net, uint32_t slot);

/**
 * net_slot_begin() - the slot becomes a dyno's
 * @net:       the network
 * @slot:      made by net_slot_create()
 * @netns_fd:  its namespace; borrowed
 * @dyno:      whose, with what limits
 *
 * Puts the app's policy and the limits in force, all before anything of the dyno runs.
 * On failure the slot is to be destroyed.
 *
 * Return: 0 or a negative errno.
 */
int net_slot_begin(Net *net, uint32_t slot, int netns_fd, const NetDyno *dyno) _must_check_;

/* The dyno takes its share of its app's published ports, or no more. 0 or a negative errno. */
int net_slot_listens(Net *net, uint32_t slot, bool listens);

/* The host may open TCP connections to @port of the slot's dyno. 0 or a negative errno. */
int net_web_allow(Net *net, uint32_t slot, uint32_t port) _must_check_;
int net_web_forbid(Net *net, uint32_t slot);

/**
 * net_check_slot() - is everything of a slot there, by the kernel's word
 * @net:       the network
 * @slot:      a slot
 * @netns_fd:  its namespace; borrowed
 * @detail:    one line, always filled: "172.16.0.30 on dynod-0, pinned, tc" or what is missing
 * @size:      of @detail, NET_DETAIL_SIZE is enough
 *
 * Return: 0, NET_E_MISSING, or a negative errno.
 */
int net_check_slot(Net *net, uint32_t slot, int netns_fd, char *detail, size_t size) _must_check_;

/* What `doctor` wants to know. Damage as far as net_handle_watch() has read of it. */
typedef struct NetReport {
        char damage[NET_DETAIL_SIZE]; /* see net_damage(); empty: none */
        bool table;                   /* the instance's table is loaded */
        bool tc;                      /* the kernel took the tc program */
        bool flush_guard;             /* the routing rule that stops dynos when the table is gone */
        uint32_t slots;               /* see net_slots() */
        uint32_t n_overlap;           /* of them not usable */
        char overlap[NET_DETAIL_SIZE];        /* by whom: "172.17.0.0/16 on docker0" */
        char uplinks[NET_DETAIL_SIZE];        /* "eth0 eth1 (does not forward)"; empty: none */
        bool forwarding;                      /* on for all uplinks */
        bool forwards_nowhere;                /* there are some, and it is off for all */
        uint32_t n_resolvers;                 /* that dynos can use */
        LaunchBlocker blockers[BLOCKERS_MAX]; /* foreign chains that may drop dynos' packets */
        size_t n_blockers;
        uint16_t shadowed[SHADOWED_MAX]; /* published, and something on the host listens there */
        size_t n_shadowed;
        size_t n_public_left_out; /* of the host's addresses: public_ports are not open there */
} NetReport;

int net_report(Net *net, NetReport *ret) _must_check_;

/* One line for people from a report; returns 0, or NET_E_MISSING if dynos cannot start. */
int net_report_text(const NetReport *report, char *detail, size_t size);

/* Removes every link of this instance, its table and its routing rule. 0 or the first error. */
int net_purge(Net *net);
