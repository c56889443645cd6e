/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * AppArmor: into the dyno's profile, and what the kernel says of it.
 *
 * The change is immediate and comes before no_new_privs, because AppArmor refuses a
 * confined process with no_new_privs any other profile. It goes through a procfs that
 * was mounted for this one dyno, so that nothing else can catch the write.
 */

#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"

#define APPARMOR_LABEL_MAX 128 /* bytes of a label as shown by /proc, with mode and NUL */

/* True if the kernel runs with AppArmor enabled. */
bool apparmor_is_enabled(void);

/* True if the profile is loaded, by the kernel's list. Needs to read securityfs as root. */
bool apparmor_has_profile(const char *profile);

/**
 * apparmor_change_profile() - change this thread's profile now, and read it back
 * @proc_fd:  procfs of the own pid namespace
 * @profile:  loaded profile
 *
 * Return: 0, -EPROTO if the label is another one afterwards, or a negative errno.
 */
int apparmor_change_profile(int proc_fd, const char *profile) _must_check_;

/**
 * apparmor_read_label() - the label of a process
 * @proc_pid_fd:  an open /proc/PID, or a procfs's "self"
 * @ret:          "NAME (enforce)", without newline
 */
int apparmor_read_label(int proc_pid_fd, char ret[APPARMOR_LABEL_MAX]) _must_check_;

/* True if @label is @profile in enforce mode. */
bool apparmor_label_is(const char *label, const char *profile);
