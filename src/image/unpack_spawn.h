/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * How root starts dynod-unpacker: as a throw-away uid, in namespaces of its own, with
 * nothing open but the descriptors of ipc/unpack_proto.h.
 *
 * Used by the launcher through image/store.h. Nothing here waits: a child is known by
 * its pidfd, which becomes readable when it ends.
 */

#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

typedef enum UnpackMode {
        UNPACK_FETCH, /* copy an archive and hash it; parses nothing */
        UNPACK_EXTRACT_STACK,
        UNPACK_EXTRACT_SLUG,
        UNPACK_REMOVE, /* delete everything in the target folder */
        _UNPACK_MODE_MAX,
} UnpackMode;

typedef struct UnpackLimits {
        uint64_t max_bytes;   /* fetch: of the archive, 0 for none. extract: of the tree */
        uint64_t max_entries; /* extract */
        uint64_t max_ratio;   /* extract: unpacked to packed */
} UnpackLimits;

typedef struct UnpackJob {
        UnpackMode mode;
        int archive_fd; /* extract; fetch: -EBADF, it comes by @report_fd, or the store's own */
        int out_fd;     /* fetch: the file to write. extract, remove: the target folder, O_PATH */
        int report_fd;  /* fetch, extract: SOCK_SEQPACKET to the supervisor; may be -EBADF */
        int record_fd;  /* fetch: pipe for the FetchRecord */
        UnpackLimits limits;
        uid_t tree_uid; /* owner of the target on disk, for users and groups */
        uid_t uid;      /* throw-away uid, for users and groups */
        /*
         * Who owns through the mount what is root's on disk: the kernel lets nobody remove
         * a file of an owner that the mount does not know. 0: nothing in it is root's.
         */
        uid_t root_uid;
} UnpackJob;

typedef struct UnpackChild {
        pid_t pid;
        int pidfd; /* owned by the caller */
} UnpackChild;

#define UNPACK_CHILD_INIT                                                                          \
        { .pid = 0, .pidfd = -EBADF }

/**
 * unpack_spawn() - start dynod-unpacker
 * @program_fd:  the program, opened O_PATH or for reading; borrowed
 * @profile:     AppArmor profile to run it under, or NULL for none
 * @job:         descriptors are borrowed
 * @ret:         filled; the caller reaps it with unpack_reap()
 *
 * The child dies with this process (PR_SET_PDEATHSIG).
 *
 * Return: 0 or a negative errno.
 */
int unpack_spawn(int program_fd, const char *profile, const UnpackJob *job, UnpackChild *ret)
        _must_check_;

/**
 * unpack_reap() - collect a child whose pidfd is readable
 * @child:  its pidfd is closed and the struct emptied
 *
 * Return: 0 if it did its job, -EBADMSG if it refused the archive (it has told the
 * supervisor why), -EPROTO if it died or could not be confined, -EAGAIN if it still runs,
 * or another negative errno that ended its work.
 */
int unpack_reap(UnpackChild *child) _must_check_;

/*
 * Kills and collects a child, whose end takes milliseconds. One that waits for the disk does not
 * even die: after a second it is left, and dies of the signal. Does nothing for an empty struct.
 */
void unpack_child_kill(UnpackChild *child);

/* The same in two steps, for one that may wait for the disk: @wait_msec, then it is left. */
void unpack_child_signal(const UnpackChild *child);
void unpack_child_leave(UnpackChild *child, int wait_msec);
