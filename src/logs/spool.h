/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The bytes that were taken from one FIFO and are not yet all lines in the history.
 *
 * spool_take() moves bytes from the FIFO to the file in one splice(2): whenever the
 * logger is killed, each byte is in exactly one of the two, and the file's size says
 * how many were taken. Offsets count from the making of the spool and only grow; the
 * file is emptied now and then, so it begins with a head that says which offset its
 * first byte has (base), and up to where lines were made of it (done).
 *
 * done is written after the batch in the history that it belongs to. If the logger is
 * killed between the two, spool_redo() brings it forward from the history's last batch:
 * nothing is lost and nothing is doubled.
 */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"

enum {
        _SPOOL_E_OK,

        SPOOL_E_EMPTY, /* nothing in the FIFO now */
        SPOOL_E_END,   /* nothing in it, and nobody has it open for writing */
        SPOOL_E_FULL,  /* SPOOL_BYTES are waiting: make lines first */
};

/* Taken and not yet lines; beyond that the FIFO fills up and the writer waits. */
#define SPOOL_BYTES ((size_t)4 * 1024 * 1024)

typedef struct Spool Spool;

/**
 * spool_open() - open or make a spool
 * @ret:     owned by the caller
 * @dir_fd:  the app's folder; borrowed, outlives the spool
 * @name:    its file there; copied
 *
 * Return: 0, -EBADMSG (the file is not a spool), or another negative errno.
 */
int spool_open(Spool **ret, int dir_fd, const char *name) _must_check_;

/* Closes it; the file stays. Return: NULL. */
Spool *spool_free(Spool *spool);
DEFINE_CLEANUP(Spool, spool_free)

/* Removes the file. The spool must be freed next. */
void spool_remove(Spool *spool);

/**
 * spool_take() - move bytes from a FIFO into the spool
 * @spool:     the spool
 * @fifo:      read end, non-blocking; borrowed
 * @max:       at most so many bytes
 * @ret_size:  how many it was, at least 1 when 0 is returned
 *
 * Return: 0, a SPOOL_E_*, or a negative errno (-ENOSPC: the bytes stay in the FIFO).
 */
int spool_take(Spool *spool, int fifo, size_t max, size_t *ret_size) _must_check_;

uint64_t spool_done(const Spool *spool);
uint64_t spool_pending(const Spool *spool); /* bytes taken and not done */

/* Reads up to @size bytes that are not done. Return: how many, or a negative errno. */
ssize_t spool_read(const Spool *spool, char *buf, size_t size) _must_check_;

/**
 * spool_commit() - write down that everything before @done is in the history
 * @spool:  the spool
 * @done:   from spool_done() to its sum with spool_pending()
 *
 * Return: 0 or a negative errno; the spool itself goes on from @done in any case.
 */
int spool_commit(Spool *spool, uint64_t done) _must_check_;

/* After spool_open(): the history says that all before @done is in it. Return: as above. */
int spool_redo(Spool *spool, uint64_t done) _must_check_;
