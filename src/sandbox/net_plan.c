/* SPDX-License-Identifier: Apache-2.0 */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"
#include "config/config.h"
#include "sandbox/net_plan.h"

#define SLOT_ADDRESSES 4U /* of a /30 */

uint32_t net_plan_slots(struct in_addr network, uint8_t prefix) {
        uint64_t n_addresses = UINT64_C(1) << (32 - prefix);
        uint64_t n;

        assert(prefix <= 32);
        (void)network;

        if (n_addresses <= NET_PLAN_FIRST)
                return 0;

        n = (n_addresses - NET_PLAN_FIRST) / SLOT_ADDRESSES;
        return n < CONFIG_DYNOS_MAX ? (uint32_t)n : CONFIG_DYNOS_MAX;
}

NetSlotAddress net_plan_address(struct in_addr network, uint32_t slot) {
        uint32_t first = ntohl(network.s_addr) + NET_PLAN_FIRST + slot * SLOT_ADDRESSES;

        assert(slot < CONFIG_DYNOS_MAX);

        return (NetSlotAddress){
                .network.s_addr = htonl(first),
                .gateway.s_addr = htonl(first + 1),
                .dyno.s_addr = htonl(first + 2),
        };
}

int net_plan_slot_of(struct in_addr network, struct in_addr address, uint32_t *ret) {
        uint32_t start = ntohl(network.s_addr), a = ntohl(address.s_addr);

        assert(ret);

        if (a < start || a - start < NET_PLAN_FIRST)
                return -ENOENT;

        a = (a - start - NET_PLAN_FIRST) / SLOT_ADDRESSES;
        if (a >= CONFIG_DYNOS_MAX)
                return -ENOENT;

        *ret = a;
        return 0;
}

void net_plan_link_name(const char *instance, uint32_t slot, char ret[IFNAMSIZ]) {
        int n;

        assert(instance_name_is_valid(instance));
        assert(slot < CONFIG_DYNOS_MAX);

        n = snprintf(ret, IFNAMSIZ, "%s-%u", instance, slot);
        assert(n > 0 && n < IFNAMSIZ);
}

int net_plan_link_slot(const char *instance, const char *link, uint32_t *ret) {
        size_t len = strlen(instance);
        uint32_t slot;

        assert(ret);

        if (strncmp(link, instance, len) != 0 || link[len] != '-')
                return -ENOENT;

        /* No leading zero: a name that we would not write is not ours. */
        link += len + 1;
        if (parse_u32(link, &slot) < 0 || slot >= CONFIG_DYNOS_MAX ||
            (link[0] == '0' && link[1] != '\0'))
                return -ENOENT;

        *ret = slot;
        return 0;
}

void net_plan_mac(NetEnd end, uint32_t slot, uint8_t ret[NET_MAC_SIZE]) {
        const uint8_t mac[NET_MAC_SIZE] = {
                0x02, /* locally administered, unicast */
                0x64, /* "dy" */
                0x79,
                end == NET_END_HOST ? 0x01 : 0x02,
                (uint8_t)(slot >> 8),
                (uint8_t)slot,
        };

        assert(slot < CONFIG_DYNOS_MAX);
        memcpy(ret, mac, sizeof(mac));
}

static uint32_t prefix_mask(uint8_t prefix) {
        assert(prefix <= 32);
        return prefix == 0 ? 0 : UINT32_MAX << (32 - prefix);
}

bool net_plan_overlap(struct in_addr a, uint8_t a_prefix, struct in_addr b, uint8_t b_prefix) {
        uint32_t mask = prefix_mask(a_prefix < b_prefix ? a_prefix : b_prefix);

        return (ntohl(a.s_addr) & mask) == (ntohl(b.s_addr) & mask);
}
