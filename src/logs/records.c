/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "logs/records.h"

void record_buffer_clear(RecordBuffer *buffer) {
        free(buffer->data);
        *buffer = (RecordBuffer){0};
}

void record_buffer_reset(RecordBuffer *buffer) {
        buffer->size = 0;
        buffer->n = 0;
}

static int reserve(RecordBuffer *buffer, size_t more) {
        size_t want = buffer->allocated ? buffer->allocated : 4096;
        char *data;

        if (buffer->allocated - buffer->size >= more)
                return 0;
        while (want - buffer->size < more)
                want *= 2;

        data = realloc(buffer->data, want);
        if (!data)
                return -ENOMEM;
        buffer->data = data;
        buffer->allocated = want;
        return 0;
}

int record_buffer_append(RecordBuffer *buffer, const char *data, size_t size, size_t n) {
        int r = reserve(buffer, size);

        if (r < 0)
                return r;
        if (size > 0)
                memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        buffer->n += n;
        return 0;
}

int record_buffer_add(RecordBuffer *buffer, const LogRecord *record, const char *text) {
        int r;

        assert(record->text_size <= LOG_TEXT_MAX);
        assert(text || record->text_size == 0);

        r = reserve(buffer, sizeof(*record) + record->text_size);
        if (r < 0)
                return r;
        memcpy(buffer->data + buffer->size, record, sizeof(*record));
        if (record->text_size > 0)
                memcpy(buffer->data + buffer->size + sizeof(*record), text, record->text_size);
        buffer->size += sizeof(*record) + record->text_size;
        buffer->n++;
        return 0;
}

void record_buffer_drop_first(RecordBuffer *buffer, size_t n) {
        size_t pos = 0;

        for (; n > 0 && buffer->n > 0; n--, buffer->n--) {
                LogRecord record;

                memcpy(&record, buffer->data + pos, sizeof(record));
                pos += sizeof(record) + record.text_size;
        }
        assert(pos <= buffer->size);
        if (pos > 0)
                memmove(buffer->data, buffer->data + pos, buffer->size - pos);
        buffer->size -= pos;
}

/* Size of the record at @pos of a buffer, and its time; 0 behind the last one. */
static size_t record_at(const RecordBuffer *buffer, size_t pos, uint64_t *ret_usec) {
        LogRecord record;

        if (pos >= buffer->size)
                return 0;
        memcpy(&record, buffer->data + pos, sizeof(record));
        *ret_usec = record.usec;
        return sizeof(record) + record.text_size;
}

int record_buffer_merge(
        RecordBuffer *into, const RecordBuffer *more, size_t max_lines, size_t max_bytes) {
        _cleanup_records_ RecordBuffer out = {0};
        size_t a = 0, b = 0;
        int r;

        for (;;) {
                uint64_t usec_a = UINT64_MAX, usec_b = UINT64_MAX;
                size_t size_a = record_at(into, a, &usec_a);
                size_t size_b = record_at(more, b, &usec_b);

                if (size_a == 0 && size_b == 0)
                        break;
                if (size_a > 0 && (size_b == 0 || usec_a <= usec_b)) {
                        r = record_buffer_append(&out, into->data + a, size_a, 1);
                        a += size_a;
                } else {
                        r = record_buffer_append(&out, more->data + b, size_b, 1);
                        b += size_b;
                }
                if (r < 0)
                        return r;
        }

        if (out.n > max_lines)
                record_buffer_drop_first(&out, out.n - max_lines);
        while (out.size > max_bytes)
                record_buffer_drop_first(&out, out.n / 16 + 1);

        record_buffer_clear(into);
        *into = out;
        out = (RecordBuffer){0};
        return 0;
}

size_t record_next(const char *data, size_t size, LogRecord *ret) {
        if (size < sizeof(*ret))
                return 0;
        memcpy(ret, data, sizeof(*ret));
        if (log_record_check(ret) < 0 || size - sizeof(*ret) < ret->text_size)
                return 0;
        return sizeof(*ret) + ret->text_size;
}
