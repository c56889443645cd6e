/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the apps' dynos may reach: one LaunchPolicy per app number, as the supervisor said
 * it. The launcher keeps a copy of each on disk, so that the table that a restarted dynod
 * loads has them in it from its first moment.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "ipc/launch_proto.h"
#include "sandbox/net.h"

/* Before net_start(): what was in force. It is not judged again. 0 or -ENOMEM. */
int net_policy_restore(Net *net, const LaunchPolicy *policy) _must_check_;

/* The policy in force for an app, or NULL. Borrowed until the next change. */
const LaunchPolicy *net_policy_find(const Net *net, uint32_t app_number);

size_t net_policy_count(const Net *net);

/**
 * net_policy_check() - can this host do what a policy asks for
 * @net:        the network
 * @policy:     a checked message
 * @ret_taken:  a new published port that somebody has, too, or 0
 *
 * What is in force for the app already is not judged again. A user who listens on a port, and a
 * source that is missing, stop only a policy that is asked for: one from the store was
 * taken when the host had all of that, and will be right when it has again.
 *
 * Return: 0; -EADDRINUSE: a published port is another app's or something listens on it;
 * -EADDRNOTAVAIL: the fixed source is no address of the host, or one within it only; or a
 * negative errno.
 */
int net_policy_check(Net *net, const LaunchPolicy *policy, uint16_t *ret_taken) _must_check_;

/**
 * net_policy_set() - put a policy in force
 * @net:     the network, after net_start()
 * @policy:  a checked message; serial 0 takes the app's policy away
 *
 * One transaction: every packet is judged by the old policy or by the new one. On failure
 * the old one stays.
 *
 * Return: 0, NET_E_FIREWALL, or a negative errno.
 */
int net_policy_set(Net *net, const LaunchPolicy *policy) _must_check_;

/* Does it say the same? Not compared: who asked, and when. */
bool net_policy_equal(const LaunchPolicy *a, const LaunchPolicy *b);

/* The host has not the app's fixed source: until it has, its dynos reach nothing. */
bool net_policy_source_is_gone(const Net *net, uint32_t app_number);

/* An app whose source went, or came back, since it was named here last. False: there is none. */
bool net_policy_source_news(Net *net, uint32_t *ret_app_number);
