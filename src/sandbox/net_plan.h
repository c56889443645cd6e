/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The address plan: one number, the slot, decides uid, /30, link name and MACs of a dyno.
 *
 * Pure arithmetic, so that nothing has to be looked up or stored: whoever sees the
 * address, the link or the uid of a dyno knows the other two, also after a restart.
 * The first 28 addresses of the network stay free (Heroku starts at 172.16.0.28);
 * service_address lies there.
 */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"

#define NET_PLAN_FIRST 28 /* addresses from the network's start to slot 0: heroku-like */
#define NET_DYNO_PREFIX 30
#define NET_MAC_SIZE 6

typedef struct NetSlotAddress {
        struct in_addr network; /* of the /30 */
        struct in_addr gateway; /* network + 1, the host's end */
        struct in_addr dyno;    /* network + 2, eth0 in the dyno */
} NetSlotAddress;

/* How many slots @network/@prefix has room for, at most CONFIG_DYNOS_MAX. */
uint32_t net_plan_slots(struct in_addr network, uint8_t prefix);

/**
 * net_plan_address() - the /30 of a slot
 * @network:  start of the instance's network
 * @slot:     below net_plan_slots()
 */
NetSlotAddress net_plan_address(struct in_addr network, uint32_t slot);

/* The slot whose /30 holds @address: 0 or -ENOENT. Not checked against net_plan_slots(). */
int net_plan_slot_of(struct in_addr network, struct in_addr address, uint32_t *ret) _must_check_;

/* "INSTANCE-SLOT". @instance is valid, @slot below CONFIG_DYNOS_MAX, so it always fits. */
void net_plan_link_name(const char *instance, uint32_t slot, char ret[IFNAMSIZ]);

/* The slot of a link of that name: 0, or -ENOENT if it is not one of @instance's names. */
int net_plan_link_slot(const char *instance, const char *link, uint32_t *ret) _must_check_;

typedef enum NetEnd {
        NET_END_HOST,
        NET_END_DYNO,
} NetEnd;

/* Locally administered and fixed, so that neighbour entries can be permanent. */
void net_plan_mac(NetEnd end, uint32_t slot, uint8_t ret[NET_MAC_SIZE]);

/* True if @a/@a_prefix and @b/@b_prefix share an address. */
bool net_plan_overlap(struct in_addr a, uint8_t a_prefix, struct in_addr b, uint8_t b_prefix);
