/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Starts a program of dynod's own as somebody unprivileged.
 *
 * Between fork and exec the child gives up everything that the program may not have: it
 * sees of the state folder only what is its own, and has no capability, no network if
 * it needs none, no descriptor but those in its table, and no environment.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct ChildSpec {
        const char *path;  /* of the program, absolute */
        char *const *argv; /* NULL-terminated */
        const int *fds;    /* become 3, 4, …; borrowed */
        size_t n_fds;
        uid_t uid; /* 0: stays root, with the capabilities that dynod has */
        gid_t gid;
        const char *state_dir; /* hidden but for @own_dir; NULL: leave all folders as they are */
        const char *own_dir;   /* name of its folder in @state_dir, which exists */
        const char *profile;   /* AppArmor profile to change to, or NULL */
        bool no_network;       /* give it an empty network namespace */
        bool outlives_us;      /* do not end it when dynod ends */
} ChildSpec;

/**
 * child_spawn() - fork, confine and exec
 * @spec:       what to start
 * @ret_pid:    its pid
 * @ret_pidfd:  owned by the caller; readable when it has ended
 *
 * Return: 0 or a negative errno, the child's own included: then nothing runs.
 */
int child_spawn(const ChildSpec *spec, pid_t *ret_pid, int *ret_pidfd) _must_check_;

/**
 * child_wait() - wait for the end of a child
 * @pidfd:  from child_spawn()
 *
 * Return: its status, 0 to 255, 128+n for signal n; or a negative errno.
 */
int child_wait(int pidfd);
