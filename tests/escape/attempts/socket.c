/* SPDX-License-Identifier: Apache-2.0 */

/* Sockets that a dyno has no use for: each family is a part of the kernel that it can attack. */

#include <linux/if_alg.h>
#include <linux/if_ether.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

#include "escape.h"

#define FAMILIES_MAX 64      /* the kernel has 46 */
#define SOCKET_TYPES_MAX 10  /* SOCK_PACKET */
#define IP_PROTOCOLS_MAX 263 /* one beyond IPPROTO_MPTCP */
#define PROTOCOL_MPTCP 262

static int try_socket(int family, int type, int protocol) {
        int fd = socket(family, type | SOCK_CLOEXEC, protocol);

        if (fd < 0)
                return -errno;
        (void)close(fd);
        return 0;
}

static int raw_icmp(void) {
        return try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
}

static int raw_tcp(void) {
        return try_socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
}

static int raw_ip(void) {
        return try_socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
}

static int raw_icmp6(void) {
        return try_socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6);
}

static int packet(void) {
        return try_socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
}

/* The type of Linux 2.0: socket(2) turns the family into AF_PACKET behind the filter's back. */
static int packet_by_type(void) {
        int r = try_socket(AF_INET, SOCK_PACKET, 0);

        return r == -EACCES ? -EPERM : r; /* AppArmor's word for it, which comes first */
}

static int vsock(void) {
        return try_socket(AF_VSOCK, SOCK_STREAM, 0);
}

static int alg(void) {
        static const struct sockaddr_alg address = {
                .salg_family = AF_ALG, .salg_type = "hash", .salg_name = "sha256"};
        int fd = socket(AF_ALG, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        int r = fd;

        if (fd < 0)
                return -errno;
        r = attempt_result(bind(fd, (const struct sockaddr *)&address, sizeof(address)));
        (void)close(fd);
        return r;
}

static bool is_allowed(int family) {
        return family == AF_UNIX || family == AF_INET || family == AF_INET6 || family == AF_NETLINK;
}

/* Also looks whether the allowed ones work: a host without sockets would prove nothing. */
static int all_families(void) {
        int r = -EAFNOSUPPORT;

        if (try_socket(AF_PACKET, SOCK_RAW, 0) == 0) /* before modules are loaded for the rest */
                return 0;
        if (try_socket(AF_UNIX, SOCK_STREAM, 0) < 0 || try_socket(AF_INET, SOCK_STREAM, 0) < 0)
                return ATTEMPT_BROKEN;

        for (int family = 0; family < FAMILIES_MAX; family++)
                for (int type = SOCK_STREAM; type <= SOCKET_TYPES_MAX; type++) {
                        int error = is_allowed(family) ? r : try_socket(family, type, 0);

                        if (error == 0)
                                return 0;
                        if (error != -EAFNOSUPPORT)
                                r = error;
                }
        return r;
}

static int all_ip_protocols(void) {
        static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_DCCP, SOCK_RAW};

        for (int protocol = 0; protocol < IP_PROTOCOLS_MAX; protocol++)
                for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                        if ((types[i] == SOCK_STREAM &&
                             (protocol == 0 || protocol == IPPROTO_TCP)) ||
                            (types[i] == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP)))
                                continue;
                        if (try_socket(AF_INET, types[i], protocol) == 0)
                                return 0;
                }
        return ATTEMPT_NOTHING;
}

static int mptcp(void) {
        return try_socket(AF_INET, SOCK_STREAM, PROTOCOL_MPTCP);
}

static int udplite(void) {
        return try_socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
}

/* Echo requests to anybody: without a capability where the sysctl's range says so. */
static int ping(void) {
        return try_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
}

static int ping_set_up(void) {
        return attempt_write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

const Attempt attempts_socket[] = {
        {
                .name = "socket/raw-icmp",
                .tries = "write ICMP of its own making, redirects for instance",
                .stopped_by = "capabilities user apparmor tc nft",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = raw_icmp,
        },
        {
                .name = "socket/raw-tcp",
                .tries = "read every TCP segment of the namespace",
                .stopped_by = "capabilities user apparmor tc nft",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = raw_tcp,
        },
        {
                .name = "socket/raw-icmp6",
                .tries = "write router advertisements",
                .stopped_by = "capabilities user apparmor tc nft",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = raw_icmp6,
        },
        {
                .name = "socket/raw-ip",
                .tries = "write IP headers with a source address of its choice",
                .stopped_by = "seccomp capabilities user apparmor tc nft",
                .error = EPROTONOSUPPORT,
                .control = CONTROL_ROOT,
                .run = raw_ip,
        },
        {
                .name = "socket/packet",
                .tries = "write whole frames: ARP, spoofed MAC addresses",
                .stopped_by = "seccomp capabilities user apparmor tc nft",
                .error = EAFNOSUPPORT,
                .control = CONTROL_ROOT,
                .run = packet,
        },
        {
                .name = "socket/packet-by-type",
                .tries = "get AF_PACKET through the obsolete type of AF_INET",
                .stopped_by = "capabilities user apparmor tc nft",
                .error = EPERM,
                .control = CONTROL_ROOT,
                .run = packet_by_type,
        },
        {
                .name = "socket/vsock",
                .tries = "talk to the hypervisor",
                .stopped_by = "seccomp apparmor",
                .error = EAFNOSUPPORT,
                .control = CONTROL_USER | CONTROL_VM,
                .run = vsock,
        },
        {
                .name = "socket/alg",
                .tries = "reach the kernel's cryptography and load modules for it",
                .stopped_by = "seccomp apparmor",
                .error = EAFNOSUPPORT,
                .control = CONTROL_USER | CONTROL_VM,
                .run = alg,
        },
        {
                .name = "socket/all-families",
                .tries = "open a socket of any family that is not Unix, IP or netlink",
                .stopped_by = "seccomp apparmor",
                .error = EAFNOSUPPORT,
                .control = CONTROL_ROOT,
                .run = all_families,
        },
        {
                .name = "socket/all-ip-protocols",
                .tries = "open an IP socket of any protocol but TCP, UDP and ICMP",
                .stopped_by = "seccomp capabilities user apparmor",
                .error = ATTEMPT_NOTHING,
                .control = CONTROL_ROOT,
                .run = all_ip_protocols,
        },
        {
                .name = "socket/mptcp",
                .tries = "reach MPTCP",
                .stopped_by = "seccomp",
                .error = EPROTONOSUPPORT,
                .control = CONTROL_USER | CONTROL_VM,
                .run = mptcp,
        },
        {
                .name = "socket/udplite",
                .tries = "reach UDP-Lite",
                .stopped_by = "seccomp",
                .error = EPROTONOSUPPORT,
                .control = CONTROL_USER | CONTROL_VM,
                .run = udplite,
        },
        {
                .name = "socket/ping",
                .tries = "send echo requests",
                .stopped_by = "kernel",
                .error = EACCES,
                .control = CONTROL_USER,
                .run = ping,
                .set_up = ping_set_up,
        },
        {.name = NULL},
};
