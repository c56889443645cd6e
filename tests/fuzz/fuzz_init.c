/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dyno-init: what it is to run, orders from dynod, what the app sends it in their likeness,
 * processes that end in any order, a client that goes, FIFOs that nobody empties. The kernel is
 * the input.
 *
 * Whatever happens: what comes from within the dyno has no effect, a signal reaches no process
 * but the command, its group or those of the dyno, an order to end always ends it, a line
 * of dyno-init's is one of its own, and what the app wrote is in its FIFO at the end, each byte
 * once and in order.
 *
 * Covers: init/init.c:83 init/streams.c:68 init/log_lines.c:72 init/relay.c:88
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
#include "fuzz_folder.h"
#include "fuzz_input.h"
#include "init/command.h"
#include "init/log_lines.h"
#include "init/port_watch.h"
#include "init/relay.h"
#include "ipc/attach_proto.h"
#include "ipc/channel.h"
#include "ipc/init_fds.h"

#define COMMAND_PID 7
#define DYNOD_PID 0      /* what has no pid in the dyno's namespace, pid_namespaces(7) */
#define TURNS_TO_END 600 /* of the loop after an order to end: as many as zombies can take */

static Input input;
static int spec_fd, attach_fd;
static bool is_pid1, command_lives;
static uint64_t now_usec;
static unsigned n_kills, n_signals_left, n_turns_at_end;
static int app_fd, fifo_read_fd, fifo_fd; /* the app's end of its pipe, and both of its FIFO's */
static size_t n_written, n_seen;          /* bytes of the app's */

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
                .ssi_code = what & 0x20 ? SI_USER : SI_QUEUE,
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

static ssize_t fake_read_go(char *ret) {
        static const int errors[] = {EINTR, EIO};
        uint8_t how = input_byte(&input);

        *ret = how & 0x10 ? (char)input_byte(&input) : INIT_GO;
        errno = errors[how % 2];
        return how < 0xe0 ? 1 : how < 0xf0 ? 0 : -1;
}

