/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Making files below one folder, as the entries of an archive ask for them.
 *
 * Every entry is resolved anew below the folder with openat2(2), and no link is ever
 * followed: an archive cannot reach out, nor reach one of its own entries through another
 * one. A later entry replaces an earlier one of the same name, as with GNU tar. But of links of
 * one name GNU tar keeps the first if that leaves the tree: a second that says otherwise is
 * UNPACK_CORRUPT.
 *
 * Return of all: 0, a positive UnpackReason, or a negative errno.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/cleanup.h"
#include "ipc/unpack_proto.h"

typedef struct TreeWriter TreeWriter;

/* What an archive may ask for, counted down; the caller's. */
typedef struct TreeBudget {
        uint64_t folders;      /* that no entry is about, but that are on the way to one */
        uint64_t folder_bytes; /* of memory for what is to be done to folders at the end */
} TreeBudget;

typedef struct TreeEntry {
        const char *path; /* normalised; "" is the folder itself */
        mode_t mode;      /* 0777 at most */
        struct timespec mtime;
        bool is_inside; /* "path/.": passes through what is there, as no link may be */
} TreeEntry;

/* @root_fd: the folder, O_PATH; borrowed. @budget: borrowed. Return: 0 or -ENOMEM. */
int tree_writer_new(TreeWriter **ret, int root_fd, TreeBudget *budget) _must_check_;
TreeWriter *tree_writer_free(TreeWriter *writer);
DEFINE_CLEANUP(TreeWriter, tree_writer_free)

/*
 * Missing parents are made with mode 0755; where the budget is used up, the reason is
 * UNPACK_TOO_MANY_ENTRIES.
 */
/* A folder's mode and time are set at the end. */
int tree_writer_folder(TreeWriter *writer, const TreeEntry *entry) _must_check_;
/* @ret_fd: open for writing, owned by the caller, who sets the time when it is written. */
int tree_writer_file(TreeWriter *writer, const TreeEntry *entry, int *ret_fd) _must_check_;
int tree_writer_symlink(TreeWriter *writer, const TreeEntry *entry, const char *target)
        _must_check_;
/* @target: normalised; an earlier entry, not a folder, else UNPACK_HARDLINK_OUTSIDE. */
int tree_writer_hardlink(TreeWriter *writer, const TreeEntry *entry, const char *target)
        _must_check_;

/* Sets the modes and times of all folders. */
int tree_writer_finish(TreeWriter *writer) _must_check_;

/* Opens a folder below @root_fd without following links. Return: a descriptor or a negative errno. */
int tree_open_folder(int root_fd, const char *path, int flags) _must_check_;
