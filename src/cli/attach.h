/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The client's side of `run` and `ps:exec`: the caller's terminal or pipes on one side,
 * the dyno's on the other. See ipc/attach_proto.h; no byte passes through the daemon.
 */

#include <stdbool.h>

#include "base/cleanup.h"

enum {
        _ATTACH_E_OK,

        ATTACH_E_LOST, /* the other side went away and said nothing: killed, or never started */
};

/**
 * attach_run() - be the terminal of a command until it ends
 * @socket_fd:   our end of the socket of ipc/attach_proto.h; borrowed
 * @tty:         the command was asked for with a terminal, and standard input is one
 * @ret_status:  the command's exit status, as a shell: 127 and 126 if it could not be
 *               executed, which is also said on standard error
 *
 * Copies standard input to the command and its output to standard output and error,
 * everything before the end of the command included. With @tty the caller's terminal is
 * raw meanwhile and gets its settings back on every way out, signals included; a signal
 * that would end this process still does, after that.
 *
 * Return: 0, ATTACH_E_LOST, -EBADMSG if the other side does not keep to the protocol, or
 * a negative errno.
 */
int attach_run(int socket_fd, bool tty, int *ret_status) _must_check_;
