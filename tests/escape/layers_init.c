/* SPDX-License-Identifier: Apache-2.0 */

/* The same for the layers that dyno-init sets up: one program for each, see CMakeLists.txt. */

#include <fcntl.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The linker's names. NOLINTBEGIN(bugprone-reserved-identifier) */
#ifdef LAYER_DUMPABLE
int __real_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int __wrap_prctl(int option, ...);
int __wrap_prctl(int option, ...) {
        unsigned long arg[4];
        va_list ap;

        va_start(ap, option);
        for (size_t i = 0; i < 4; i++)
                arg[i] = va_arg(ap, unsigned long);
        va_end(ap);
        /* The child, whose own file it must be, sets the flag to 1. */
        if ((option == PR_SET_DUMPABLE && arg[0] == 0) || option == PR_GET_DUMPABLE)
                return 0;
        return __real_prctl(option, arg[0], arg[1], arg[2], arg[3]);
}
#elif defined(LAYER_PID)
/* Not PID 1 of anything: it is to behave as if it were. */
pid_t __wrap_getpid(void);
pid_t __wrap_getpid(void) {
        return 1;
}
#else
int __wrap_close_range(unsigned first, unsigned last, int flags);
int __wrap_close_range(unsigned first, unsigned last, int flags) {
        (void)last;
        (void)flags;
        for (int fd = (int)first; fd < 1024; fd++)
                (void)fcntl(fd, F_SETFD, 0);
        return 0;
}
#endif
/* NOLINTEND(bugprone-reserved-identifier) */
