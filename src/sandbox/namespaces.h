/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * User namespaces made ahead, and the way into the other ones.
 *
 * A dyno's user namespace is made by a short-lived process with the dyno's own uid, so
 * that it is the owner: the kernel counts inotify instances and the like per owner of
 * the namespace, and with root as owner two dynos would exhaust each other and the host.
 * It owns no other namespace: its root could do nothing, even if it got to be.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef struct IdRange {
        uint32_t inside;
        uint32_t outside;
        uint32_t count;
} IdRange;

/*
 * The kernel lets anybody in a user namespace say once which projects of the host are in it, and
 * takes no empty list. A project that no file has.
 */
#define USERNS_PROJECT UINT32_C(0xfffffffe)

/**
 * userns_create() - make a user namespace
 * @owner:   uid and gid that shall own it
 * @map:     mapping, for uids and gids alike
 * @n_map:   how many ranges, at most 4
 * @ret_fd:  the namespace, owned by the caller
 *
 * setgroups(2) is denied in it, no project of a quota but USERNS_PROJECT is in it, and no
 * namespace of any kind can be made in it. Needs CAP_SETUID and CAP_SETGID for becoming @owner and
 * for mapping ids that are not ours, CAP_SYS_ADMIN where user namespaces are not for
 * everybody, CAP_SYS_PTRACE to open the namespace of a process of another user.
 *
 * Return: 0 or a negative errno.
 */
int userns_create(uid_t owner, const IdRange *map, size_t n_map, int *ret_fd) _must_check_;

/**
 * namespaces_join() - enter the namespaces of a dyno but those of users and cgroups
 * @pidfd:  of its dyno-init
 *
 * The pid namespace holds for children only. Root and working folder become the dyno's.
 * Needs CAP_SYS_ADMIN, CAP_SYS_CHROOT and CAP_SYS_PTRACE.
 */
int namespaces_join(int pidfd) _must_check_;
