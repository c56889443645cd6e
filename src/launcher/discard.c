/* SPDX-License-Identifier: Apache-2.0 */

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "launcher/discard.h"

/* A child that holds copies of all our descriptors, until it is killed. */
typedef struct Holder {
        Source *source;
        int pidfd;
} Holder;

/* Answered by the kernel alone; fstat(2) would ask the file system. */
static bool is_memfd(int fd) {
        return fcntl(fd, F_GET_SEALS) >= 0;
}

bool discard_foreign(ChannelFds *fds) {
        bool found = false;

        for (size_t i = 0; i < fds->n; i++)
                if (!is_memfd(fds->fd[i]) && !fd_is_unix_socket(fds->fd[i])) {
                        fds->fd[i] = -EBADF;
                        found = true;
                }
        return found;
}

static int on_holder_exit(void *userdata, uint32_t events) {
        Holder *holder = userdata;

        (void)waitid(P_PIDFD, (id_t)holder->pidfd, &(siginfo_t){0}, WEXITED | WNOHANG);
        holder->source = source_free(holder->source);
        (void)safe_close(holder->pidfd);
        free(holder);
        return 0;
}

static Holder *start_holder(Loop *loop) {
        Holder *holder = calloc(1, sizeof(*holder));
        struct clone_args args = {
                .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                .exit_signal = SIGCHLD,
        };
        pid_t pid, parent = getpid();

        if (!holder)
                return NULL;
        args.pidfd = (uint64_t)(uintptr_t)&holder->pidfd;
        pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
        if (pid == 0) {
                if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0 && getppid() == parent)
                        for (;;)
                                (void)pause();
                _exit(0);
        }
        if (pid < 0) {
                free(holder);
                return NULL;
        }
        if (loop_add(loop, &holder->source, holder->pidfd, EPOLLIN, on_holder_exit, holder) < 0) {
                /* Safe: by pidfd, our own child. It stays a zombie. */
                (void)syscall(SYS_pidfd_send_signal, holder->pidfd, SIGKILL, NULL, 0);
                (void)safe_close(holder->pidfd);
                free(holder);
                return NULL;
        }
        return holder;
}

/* In this order: the holder's copies are the last ones, and it is ending. */
static void end_holder(const Holder *holder) {
        (void)syscall(SYS_pidfd_send_signal, holder->pidfd, SIGKILL, NULL, 0);
}

void discard_fds(Loop *loop, ChannelFds *fds) {
        const Holder *holder = NULL;

        for (size_t i = 0; i < fds->n; i++) {
                if (fds->fd[i] < 0 || is_memfd(fds->fd[i])) {
                        fds->fd[i] = safe_close(fds->fd[i]);
                        continue;
                }
                if (!holder)
                        holder = start_holder(loop);
                if (!holder) {
                        log_warning("No memory to close a descriptor in peace; it stays open.");
                        return;
                }
                fds->fd[i] = safe_close(fds->fd[i]);
        }
        if (holder)
                end_holder(holder);
        fds->n = 0;
}

int discard_socket(Loop *loop, int fd) {
        ChannelFds fds = {.fd = {fd}, .n = 1};

        discard_fds(loop, &fds);
        return -EBADF;
}