static ssize_t fake_read(int fd, void *buf, size_t size) {
        struct signalfd_siginfo si = {.ssi_signo = SIGCHLD};

        if (size == 1)
                return fake_read_go(buf);
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

/* Each byte says where it belongs: what of the output begins at @at. */
#define PERIOD 251
static const char *output_at(size_t at) {
        static char bytes[65536 + PERIOD];

        if (bytes[1] == 0)
                for (size_t i = 0; i < sizeof(bytes); i++)
                        bytes[i] = (char)(i % PERIOD);
        return bytes + at % PERIOD;
}

/* What finds no room in the pipe is not written. */
static void app_writes(void) {
        ssize_t n = write(app_fd, output_at(n_written), (size_t)input_byte(&input) * 257);

        n_written += n > 0 ? (size_t)n : 0;
}

static void logger_reads(size_t max) {
        static char buf[65536];

        while (max > 0) {
                ssize_t n = read(fifo_read_fd, buf, max < sizeof(buf) ? max : sizeof(buf));

                if (n <= 0)
                        return;
                assert(memcmp(buf, output_at(n_seen), (size_t)n) == 0);
                n_seen += (size_t)n;
                max -= (size_t)n;
        }
}

static int fake_poll(struct pollfd *fds, nfds_t n, int timeout_msec) {
        uint8_t what = input_byte(&input);

        assert(n == 4);
        if (app_fd >= 0 && command_lives && (what & 0x10))
                app_writes();
        if (app_fd >= 0 && (what & 0x20))
                logger_reads((size_t)input_byte(&input) * 300);
        now_usec += timeout_msec > 0 ? (uint64_t)timeout_msec * 1000 : 1;
        n_signals_left = what % 8;
        if (input.size == 0) {
                n_turns_at_end++;
                assert(n_turns_at_end < TURNS_TO_END);
                n_signals_left = 2;
        }
        fds[0].revents = POLLIN;
        fds[1].revents = fds[1].fd >= 0 && what >= 0xe0 ? POLLRDHUP : 0;
        fds[2].revents = fds[2].fd >= 0 && what & 8 ? POLLOUT : 0;
        (void)poll(&fds[3], 1, 0);
        return 1;
}

/* A FIFO that a dyno-init has the other end of, as it does. */
static int fake_relay_open(Relay *ret, int fifo) {
        int pair[2], r;

        assert(fifo == INIT_FD_APP_FIFO);
        if (pipe2(pair, O_CLOEXEC | O_NONBLOCK) < 0 || dup3(pair[1], fifo_fd, O_CLOEXEC) < 0)
                abort();
        (void)close(pair[1]);
        r = relay_open(ret, fifo_fd);
        fifo_read_fd = pair[0];
        if (r == 0)
                app_fd = fcntl(ret->write_fd, F_DUPFD_CLOEXEC, 0);
        if (app_fd >= 0) /* of all that have it, an app may do that */
                (void)fcntl(app_fd, F_SETFL, O_NONBLOCK);
        return r;
}

static int fake_relay_turn(Relay *relay) {
        if (input_byte(&input) < 0xf0)
                return relay_turn(relay);
        relay->rests = true;
        return -ENOMEM;
}

static int
fake_command_start(Command *ret, const DynoSpec *spec, const Streams *streams, bool die_with_us) {
        uint8_t how = input_byte(&input);
        int error = how % 64;

        for (int i = 0; i < 3; i++)
                assert(fcntl(streams->command[i], F_GETFD) == FD_CLOEXEC);
        assert(die_with_us == ((spec->header.flags & DYNO_SPEC_EXEC) != 0));
        assert(spec->args[0][0] != '\0');
        ret->pid = COMMAND_PID;
        if (how >= 0xe0) /* it could not be executed */
                ret->error_fd = fuzz_memfd(&error, sizeof(error));
        return how < 0xf8 ? 0 : -EAGAIN;
}

/* What the kernel says of the host's sockets. */
static int fake_port_watch_open(PortWatch *watch, uint16_t port) {
        uint8_t how = input_byte(&input);
        char table[256];
        int n;

        assert(port != 0);
        n = snprintf(
                table,
                sizeof(table),
                "  sl  local_address rem_address   st\n"
                "   0: 00000000:%04X 00000000:0000 %s 00000000:00000000\n",
                port,
                how & 1 ? "0A" : "01");
        watch->port = port;
        watch->fd[0] = fuzz_memfd(table, (size_t)n);
        return how < 0xf0 ? 0 : -ENOENT;
}

static int fake_log_lines_flush(LogLines *log) {
        uint8_t how = input_byte(&input);

        return how < 0xc0 ? log_lines_flush(log) : how < 0xe0 ? -EAGAIN : -ENOMEM;
}

/* The code itself, with the kernel's calls in the input's hand. */
#define kill fake_kill
#define waitpid fake_waitpid
#define read fake_read
#define pwrite fake_pwrite
#define ioctl fake_ioctl
#define poll fake_poll
#define relay_open fake_relay_open
#define relay_turn fake_relay_turn
#define command_start fake_command_start
#define port_watch_open fake_port_watch_open
#define log_lines_flush fake_log_lines_flush
#undef INIT_FD_SPEC
#undef INIT_FD_GO
#undef INIT_FD_ATTACH
#define INIT_FD_SPEC spec_fd
#define INIT_FD_GO STDIN_FILENO
#define INIT_FD_ATTACH attach_fd
#define clock_boottime_usec fake_clock
#include "init/init.c" // NOLINT(bugprone-suspicious-include): its functions are all static
#undef kill
#undef waitpid
#undef read
#undef pwrite
#undef ioctl
#undef poll
#undef relay_open
#undef relay_turn
#undef command_start
#undef port_watch_open
#undef log_lines_flush
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

/* What the supervisor writes, in which the input may have changed something. */
static void make_spec(void) {
        struct {
                DynoSpecHeader header;
                char strings[2 * LOG_LINE_SIZE + 4];
        } spec = {.header = {.magic = DYNO_SPEC_MAGIC, .n_args = 1}};
        uint8_t how = input_byte(&input);
        size_t size, whole;
        const uint8_t *text;

        spec.header.flags = how % 16;
        spec.header.n_args += how / 64;
        spec.header.n_env = how / 32 % 2;
        if ((how & 0x10) != 0) {
                spec.header.rows = spec.header.columns = how;
                spec.header.web_port = input_byte(&input);
        }
        text = input_bytes(&input, (how & 8) != 0 ? 64 : 1, LOG_LINE_SIZE, &size);
        memcpy(spec.strings, text, size);
        if ((how & 8) != 0) { /* longer than a line */
                memcpy(spec.strings + size, text, size);
                size *= 2;
        }
        if (spec.header.n_env > 0)
                memcpy(spec.strings + size, "\0A=", 4);
        size += spec.header.n_env > 0 ? 4 : 1;
        spec.header.strings_size = (uint32_t)size;
        whole = sizeof(spec.header) + size;
        if (input_byte(&input) >= 0xf0)
                ((uint8_t *)&spec)[input_u32(&input) % whole] = input_byte(&input);
        spec_fd = fuzz_memfd(&spec, whole - (how == 0xff));
        if (how != 0xfe)
                (void)fcntl(
                        spec_fd,
                        F_ADD_SEALS,
                        F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
}

/* True if it runs a command. */
static bool begin(Init *init) {
        int r;

        make_spec();
        r = wait_for_go(init->pid1);
        if (r == 0)
                r = prepare(init);
        (void)close(spec_fd);
        return r == 0;
}

/* Nothing of the app's is lost, but for want of memory, and there is no more of it. */
static void check_output(const Init *init) {
        if (app_fd < 0)
                return;
        logger_reads(SIZE_MAX);
        assert(n_seen == n_written || init->looks_without_memory > LOOKS_WITHOUT_MEMORY_MAX);
        app_fd = safe_close(app_fd);
}

/* No argument of the command's makes a line of its own, or one that another process wrote. */
static void check_lines(int fd) {
        static const char *const lines[] = {
                "Starting process with command `",
                "Process exited with status ",
                "Client connection closed. Sending SIGHUP to all processes\n"};
        static char text[LOG_LINES_QUEUED_MAX * LOG_LINE_SIZE + 1];
        ssize_t n = pread(fd, text, sizeof(text), 0);
        const char *at = text, *end;

        assert(n >= 0 && n < (ssize_t)sizeof(text));
        for (; at < text + n; at = end + 1) {
                size_t i = 0;

                end = memchr(at, '\n', (size_t)(text + n - at));
                assert(end && end - at < LOG_LINE_SIZE);
                while (i < ARRAY_SIZE(lines) && strncmp(at, lines[i], strlen(lines[i])) != 0)
                        i++;
                assert(i < ARRAY_SIZE(lines));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static int null_fd = -EBADF, never_fd[2];
        unsigned before;
        bool runs = true;
        int pair[2], log_fd;
        uint8_t how;

        if (null_fd < 0) {
                null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
                if (null_fd < 0 || pipe2(never_fd, O_CLOEXEC | O_NONBLOCK) < 0)
                        abort();
                fifo_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, 0);
                if (fifo_fd < 0 || fifo_fd > 9) /* see relay_open() */
                        abort();
        }
        input = (Input){data, size};
        how = input_byte(&input);
        before = fuzz_count_fds();
        is_pid1 = how & 1;
        command_lives = true;
        n_turns_at_end = n_kills = 0;
        app_fd = fifo_read_fd = -EBADF;
        n_written = n_seen = 0;
        now_usec = UINT64_C(1000000) * 3600;

        Init init = {
                .pid1 = is_pid1,
                .wake_usec = how & 2 ? now_usec : USEC_INFINITY,
                .relay_usec = USEC_INFINITY,
                .start_usec = now_usec,
                .signal_fd = null_fd,
                .attach_fd = -EBADF,
                .command = {.pid = COMMAND_PID, .error_fd = -EBADF},
                .port = {.fd = {-EBADF, -EBADF}, .port = how & 8 ? 5000 : 0},
                .relay = RELAY_INIT,
        };

        log_fd = fuzz_memfd("", 0);
        if (log_lines_open(&init.log, log_fd) < 0 || channel_pair(&pair[0], &pair[1]) < 0)
                abort();
        attach_fd = pair[0];
        if (how & 0x10)
                runs = begin(&init);
        else if (how & 4)
                init.attach_fd = attach_fd;
        if (init.attach_fd < 0)
                (void)close(pair[0]);
        if (runs) {
                forge_signals(&init, how / 32);
                assert(loop(&init) == 0);
                assert(init.status <= 255);
                check_output(&init);
        }
        relay_close(&init.relay);
        app_fd = safe_close(app_fd);
        fifo_read_fd = safe_close(fifo_read_fd);
        check_lines(log_fd);
        port_watch_close(&init.port);
        safe_close(init.command.error_fd);
        safe_close(init.attach_fd);
        (void)close(init.log.fd);
        (void)close(log_fd);
        (void)close(pair[1]);
        assert(fuzz_count_fds() == before);
        return 0;
}
