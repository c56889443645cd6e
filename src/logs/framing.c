/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <string.h>

#include "ipc/log_proto.h"
#include "logs/framing.h"

bool log_frame_next(const char *buf, size_t size, bool last, LogFrame *ret) {
        const char *newline;
        size_t window = size;

        assert(buf || size == 0);
        assert(ret);

        if (size == 0)
                return false;

        /* The newline of a line that is just long enough stands at LOG_TEXT_MAX. */
        if (window > LOG_TEXT_MAX + 1)
                window = LOG_TEXT_MAX + 1;

        newline = memchr(buf, '\n', window);
        if (newline) {
                ret->text_size = (size_t)(newline - buf);
                ret->used = ret->text_size + 1;
                return true;
        }

        if (size > LOG_TEXT_MAX)
                ret->text_size = LOG_TEXT_MAX;
        else if (last)
                ret->text_size = size;
        else
                return false;

        ret->used = ret->text_size;
        return true;
}

size_t log_frame_count(const char *buf, size_t size, bool last) {
        LogFrame frame;
        size_t n = 0;

        while (log_frame_next(buf, size, last, &frame)) {
                buf += frame.used;
                size -= frame.used;
                n++;
        }
        return n;
}
