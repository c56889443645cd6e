/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A tenant's bytes, cut into lines: whatever they are and however they arrive, the lines
 * and newlines put together again are the bytes, and no line is too long or holds a
 * newline. The first two bytes say how many arrive at a time.
 *
 * Covers: logs/framing.c ipc/log_proto.c
 */

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ipc/log_proto.h"
#include "logs/framing.h"
#include "logs/records.h"

static void check_line(const char *line, const LogFrame *frame) {
        assert(frame->text_size <= LOG_TEXT_MAX);
        assert(!memchr(line, '\n', frame->text_size));
        assert(frame->used == frame->text_size ||
               (frame->used == frame->text_size + 1 && line[frame->text_size] == '\n'));
        assert(frame->used > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const char *bytes = (const char *)data + 2;
        size_t step, have = 0, done = 0, lines = 0;
        LogRecord record;
        LogFrame frame;

        /* What stands in a history file is read with the same distrust. */
        (void)record_next((const char *)data, size, &record);
        (void)!log_message_check(data, size, 0);
        (void)!log_message_check(data, size, 1);

        if (size < 2)
                return 0;
        step = (size_t)(data[0] | data[1] << 8) + 1;
        size -= 2;

        while (have < size) {
                have = size - have > step ? have + step : size;
                while (log_frame_next(bytes + done, have - done, false, &frame)) {
                        check_line(bytes + done, &frame);
                        done += frame.used;
                        lines++;
                }
                assert(have - done <= LOG_TEXT_MAX);
        }
        while (log_frame_next(bytes + done, size - done, true, &frame)) {
                check_line(bytes + done, &frame);
                done += frame.used;
                lines++;
        }
        assert(done == size);
        /* The pieces in which bytes arrive make no difference. */
        assert(lines == log_frame_count(bytes, size, true));
        return 0;
}
