/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dyno-init's loop: orders from dynod, what the app sends it in their likeness, processes that
 * end in any order, a client that goes, FIFOs that nobody empties. The kernel is the input.
 *
 * Whatever happens: what comes from within the dyno has no effect, a signal reaches no process
 * but the command, its group or those of the dyno, and an order to end always ends it.
 *
 * Covers: init/init.c:55
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/parse.h"
#include "fuzz_input.h"
#include "ipc/channel.h"

#define COMMAND_PID 7
#define DYNOD_PID 0      /* what has no pid in the dyno's namespace, pid_namespaces(7) */
#define TURNS_TO_END 600 /* of the loop after an order to end: as many as zombies can take */

static Input input;
static bool is_pid1, command_lives;
static uint64_t now_usec;
static unsigned n_kills, n_signals_left, n_turns_at_end;

static int fake_kill(pid_t pid, int signo) {
        assert(signo >= 1 && signo <= 31);
        assert(pid == COMMAND_PID || pid == (is_pid1 ? -1 : -COMMAND_PID));
        n_kills++;
        errno = ESRCH;
        return input_byte(&input) & 1 ? -1 : 0;
}

/* The command, or an orphan that it left behind; at the end of the input all are gone. */
static pid_t fake_waitpid(pid_t pid, int *ret_status, int options) {
        uint8_t which = input.size > 0 ? input_byte(&input) : 0x60;

        assert(pid == -1 && (options & WNOHANG));
        if (which >= 0x60 && command_lives) {
                command_lives = false;
                *ret_status = input_byte(&input) << 8 | (which & 1 ? input_byte(&input) & 0x7f : 0);
                return COMMAND_PID;
        }
        if (which >= 0xc0) {
                *ret_status = 0;
                return which;
        }
        errno = ECHILD;
        return command_lives || (which < 0x20 && input.size > 0) ? 0 : -1;
}

static struct signalfd_siginfo make_signal(void) {
        uint8_t what = input_byte(&input);
        struct signalfd_siginfo si = {
                .ssi_signo = what % 4 == 0   ? SIGTERM
                             : what % 4 == 1 ? SIGCHLD
                                             : (uint32_t)SIGRTMIN,
                .ssi_code = SI_QUEUE,
                .ssi_pid = what < 0xc0 ? DYNOD_PID : input_byte(&input),
                .ssi_int = (input_byte(&input) % 4) << 8 | input_byte(&input) % 40,
        };

        if (what % 16 == 3) {
                si.ssi_signo = input_byte(&input);
                si.ssi_code = (int32_t)input_u32(&input);
                si.ssi_int = (int32_t)input_u32(&input);
        }
        return si;
}

static ssize_t fake_read(int fd, void *buf, size_t size) {
        struct signalfd_siginfo si = {.ssi_signo = SIGCHLD};

        assert(size == sizeof(si));
        if (n_signals_left == 0) {
                errno = EAGAIN;
                return -1;
        }
        n_signals_left--;
        if (input.size > 0)
                si = make_signal();
        else if (n_signals_left == 0) /* the order to end, behind a SIGCHLD */
                si = (struct signalfd_siginfo){
                        .ssi_signo = (uint32_t)SIGRTMIN, .ssi_code = SI_QUEUE};
        memcpy(buf, &si, sizeof(si));
        return sizeof(si);
}

static ssize_t fake_pwrite(int fd, const void *data, size_t size, off_t offset) {
        return input_byte(&input) & 1 ? -1 : (ssize_t)size;
}

static int fake_ioctl(int fd, unsigned long request, int *ret) {
        assert(request == FIONREAD);
        *ret = input_byte(&input) % 2;
        return 0;
}

static uint64_t fake_clock(void) {
        return now_usec;
}

static int fake_poll(struct pollfd *fds, nfds_t n, int timeout_msec) {
        uint8_t what = input_byte(&input);

        assert(n == 3);
        now_usec += timeout_msec > 0 ? (uint64_t)timeout_msec * 1000 : 1;
        n_signals_left = what % 8;
        if (input.size == 0) {
                n_turns_at_end++;
                assert(n_turns_at_end < TURNS_TO_END);
                n_signals_left = 2;
        }
        fds[1].revents = fds[1].fd >= 0 && what >= 0xe0 ? POLLRDHUP : 0;
        fds[2].revents = fds[2].fd >= 0 && what & 8 ? POLLOUT : 0;
        return 1;
}

/* The code itself, with the kernel's calls in the input's hand. */
#define kill fake_kill
#define waitpid fake_waitpid
#define read fake_read
#define pwrite fake_pwrite
#define ioctl fake_ioctl
#define poll fake_poll
#define clock_boottime_usec fake_clock
#include "init/init.c" // NOLINT(bugprone-suspicious-include): its functions are all static
#undef kill
#undef waitpid
#undef read
#undef pwrite
#undef ioctl
#undef poll
#undef clock_boottime_usec

/* From within the dyno: no effect, whatever it looks like. */
static void forge_signals(Init *init, unsigned n) {
        for (; n > 0; n--) {
                struct signalfd_siginfo si = make_signal();
                unsigned kills = n_kills;
                Init before = *init;

                if (si.ssi_pid == DYNOD_PID || si.ssi_signo == SIGCHLD)
                        continue;
                handle_signal(init, &si);
                assert(n_kills == kills && memcmp(init, &before, sizeof(before)) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int null_fd = -EBADF, never_fd[2];
        int pair[2];
        uint8_t how;

        if (null_fd < 0) {
                null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (null_fd < 0 || pipe2(never_fd, O_CLOEXEC | O_NONBLOCK) < 0)
                        abort();
        }
        input = (Input){data, size};
        how = input_byte(&input);
        is_pid1 = how & 1;
        command_lives = true;
        n_turns_at_end = n_kills = 0;
        now_usec = UINT64_C(1000000) * 3600;

        Init init = {
                .pid1 = is_pid1,
                .wake_usec = how & 2 ? now_usec : USEC_INFINITY,
                .start_usec = now_usec,
                .signal_fd = null_fd,
                .attach_fd = -EBADF,
                .command = {.pid = COMMAND_PID, .error_fd = -EBADF},
                .port = {.fd = {-EBADF, -EBADF}, .port = how & 8 ? 5000 : 0},
        };

        if (log_lines_open(&init.log, null_fd) < 0 || channel_pair(&pair[0], &pair[1]) < 0)
                abort();
        if (how & 4)
                init.attach_fd = pair[0];
        else
                (void)close(pair[0]);
        forge_signals(&init, how / 32);
        assert(loop(&init) == 0);
        assert(init.status <= 255);
        safe_close(init.attach_fd);
        (void)close(init.log.fd);
        (void)close(pair[1]);
        return 0;
}
