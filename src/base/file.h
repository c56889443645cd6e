/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whole reads and writes, and files that are replaced atomically. */

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

/**
 * write_all() - write(2) until everything is written
 * @fd:    blocking descriptor; borrowed
 * @data:  bytes to write
 * @size:  how many
 *
 * Return: 0 or a negative errno; part of @data may have been written then.
 */
int write_all(int fd, const void *data, size_t size) _must_check_;

/**
 * read_text_at() - read a small file, NUL-terminated
 * @dir_fd:  directory, or AT_FDCWD
 * @name:    path below @dir_fd; links are not followed in its last part
 * @buf:     filled; always NUL-terminated on success
 * @size:    size of @buf, at least 1; a file that does not fit is -E2BIG
 *
 * Return: bytes read without the NUL, or a negative errno.
 */
ssize_t read_text_at(int dir_fd, const char *name, char *buf, size_t size) _must_check_;

/**
 * write_text_at() - write a string to an existing file in one write(2)
 * @dir_fd:  directory, or AT_FDCWD
 * @name:    path below @dir_fd: a file of procfs, sysfs or cgroupfs
 * @text:    NUL-terminated
 *
 * Return: 0 or a negative errno.
 */
int write_text_at(int dir_fd, const char *name, const char *text) _must_check_;

/**
 * dir_open_at() - list a directory
 * @dir_fd:  directory, or AT_FDCWD
 * @name:    path below @dir_fd, "." for itself; a link in its last part is -ELOOP or -ENOTDIR
 * @ret:     closedir(3) it; independent of @dir_fd and of its position
 *
 * Return: 0 or a negative errno.
 */
int dir_open_at(int dir_fd, const char *name, DIR **ret) _must_check_;

/**
 * dir_next_number() - go on to the next entry that is a number
 * @dir:     where readdir(3) goes on
 * @prefix:  what stands before it, "" for nothing
 * @budget:  entries to look at, counted down; NULL: however many somebody made
 * @ret:     the number, from 1, written as "%u"
 *
 * Return: false at the end, or when the budget is used up.
 */
bool dir_next_number(DIR *dir, const char *prefix, size_t *budget, uint32_t *ret);

typedef enum FileSync {
        FILE_SYNC_NONE, /* atomic, but may be lost by a power failure: for /run */
        FILE_SYNC_DISK, /* atomic and durable */
} FileSync;

/**
 * file_replace_at() - replace a file atomically
 * @dir_fd:  directory; borrowed
 * @name:    final file name, no '/'
 * @data:    contents, may be NULL if @size is 0
 * @size:    bytes in @data
 * @mode:    permission bits
 * @sync:    whether the change must survive a power failure
 *
 * After a crash the file holds either the old or the new contents, never a mix.
 *
 * Return: 0 or a negative errno. On failure @name is old or new, still never a mix.
 */
int file_replace_at(
        int dir_fd, const char *name, const void *data, size_t size, mode_t mode, FileSync sync)
        _must_check_;
