/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Scope-bound release of resources.
 *
 * Every owning local is declared with _cleanup_() and an initializer, so each
 * `return` below it is already correct. Hand ownership out with TAKE_PTR() or
 * TAKE_FD(), which leave the local empty.
 */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((__cleanup__(fn)))
#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)
#define _cleanup_closedir_ _cleanup_(closedirp)

#define _must_check_ __attribute__((__warn_unused_result__))
#define _printf_(fmt, args) __attribute__((__format__(__printf__, fmt, args)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#define TAKE_GENERIC(var, empty)                                                                   \
        __extension__({                                                                            \
                __typeof__(var) *_var_ = &(var);                                                   \
                __typeof__(var) _val_ = *_var_;                                                    \
                *_var_ = (empty);                                                                  \
                _val_;                                                                             \
        })
#define TAKE_PTR(ptr) TAKE_GENERIC(ptr, NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, -EBADF)

/* Defines `fn##p` for use with _cleanup_(). `fn` must accept NULL and return NULL. */
#define DEFINE_CLEANUP(type, fn)                                                                   \
        static inline void fn##p(type **p) {                                                       \
                *p = fn(*p);                                                                       \
        }

static inline void freep(void *p) {
        free(*(void **)p);
}

/* close() reports errors of earlier writes; callers that care fsync() first. Preserves errno. */
static inline int safe_close(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void)close(fd);
                errno = saved;
        }
        return -EBADF;
}

static inline void closep(int *fd) {
        *fd = safe_close(*fd);
}

static inline void fclosep(FILE **f) {
        if (*f)
                (void)fclose(*f);
}

static inline void closedirp(DIR **d) {
        if (*d)
                (void)closedir(*d);
}
