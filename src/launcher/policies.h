/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The apps' network policies, kept in run_dir/policies so that they outlive dynod and the
 * supervisor: a file for each app that has one, named by its number.
 */

#include "launcher/launcher.h"

/* Opens or makes the folder. Return: 0 or a negative errno. */
int policies_open(Launcher *launcher) _must_check_;

/**
 * policies_restore() - tell the network what was in force
 * @launcher:  dynos are adopted, the network is not started
 *
 * Where a file is damaged, or that of a living dyno is gone, the app reaches nothing
 * until the supervisor says what it may.
 *
 * Return: 0 or a negative errno.
 */
int policies_restore(Launcher *launcher) _must_check_;

/* LAUNCH_POLICY. As net_policy_check() and net_policy_set(); -EIO: refused by the kernel. */
int policies_set(Launcher *launcher, const LaunchPolicy *policy, uint16_t *ret_taken) _must_check_;

/* LAUNCH_SOURCE: tells the supervisor whether the host has an app's fixed source. */
void policies_say_source(Launcher *launcher, uint32_t app_number);
/* The same, of every app for which it changed. */
void policies_say_news(Launcher *launcher);

/* Is what @start was decided under what is in force? 0, or -ESTALE with @reterr filled. */
int policies_check_start(const Launcher *launcher, const LaunchStart *start, SandboxError *reterr)
        _must_check_;
