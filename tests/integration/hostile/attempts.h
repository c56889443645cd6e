/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a service tries once it is locked in. Each attempt is answered by 0 (it worked) or a
 * negative errno.
 */

typedef void (*AttemptSay)(const char *name, int result);

/*
 * Calls that no service has. Their arguments are such that a kernel that lets them through
 * does nothing worse than to answer with another errno than a filter.
 */
void attempt_calls(AttemptSay say);

/**
 * attempt_files() - what Landlock is there for
 * @own:      folder that the service may write
 * @outside:  folder open to everybody, with files "victim", "spare" and "other", and a
 *            socket for datagrams
 * @pid:      process of the service's uid that it has not started
 * @say:      is told
 */
void attempt_files(const char *own, const char *outside, int pid, AttemptSay say);

/* The same for one that sees nothing but its own folder. */
void attempt_own(const char *own, AttemptSay say);

/* From before it locks itself in: root's questions (ipc/watchdog.h) are answered, whatever it does. */
void answer_watchdog(int fd);

/* poll(2) of one, which those answers do not interrupt. */
int wait_for(int fd, short events, int msec);
