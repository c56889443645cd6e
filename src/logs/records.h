/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A growing buffer of LogRecords with their texts, one behind the other. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "ipc/log_proto.h"

typedef struct RecordBuffer {
        char *data;
        size_t size;      /* bytes in use */
        size_t allocated; /* bytes */
        size_t n;         /* records */
} RecordBuffer;

#define _cleanup_records_ _cleanup_(record_buffer_clear)

/* Releases the memory; the buffer is empty and usable again. */
void record_buffer_clear(RecordBuffer *buffer);

/* Empties the buffer and keeps its memory. */
void record_buffer_reset(RecordBuffer *buffer);

/**
 * record_buffer_add() - append one record
 * @buffer:  the buffer
 * @record:  its head; text_size bytes of @text are copied
 * @text:    may be NULL if text_size is 0
 *
 * Return: 0 or -ENOMEM.
 */
int record_buffer_add(RecordBuffer *buffer, const LogRecord *record, const char *text) _must_check_;

/* Appends @size bytes that hold @n whole records. Return: 0 or -ENOMEM. */
int record_buffer_append(RecordBuffer *buffer, const char *data, size_t size, size_t n)
        _must_check_;

/* Drops the first @n records, all if there are fewer. */
void record_buffer_drop_first(RecordBuffer *buffer, size_t n);

/**
 * record_buffer_merge() - merge by time, and keep the newest
 * @into:       buffer in order of time; gets the result
 * @more:       another one
 * @max_lines:  records to keep at most
 * @max_bytes:  bytes to keep at most
 *
 * Return: 0 or -ENOMEM; @into is unchanged then.
 */
int record_buffer_merge(
        RecordBuffer *into, const RecordBuffer *more, size_t max_lines, size_t max_bytes)
        _must_check_;

/**
 * record_next() - read one record of a buffer that may hold anything
 * @data:  bytes
 * @size:  how many
 * @ret:   the record's head; its text is at @data + sizeof(LogRecord)
 *
 * Return: size of the record with its text; 0 if there is no whole and valid one.
 */
size_t record_next(const char *data, size_t size, LogRecord *ret);
