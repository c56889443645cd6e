/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * No dyno has the host load a module, or start modprobe(8) to look for one.
 *
 * The kernel starts modprobe as root and in no dyno's cgroup, for instance when a program has
 * a format that it does not know (binfmt-XXXX, Linux up to 6.13). Before it does, it asks the
 * security modules; a BPF program there refuses whatever process is below the cgroup of all
 * dynos. It is pinned: it works while no dynod runs, and goes with `dynod --purge`. The child
 * dynod-modules (launcher/modules_main.c) loads it.
 */

#include "base/cleanup.h"
#include "base/names.h"
#include "ipc/launch_proto.h"

#define MODULE_GUARD_FOLDER "/sys/fs/bpf"
#define MODULE_GUARD_PATH_SIZE (sizeof(MODULE_GUARD_FOLDER "/-modules") + INSTANCE_NAME_SIZE)

/* Where the program of @instance is pinned. */
void module_guard_path(char ret[MODULE_GUARD_PATH_SIZE], const char *instance);

/**
 * module_guard_check() - can it be had on this host?
 *
 * Return: 0; -ENOPROTOOPT if bpf is none of this kernel's security modules, -ENODEV if there
 * is no BPF file system.
 */
int module_guard_check(void) _must_check_;

/* What there is of it now. */
ModuleGuard module_guard_look(const char *instance);

void module_guard_remove(const char *instance);
