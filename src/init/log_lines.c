/* SPDX-License-Identifier: Apache-2.0 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "init/fd_path.h"
#include "init/log_lines.h"

#define CUT "..."

/* A control character is written as \n, \t or \xHH: nobody makes a second line out of one. */
static size_t escape_char(char ret[4], char c) {
        static const char hex[] = "0123456789abcdef";
        unsigned char u = (unsigned char)c;

        if (u >= ' ' && u != 0x7f) {
                ret[0] = c;
                return 1;
        }
        ret[0] = '\\';
        if (c == '\n' || c == '\t') {
                ret[1] = c == '\n' ? 'n' : 't';
                return 2;
        }
        ret[1] = 'x';
        ret[2] = hex[u >> 4];
        ret[3] = hex[u & 15];
        return 4;
}

/* Appends @text to what @ret has, up to @max. Return: false if it had to be cut. */
static bool append_escaped(char *ret, size_t *have, size_t max, const char *text) {
        for (; *text; text++) {
                char c[4];
                size_t n = escape_char(c, *text);

                if (n > max - *have)
                        return false;
                memcpy(ret + *have, c, n);
                *have += n;
        }
        return true;
}

/* Takes a UTF-8 character off the end of @ret if it is not whole. */
static size_t drop_partial_character(const char *ret, size_t have) {
        size_t start = have;

        while (start > 0 && have - start < 3 && ((unsigned char)ret[start - 1] & 0xc0) == 0x80)
                start--;
        if (start > 0 && (unsigned char)ret[start - 1] >= 0xc0)
                return start - 1; /* whole or not, nothing is lost that is worth a decoder */
        return have;
}

size_t log_line_format(char ret[LOG_LINE_SIZE], const char *const *parts) {
        size_t max = LOG_LINE_SIZE - 1; /* the newline */
        size_t have = 0;
        size_t rest = 0;

        assert(ret && parts);

        /* Only the second part can be long; the others are ours. */
        for (size_t i = 2; parts[0] && parts[1] && parts[i]; i++)
                rest += strlen(parts[i]);
        assert(rest < LOG_LINE_SIZE / 2);

        for (size_t i = 0; parts[i]; i++) {
                size_t limit = i == 1 ? max - rest - strlen(CUT) : max;

                if (append_escaped(ret, &have, limit, parts[i]))
                        continue;
                have = drop_partial_character(ret, have);
                (void)append_escaped(ret, &have, max - rest, CUT);
        }

        ret[have++] = '\n';
        return have;
}

int log_lines_open(LogLines *log, int fd) {
        char path[FD_PATH_SIZE];

        fd_path(path, fd);
        log->n = 0;
        log->fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        return log->fd < 0 ? -errno : 0;
}

int log_lines_flush(LogLines *log) {
        size_t done = 0;
        int r = 0;

        while (done < log->n) {
                ssize_t n = write(log->fd, log->lines[done], log->sizes[done]);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == EAGAIN || errno == ENOMEM)) {
                        r = -errno;
                        break;
                }
                done++; /* written, or never to be: no reader can exist any more */
        }

        log->n -= done;
        if (done > 0 && log->n > 0) {
                memmove(log->lines[0], log->lines[done], log->n * sizeof(log->lines[0]));
                memmove(log->sizes, log->sizes + done, log->n * sizeof(log->sizes[0]));
        }
        return r;
}

void log_lines_add(LogLines *log, const char *const *parts) {
        if (log->fd < 0 || log->n == LOG_LINES_QUEUED_MAX)
                return;

        log->sizes[log->n] = log_line_format(log->lines[log->n], parts);
        log->n++;
        (void)log_lines_flush(log);
}
