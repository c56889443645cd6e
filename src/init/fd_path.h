/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The path under which one of our own descriptors can be opened once more, with other
 * flags and its own file position: open(2) checks the permissions of the file itself.
 */

#define FD_PATH_SIZE 16 /* "/proc/self/fd/N" */

/* @fd: 0 to 9, one of ipc/init_fds.h */
static inline void fd_path(char ret[FD_PATH_SIZE], int fd) {
        static const char prefix[] = "/proc/self/fd/";

        for (int i = 0; i < FD_PATH_SIZE - 2; i++)
                ret[i] = prefix[i];
        ret[FD_PATH_SIZE - 2] = (char)('0' + fd);
        ret[FD_PATH_SIZE - 1] = '\0';
}
