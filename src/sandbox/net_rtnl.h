/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Requests to the kernel's routing netlink, built with libnl, answered with real errnos
 * (libnl's own numbers lose them). A NetRtnl works on the network namespace that it was
 * opened in, whatever namespace the process is in later.
 */

#include <netlink/msg.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"

typedef struct NetRtnl NetRtnl;

/* Opens a socket in the current network namespace. 0 or a negative errno. */
int net_rtnl_open(NetRtnl **ret) _must_check_;
NetRtnl *net_rtnl_free(NetRtnl *rtnl);
DEFINE_CLEANUP(NetRtnl, net_rtnl_free)

static inline void nlmsg_freep(struct nl_msg **msg) {
        if (*msg)
                nlmsg_free(*msg);
}

/* The netlink port that requests come from. */
uint32_t net_rtnl_port(const NetRtnl *rtnl);

/* A descriptor of the network namespace of @rtnl, without any help of procfs. */
int net_rtnl_namespace(NetRtnl *rtnl, int *ret_fd) _must_check_;

/**
 * net_rtnl_request() - send one request and wait for its acknowledgement
 * @rtnl:  the socket
 * @msg:   the request; borrowed, or NULL: -ENOMEM, so that a builder need not be checked
 *
 * Return: 0 or the kernel's negative errno.
 */
int net_rtnl_request(NetRtnl *rtnl, struct nl_msg *msg) _must_check_;

/* Called for each message of an answer. A negative return ends and fails the dump. */
typedef int (*NetRtnlHandler)(struct nlmsghdr *answer, void *userdata);

/**
 * net_rtnl_query() - send one request and hand over every message of the answer
 * @rtnl:      the socket
 * @msg:       the request, with NLM_F_DUMP for a list; borrowed
 * @handler:   sees each answer
 * @userdata:  for @handler
 *
 * Return: 0, what @handler returned, or the kernel's negative errno; -EINTR if a list
 * changed while it was read: ask again.
 */
int net_rtnl_query(NetRtnl *rtnl, struct nl_msg *msg, NetRtnlHandler handler, void *userdata)
        _must_check_;
