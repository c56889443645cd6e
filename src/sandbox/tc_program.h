/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The eBPF programs on the host end of every dyno's link: the deny half that does not
 * depend on nftables.
 *
 * Ingress (what the dyno sends) passes whole IPv4 packets from the link's pinned address that
 * the kernel would route on to somebody else's link, what goes to ports of the host that are
 * open, and answers of a web dyno to the host.
 * It marks what it passes; the nftables table takes that mark off, and a routing rule
 * drops what still has it. Egress (what goes to the dyno) passes what carries the mark
 * that the table puts on. So without the table nothing comes in or goes out.
 *
 * Two programs and two maps serve all links: a dyno costs map elements. The filters hold
 * the programs and these the maps, so nothing is pinned anywhere and nothing depends on a
 * living process; a restarted dynod makes new maps and replaces the programs.
 *
 * A third one is for what comes in within a dyno, from itself: nothing that is for a group.
 */

#include <netinet/in.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct TcProgram {
        int map_fd, ports_fd;
        int ingress_fd, egress_fd, inside_fd;
        uint32_t ingress_id, egress_id, inside_id; /* the kernel's, to recognise them on a link */
} TcProgram;

#define TC_PROGRAM_EMPTY                                                                           \
        {                                                                                          \
                .map_fd = -EBADF, .ports_fd = -EBADF, .ingress_fd = -EBADF, .egress_fd = -EBADF,   \
                .inside_fd = -EBADF                                                                \
        }

/* Priority, up to the table's first chains, of what goes to a neighbour that is not known. */
#define TC_PRIORITY_STRANGER 1

/* Firewall marks of an instance. They never leave the host. */
typedef struct TcMarks {
        uint32_t from_dyno; /* on from the filter to the table's first chain */
        uint32_t to_dyno;   /* on from the table's last chain to the filter */
} TcMarks;

/**
 * tc_program_load() - make the map and load both programs
 * @ret:          filled on success; release with tc_program_close()
 * @marks:        of this instance
 * @resolvers:    name servers; port 53 of one that is link-local or a cloud's metadata
 *                address, as in some clouds, is the only thing there that a dyno may reach
 * @n_resolvers:  at most CONFIG_RESOLVERS_MAX
 *
 * Return: 0 or a negative errno: the kernel lacks or forbids it.
 */
int tc_program_load(
        TcProgram *ret, TcMarks marks, const struct in_addr *resolvers, size_t n_resolvers)
        _must_check_;
void tc_program_close(TcProgram *program);

/**
 * tc_program_set() - tell the programs about a link
 * @program:   loaded
 * @ifindex:   of the host end
 * @dyno:      the only source address, the only destination
 * @web_port:  whose answers may go to the host; 0 for none
 *
 * A link that the map does not know passes nothing.
 *
 * Return: 0 or a negative errno.
 */
int tc_program_set(const TcProgram *program, int ifindex, struct in_addr dyno, uint32_t web_port)
        _must_check_;
int tc_program_forget(const TcProgram *program, int ifindex); /* -ENOENT if not known */

/* Reads the link's entry back. -ENOENT if the map does not know it. */
int tc_program_get(
        const TcProgram *program, int ifindex, struct in_addr *ret_dyno, uint32_t *ret_web_port)
        _must_check_;

/* A port of the host that dynos may open. */
typedef struct TcPort {
        int ifindex; /* of the link that may, 0: of all */
        struct in_addr address;
        uint8_t protocol; /* IPPROTO_TCP or _UDP */
        uint16_t port;
} TcPort;

/* Opening an open one is no error; closing or checking one that is not open is -ENOENT. */
int tc_program_open_port(const TcProgram *program, const TcPort *port) _must_check_;
int tc_program_close_port(const TcProgram *program, const TcPort *port);
int tc_program_check_port(const TcProgram *program, const TcPort *port) _must_check_;
