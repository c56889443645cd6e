/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The ruleset: a readable file with a few @@PLACEHOLDERS@@, filled in here and loaded by
 * dynod-firewall, so that libnftables and its parser are in no lasting process.
 *
 * Text of our own package in, text out; nothing that a tenant or a client wrote.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/cleanup.h"

/* Value of a placeholder: either @text or what @write prints. */
typedef struct FirewallPlaceholder {
        const char *name; /* without the @@s: capitals and '_' */
        const char *text;
        void (*write)(FILE *out, void *userdata); /* if @text is NULL */
} FirewallPlaceholder;

/**
 * firewall_rules_render() - fill in a template
 * @template:  NUL-terminated
 * @values:    placeholders, ended by a NULL name
 * @userdata:  for their @write
 * @out:       where the result goes; not flushed
 *
 * Return: 0, -EINVAL if @template has a placeholder that is not in @values or an
 * unpaired @@, or -EIO.
 */
int firewall_rules_render(
        const char *template, const FirewallPlaceholder *values, void *userdata, FILE *out)
        _must_check_;

/**
 * firewall_rules_load() - have a ruleset loaded, in one transaction
 * @libexec_dir:  where dynod-firewall is
 * @rules_fd:     file to read it from, from its start; borrowed
 * @timeout_usec: after this long the child is killed
 * @ret_pid:      of the child, which has ended; also on failure, then it may be 0
 *
 * Waits for the child. What the kernel or the parser says is on stderr.
 *
 * Return: 0, 1 if the ruleset was refused, or a negative errno: the child could not run, or
 * (-ETIMEDOUT) was ended, and what it did is not known.
 */
int firewall_rules_load(
        const char *libexec_dir, int rules_fd, uint64_t timeout_usec, pid_t *ret_pid) _must_check_;
