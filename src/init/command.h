/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The dyno's command: forked, prepared and executed. */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "init/streams.h"
#include "ipc/dyno_spec.h"

typedef struct Command {
        pid_t pid;
        int error_fd; /* command_error() reads it */
} Command;

/**
 * command_start() - fork and execute
 * @ret:           filled; error_fd is owned by the caller
 * @spec:          arguments and environment
 * @streams:       command[] become 0 to 2; still open in the caller
 * @die_with_us:   SIGKILL for the command when this process dies: `ps:exec`
 *
 * All signals are blocked in the caller. The command is the leader of a new session,
 * starts in /app with umask 022 and default signals, and has no descriptor but 0 to 2.
 *
 * Return: 0 once it is forked, or a negative errno.
 */
int command_start(Command *ret, const DynoSpec *spec, const Streams *streams, bool die_with_us)
        _must_check_;

/**
 * command_error() - why an ended command never ran
 * @command:  ended; error_fd is closed
 *
 * Return: 0 if it was executed, else a positive errno.
 */
int command_error(Command *command);

/* What a command that could not be executed ends with, as a shell: 127 or 126. */
int command_error_status(int error);
