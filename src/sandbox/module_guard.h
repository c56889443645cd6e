/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * No dyno has the host load a module, or start modprobe(8) to look for one.
 *
 * The kernel starts modprobe as root and in no dyno's cgroup, for instance when a program has
 * a format that it does not know (binfmt-XXXX, Linux up to 6.13). Before it does, it asks the
 * security modules; a BPF program there refuses whatever process is below the cgroup of all
 * dynos. It is pinned: it works while no dynod runs, and goes with `dynod --purge`.
 */

#include "base/cleanup.h"
#include "ipc/launch_proto.h"

/**
 * module_guard_install() - refuse modules to all below @cgroup_fd from now on
 * @instance:   names the pin; one of an earlier dynod is replaced, and there is no moment
 *              without one
 * @cgroup_fd:  folder of the cgroup that holds all dynos, open for reading
 *
 * Return: 0; -ENOPROTOOPT if bpf is none of this kernel's security modules, -ENODEV if there
 * is no BPF file system, or another negative errno.
 */
int module_guard_install(const char *instance, int cgroup_fd) _must_check_;

/* What there is of it now. */
ModuleGuard module_guard_look(const char *instance);

void module_guard_remove(const char *instance);
