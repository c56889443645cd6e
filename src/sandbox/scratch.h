/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scratch: what dynos write below /app, /tmp and /var/tmp, gone at their end.
 *
 * Either each dyno has a tmpfs, which rootfs.c mounts, or all share one file system, where
 * each has a folder in a quota project of its own:
 *
 *   MOUNT/INSTANCE/ID/          0700 root; app-upper app-work tmp var-tmp in it
 *   MOUNT/INSTANCE/.trash/ID/   of a dyno that is gone, to be emptied off the start path
 *
 * A project number is drawn anew for each start and must be unused, so what an earlier
 * dyno left in the trash counts for nobody else.
 */

#include <stdbool.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "config/config.h"
#include "ipc/launch_proto.h"

#define SCRATCH_TMPFS_SIZE (UINT64_C(512) << 20) /* bytes, where scratch_size says nothing */
#define SCRATCH_TMPFS_FILE 4096                  /* bytes of a tmpfs per file that it may have */
#define SCRATCH_BLOCK 1024 /* bytes: quotas are counted in these, whatever the file system's are */
#define SCRATCH_ERROR_SIZE 128

typedef struct Scratch {
        const Config *config;
        int root_fd, trash_fd; /* of a shared file system; negative: none, or not there */
        bool quota;            /* it enforces quotas of projects */
        uint64_t bytes, files; /* of the whole file system */
        char error[SCRATCH_ERROR_SIZE];
} Scratch;

#define SCRATCH_INIT                                                                               \
        { .root_fd = -EBADF, .trash_fd = -EBADF }

/* What the kernel says of a folder in scratch. */
typedef struct ScratchUse {
        uint32_t project; /* 0: none */
        bool inherited;   /* what is made in it belongs to the same project */
        uint64_t bytes, bytes_max, files, files_max;
} ScratchUse;

static inline bool scratch_is_shared(const Config *config) {
        return config->scratch != SCRATCH_TMPFS;
}

/**
 * scratch_open() - find the shared file system
 * @scratch:  @config is kept; on failure @error says why, and a later call may try again
 * @config:   borrowed
 *
 * Does nothing for a tmpfs. The file system must be a mount of its own that only root can
 * write to: a folder of the host's disk has no bounds.
 *
 * Return: 0 or a negative errno.
 */
int scratch_open(Scratch *scratch, const Config *config) _must_check_;
void scratch_close(Scratch *scratch);

/**
 * scratch_limit() - settle how much a dyno may write
 * @scratch:       open
 * @memory_total:  bytes that dynos may be promised altogether
 * @start:         its disk and disk_files become definite numbers, or 0 without a quota
 *
 * A dyno has the share of the file system that it has of the memory, less if its size says
 * so. Memory is never promised twice, so dynos cannot fill what another one was promised.
 */
void scratch_limit(const Scratch *scratch, uint64_t memory_total, LaunchStart *start);

/**
 * scratch_check_room() - see whether what a dyno is promised is there
 * @scratch:  shared and open; else there is nothing to check
 * @start:    disk and disk_files, from scratch_limit()
 *
 * What is in the trash is charged to nobody: without this, a dyno that fills its share, ends and
 * starts again would take what others were promised.
 *
 * Return: 0, -EDQUOT: not until more of the trash is removed, or a negative errno.
 */
int scratch_check_room(const Scratch *scratch, const LaunchStart *start) _must_check_;

/**
 * scratch_make() - make a dyno's folder
 * @scratch:  open and shared
 * @start:    id, disk and disk_files, from scratch_limit()
 * @ret_fd:   the folder, empty, owned by the caller
 *
 * Return: 0 or a negative errno; nothing is left on failure.
 */
int scratch_make(const Scratch *scratch, const LaunchStart *start, int *ret_fd) _must_check_;

/**
 * scratch_discard() - remove the folder of a dyno that runs no more
 * @scratch:  open and shared
 * @id:       of the dyno; it may have no folder
 *
 * Takes constant time: what holds anything is moved to the trash, as it is.
 *
 * Return: 0 or a negative errno; what stays is met by scratch_discard_others() again.
 */
int scratch_discard(const Scratch *scratch, const char *id) _must_check_;

/* Discards the folders whose dynos @is_known says no to, and takes back what was put aside. */
int scratch_discard_others(
        const Scratch *scratch,
        bool (*is_known)(void *userdata, const char *id),
        void *userdata) _must_check_;

/**
 * scratch_next_trash() - find a folder that is to be emptied
 * @scratch:  open and shared
 * @after:    the last one that was found, which is found again only if there is no other; or ""
 * @ret_id:   its name
 * @ret_fd:   the folder, O_PATH, owned by the caller; all in it belongs to its owner
 *
 * Return: 1, 0 if there is none, or a negative errno.
 */
int scratch_next_trash(
        const Scratch *scratch, const char *after, char ret_id[DYNO_ID_SIZE], int *ret_fd)
        _must_check_;

/* Removes an emptied folder of the trash. Else it is put aside for a later dynod: negative errno. */
int scratch_end_trash(const Scratch *scratch, const char *id) _must_check_;

/* Removes dynod's own folders, which must be empty. Return: 0 or a negative errno. */
int scratch_remove(const Scratch *scratch) _must_check_;

/* Of the folder @dir_fd, open for reading. Return: 0 or a negative errno. */
int scratch_read_project(int dir_fd, ScratchUse *ret) _must_check_;
/* What is counted for use->project; not for a folder of an overlay. Return: as above. */
int scratch_read_use(int dir_fd, ScratchUse *use) _must_check_;

/**
 * scratch_check() - compare what a dyno writes to with what was asked for
 * @scratch:  of the host
 * @start:    as the dyno was started with
 * @root_fd:  the dyno's root folder, O_PATH
 * @adopted:  an earlier dynod made it, perhaps with another kind of scratch
 * @ret:      for people: what is wrong, or how much is used
 * @size:     of @ret
 *
 * Return: what the kernel says.
 */
LayerVerdict scratch_check(
        const Scratch *scratch,
        const LaunchStart *start,
        int root_fd,
        bool adopted,
        char *ret,
        size_t size);
