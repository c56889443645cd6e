/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The clsact queueing discipline of a link and the programs on it. */

#include "base/cleanup.h"
#include "sandbox/net_rtnl.h"
#include "sandbox/tc_program.h"

/**
 * tc_filter_attach() - put the programs on a link, or in the place of older ones
 * @rtnl:     of the host's namespace
 * @ifindex:  the host end
 * @program:  loaded
 *
 * Each direction changes over atomically: no packet passes unfiltered in between.
 *
 * Return: 0 or a negative errno.
 */
int tc_filter_attach(NetRtnl *rtnl, int ifindex, const TcProgram *program) _must_check_;

/* 0 if both programs of @program are on the link, -ENOENT if not, or a negative errno. */
int tc_filter_check(NetRtnl *rtnl, int ifindex, const TcProgram *program) _must_check_;

/* The same for a link in a dyno's namespace, lo too, and the one program that is for these. */
int tc_filter_attach_inside(NetRtnl *rtnl, int ifindex, const TcProgram *program) _must_check_;
int tc_filter_check_inside(NetRtnl *rtnl, int ifindex, const TcProgram *program) _must_check_;
