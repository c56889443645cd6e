/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What makes one dynod the only one of its kind: a lock on its folders, and a notice in
 * /run/dynod.instances that other instances on this host read before they take uids or
 * addresses.
 */

#include "config/config.h"

typedef struct Instance {
        int state_dir_fd; /* O_PATH-like directory descriptors, owned */
        int run_dir_fd;
        int lock_fd;   /* flock on state_dir/lock, for as long as we live */
        int notice_fd; /* flock on /run/dynod.instances/NAME */
} Instance;

#define INSTANCE_INIT                                                                              \
        { .state_dir_fd = -EBADF, .run_dir_fd = -EBADF, .lock_fd = -EBADF, .notice_fd = -EBADF }

/**
 * instance_open() - make the folders, lock them, and check the neighbours
 * @ret:      filled; release with instance_close()
 * @config:   the configuration
 * @reterr:   filled with a sentence on -EBUSY and -EADDRINUSE
 *
 * Return: 0, -EBUSY (a dynod already runs on these folders), -EADDRINUSE (another
 * instance has these uids or addresses), or a negative errno.
 */
int instance_open(Instance *ret, const Config *config, ConfigError *reterr) _must_check_;
void instance_close(Instance *instance);

/* Removes the notice and the runtime folder: nothing of the instance is left in /run. */
void instance_remove(const Config *config);
