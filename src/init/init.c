/* SPDX-License-Identifier: Apache-2.0 */

/*
 * RUNNING -> CLEARING -> DRAINING -> CLOSING -> end.
 *
 * RUNNING:  the command runs; orders become signals; the web port is looked for. What the app
 *           writes is relayed to its FIFO, from here on until all of it is there.
 * CLEARING: it ended; all others got SIGKILL and are reaped. kill(-1) reaches every
 *           process at once: the kernel holds tasklist_lock, and a fork under way fails
 *           when its parent has a SIGKILL pending.
 * DRAINING: nobody writes any more; the rest is relayed, and the logger takes what the app's
 *           FIFO still holds. There is no event for "a FIFO is empty", hence a timer.
 * CLOSING:  the same for our own lines.
 *
 * An order to end, or a second SIGTERM from dynod while waiting, skips the waiting.
 * `ps:exec` has only RUNNING: the dyno, its FIFOs and its other processes are not ours.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/parse.h"
#include "init/command.h"
#include "init/init.h"
#include "init/log_lines.h"
#include "init/port_watch.h"
#include "init/relay.h"
#include "init/streams.h"
#include "ipc/attach_proto.h"
#include "ipc/channel.h"
#include "ipc/dyno_spec.h"
#include "ipc/init_fds.h"
#include "ipc/launch_proto.h"
#include "ipc/status_record.h"

/*
 * A look at the tables walks hash tables of the whole host: about half a millisecond. So
 * the interval is 2 % of the time waited so far, within these limits.
 */
#define PORT_POLL_MIN_USEC (20 * USEC_PER_MSEC)
#define PORT_POLL_MAX_USEC (200 * USEC_PER_MSEC)
#define PORT_POLL_DIVISOR 50
#define DRAIN_POLL_MIN_USEC (1 * USEC_PER_MSEC)
#define DRAIN_POLL_MAX_USEC (50 * USEC_PER_MSEC)
#define LOOKS_WITHOUT_MEMORY_MAX 40 /* about 2 s */
#define RELAY_RETRY_USEC (50 * USEC_PER_MSEC)
#define RELAY_REST_USEC (1 * USEC_PER_MSEC)     /* nobody sees that a line comes so much later */
#define HANGUP_INTERVAL_USEC (5 * USEC_PER_SEC) /* Heroku's: every 5 s, three times */
#define HANGUPS_MAX 3

/* Per turn of the loop, so that no flood of one kind starves the rest. */
#define SIGNALS_PER_TURN 64
#define REAPED_PER_TURN 256

typedef enum InitPhase {
        INIT_RUNNING,
        INIT_CLEARING,
        INIT_DRAINING,
        INIT_CLOSING,
        INIT_DONE,
} InitPhase;

typedef struct Init {
        InitPhase phase;
        bool pid1;      /* of the dyno; else `ps:exec` */
        bool end_now;   /* told not to wait for anything */
        bool ended;     /* the command */
        bool childless; /* at the last look */
        bool more;      /* signals, zombies or bytes are left from this turn */
        unsigned terms_while_waiting;
        unsigned hangups;
        unsigned looks_without_memory;
        uint64_t wake_usec;  /* CLOCK_BOOTTIME; USEC_INFINITY: no timer */
        uint64_t relay_usec; /* the same, for a relay that rests */
        uint64_t start_usec; /* CLOCK_BOOTTIME, of the command */
        uint64_t drain_poll_usec;
        uint32_t status; /* of the command, as a shell */
        int signal_fd;
        int attach_fd; /* INIT_FD_ATTACH while a client is there */
        Command command;
        PortWatch port;
        StatusRecord record;
        LogLines log;
        Relay relay;
} Init;

static void log_line(Init *init, const char *a, const char *b, const char *c) {
        const char *const parts[] = {a, b, c, NULL};

        if (init->pid1)
                log_lines_add(&init->log, parts);
}

/* Whoever reads it may be gone or come later: a failure is not ours to act on. */
static void record_write(Init *init, uint32_t flag) {
        init->record.flags |= flag;
        (void)!pwrite(INIT_FD_STATUS, &init->record, sizeof(init->record), 0);
}

/* The processes of the dyno, or for `ps:exec` the group that we started. */
static void signal_all(Init *init, int signo) {
        if (init->pid1)
                (void)kill(-1, signo); /* never reaches PID 1 itself */
        else if (!init->ended && kill(-init->command.pid, signo) < 0)
                (void)kill(init->command.pid, signo); /* it has not made its session yet */
}

static void hang_up(Init *init, uint64_t now) {
        signal_all(init, SIGHUP);
        init->hangups++;
        init->wake_usec = now + HANGUP_INTERVAL_USEC;
}

static void client_is_gone(Init *init) {
        init->attach_fd = safe_close(init->attach_fd);
        if (init->phase != INIT_RUNNING)
                return;

        log_line(init, "Client connection closed. Sending SIGHUP to all processes", "", "");
        hang_up(init, clock_boottime_usec());
}

/* The last word to the client. */
static void tell_client(Init *init, AttachType type, uint32_t status) {
        AttachMessage msg = {.magic = ATTACH_MAGIC, .type = type, .status = status};

        if (init->attach_fd < 0)
                return;
        /* The socket holds hundreds of these; a client that reads none loses its own status. */
        (void)!channel_send(init->attach_fd, &msg, sizeof(msg), NULL, 0);
        init->attach_fd = safe_close(init->attach_fd);
}

/* Bytes that wait in a FIFO. What is no FIFO (a mode that has none) is always empty. */
static bool fifo_is_empty(int fd) {
        int n = 0;

        return ioctl(fd, FIONREAD, &n) < 0 || n == 0;
}

static void reap(Init *init) {
        for (int i = 0; i < REAPED_PER_TURN; i++) {
                int status;
                pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);

                if (pid <= 0) {
                        init->childless = pid < 0 && errno == ECHILD;
                        return;
                }
                if (pid != init->command.pid || init->ended)
                        continue;
                init->ended = true;
                init->status =
                        (uint32_t)(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        }
        init->more = true;
}

static void obey(Init *init, int order) {
        int target = order >> 8;
        int signo = order & 0xff;

        if (order == INIT_ORDER_END) {
                init->end_now = true;
                signal_all(init, SIGKILL);
                return;
        }
        if (signo < 1 || signo > 31 || init->phase != INIT_RUNNING || init->ended)
                return;

        if (target == SIGNAL_ALL)
                signal_all(init, signo);
        else if (target == SIGNAL_MAIN)
                (void)kill(init->command.pid, signo);
}

static void handle_signal(Init *init, const struct signalfd_siginfo *si) {
        if (si->ssi_signo == SIGCHLD) {
                reap(init);
                return;
        }
        /* Not from within the dyno, where dynod has no pid. The app can forge a queued one. */
        if (si->ssi_pid != 0)
                return;

        if (si->ssi_signo == (uint32_t)INIT_ORDER_SIGNAL && si->ssi_code == SI_QUEUE) {
                obey(init, si->ssi_int);
        } else if (init_is_plain_order((int)si->ssi_signo) && init->phase == INIT_RUNNING) {
                if (si->ssi_code == SI_USER)
                        obey(init, INIT_ORDER(SIGNAL_ALL, si->ssi_signo));
        } else if (si->ssi_signo == SIGTERM) {
                /* The first may have been sent before the command ended. */
                init->terms_while_waiting++;
                if (init->terms_while_waiting > 1)
                        init->end_now = true;
        }
}

static void read_signals(Init *init) {
        for (int i = 0; i < SIGNALS_PER_TURN; i++) {
                struct signalfd_siginfo si;
                ssize_t n = read(init->signal_fd, &si, sizeof(si));

                if (n != (ssize_t)sizeof(si))
                        return;
                handle_signal(init, &si);
        }
        init->more = true;
}

static void write_exit_line(Init *init) {
        char text[4];
        char *p = text + sizeof(text) - 1;
        uint32_t status = init->status;

        *p = '\0';
        do
                *--p = (char)('0' + status % 10);
        while ((status /= 10) > 0);

        log_line(init, "Process exited with status ", p, "");
}

static void wait_for_drain(Init *init, InitPhase phase) {
        init->phase = phase;
        init->drain_poll_usec = DRAIN_POLL_MIN_USEC;
        init->wake_usec = 0;
}

static void after_end(Init *init) {
        int error = command_error(&init->command);

        if (error != 0)
                init->status = (uint32_t)command_error_status(error);
        port_watch_close(&init->port);

        init->record.exit_status = init->status;
        init->record.exit_usec = clock_boottime_usec();
        record_write(init, STATUS_EXITED);

        if (init->pid1) {
                signal_all(init, SIGKILL);
                reap(init);
                init->phase = INIT_CLEARING;
        } else {
                init->phase = INIT_DONE;
        }

        /* In a dyno of its own the client hears of it when nobody can write any more. */
        if (error != 0)
                tell_client(init, ATTACH_FAILED, (uint32_t)error);
        else if (!init->pid1)
                tell_client(init, ATTACH_EXIT, init->status);
}

static void look_again(Init *init, uint64_t now) {
        init->wake_usec = now + init->drain_poll_usec;
        init->drain_poll_usec *= 2;
        if (init->drain_poll_usec > DRAIN_POLL_MAX_USEC)
                init->drain_poll_usec = DRAIN_POLL_MAX_USEC;
}

/* True if @fd is drained or nobody waits for that; else sets the timer for the next look. */
static bool is_drained(Init *init, int fd, uint64_t now) {
        if (init->end_now || fifo_is_empty(fd))
                return true;

        look_again(init, now);
        return false;
}

/*
 * A dyno whose scratch has eaten all its memory has no page for our last line or the app's, and
 * would not have one ever: after some looks it ends without.
 */
static bool waits_in_vain(Init *init, int r) {
        if (r == -ENOMEM)
                init->looks_without_memory++;
        return init->looks_without_memory > LOOKS_WITHOUT_MEMORY_MAX;
}

static bool lines_are_out(Init *init, uint64_t now) {
        int r = log_lines_flush(&init->log);

        if (r == 0 || init->end_now || waits_in_vain(init, r))
                return true;

        look_again(init, now);
        return false;
}

static bool output_is_out(Init *init, uint64_t now) {
        int r;

        if (init->end_now) {
                relay_finish(&init->relay);
                return true;
        }
        r = relay_turn(&init->relay);
        if (relay_is_empty(&init->relay))
                return true;

        init->wake_usec = USEC_INFINITY; /* for a full FIFO there is an event */
        init->more = r >= 0;
        if (r >= 0 || r == -EAGAIN)
                return false;
        if (waits_in_vain(init, -ENOMEM))
                return true;
        look_again(init, now);
        return false;
}

static void relay(Init *init, uint64_t now) {
        int r = relay_turn(&init->relay);

        init->relay_usec = USEC_INFINITY;
        if (init->relay.rests)
                init->relay_usec = now + (r < 0 ? RELAY_RETRY_USEC : RELAY_REST_USEC);
}

static uint64_t port_poll_usec(const Init *init, uint64_t now) {
        uint64_t usec = (now - init->start_usec) / PORT_POLL_DIVISOR;

        if (usec < PORT_POLL_MIN_USEC)
                return PORT_POLL_MIN_USEC;
        return usec > PORT_POLL_MAX_USEC ? PORT_POLL_MAX_USEC : usec;
}

static void run_timers(Init *init, uint64_t now) {
        if (init->hangups > 0) {
                if (init->hangups < HANGUPS_MAX)
                        hang_up(init, now);
                else if (init->pid1)
                        init->wake_usec = USEC_INFINITY; /* as on Heroku it may go on alone */
                else
                        signal_all(init, SIGKILL); /* nobody could reach or see it again */
                return;
        }

        init->wake_usec = USEC_INFINITY;
        if (init->port.port == 0)
                return;
        if (!port_watch_is_bound(&init->port)) {
                init->wake_usec = now + port_poll_usec(init, now);
                return;
        }
        port_watch_close(&init->port);
        init->port.port = 0;
        init->record.bound_usec = now;
        record_write(init, STATUS_BOUND);
}

/* Does all that can be done without waiting. */
static void advance(Init *init, uint64_t now) {
        if (init->phase == INIT_RUNNING && init->ended)
                after_end(init);
        else if (init->phase == INIT_RUNNING && now >= init->wake_usec)
                run_timers(init, now);

        if (init->phase == INIT_CLEARING) {
                init->wake_usec = USEC_INFINITY;
                if (init->childless || init->end_now) {
                        tell_client(init, ATTACH_EXIT, init->status);
                        wait_for_drain(init, INIT_DRAINING);
                }
        }
        if (init->phase == INIT_DRAINING && output_is_out(init, now) &&
            is_drained(init, INIT_FD_APP_FIFO, now)) {
                relay_close(&init->relay); /* nothing comes behind the line that says so */
                init->relay_usec = USEC_INFINITY;
                write_exit_line(init);
                wait_for_drain(init, INIT_CLOSING);
        }
        if (init->phase == INIT_CLOSING && lines_are_out(init, now) &&
            is_drained(init, INIT_FD_LOG_FIFO, now))
                init->phase = INIT_DONE;
}

static int timeout_msec(const Init *init) {
        uint64_t wake_usec =
                init->relay_usec < init->wake_usec ? init->relay_usec : init->wake_usec;
        uint64_t now;

        if (init->more)
                return 0;
        if (wake_usec == USEC_INFINITY)
                return -1;
        now = clock_boottime_usec();
        if (wake_usec <= now)
                return 0;
        return (int)((wake_usec - now + USEC_PER_MSEC - 1) / USEC_PER_MSEC);
}

static int loop(Init *init) {
        while (init->phase != INIT_DONE) {
                /* A negative descriptor is one that poll(2) passes over. */
                struct pollfd fds[] = {
                        {.fd = init->signal_fd, .events = POLLIN},
                        {.fd = init->attach_fd, .events = POLLRDHUP},
                        {.fd = init->log.n > 0 ? init->log.fd : -1, .events = POLLOUT},
                        relay_pollfd(&init->relay),
                };
                uint64_t now;

                if (poll(fds, ARRAY_SIZE(fds), timeout_msec(init)) < 0 && errno != EINTR)
                        return -errno;

                init->more = false;
                if (fds[0].revents != 0)
                        read_signals(init);
                if (init->phase == INIT_CLEARING)
                        reap(init); /* a SIGCHLD that merged with one before says it once */
                if ((fds[1].revents & (POLLRDHUP | POLLHUP | POLLERR | POLLNVAL)) != 0)
                        client_is_gone(init);
                if ((fds[2].revents & (POLLOUT | POLLERR)) != 0)
                        (void)log_lines_flush(&init->log);
                now = clock_boottime_usec();
                if (fds[3].revents != 0 || now >= init->relay_usec)
                        relay(init, now);
                advance(init, now);
        }
        return 0;
}

static int wait_for_go(bool pid1) {
        struct stat st;
        char go;
        ssize_t n;

        /* `ps:exec` may come without a pipe; a dyno's first process never does. */
        if (!pid1 && fstat(INIT_FD_GO, &st) == 0 && S_ISCHR(st.st_mode))
                return 0;

        do
                n = read(INIT_FD_GO, &go, 1);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        return n == 1 && go == INIT_GO ? 0 : -ECANCELED;
}

/* Reads INIT_FD_SPEC into memory of its own, to be given back whole after the fork. */
static int read_spec(DynoSpec *ret, char **ret_buf, size_t *ret_size) {
        struct stat st;
        size_t size, have = 0;
        char *buf;
        int r;

        r = dyno_spec_check_fd(INIT_FD_SPEC);
        if (r < 0)
                return r;
        if (fstat(INIT_FD_SPEC, &st) < 0)
                return -errno;
        size = (size_t)st.st_size;

        /* cppcheck-suppress invalidFunctionArg; -1 is what MAP_ANONYMOUS asks for */
        buf = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (buf == MAP_FAILED)
                return -errno;
        *ret_buf = buf;
        *ret_size = size;

        while (have < size) {
                ssize_t n = pread(INIT_FD_SPEC, buf + have, size - have, (off_t)have);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EBADMSG;
                have += (size_t)n;
        }

        return dyno_spec_parse(ret, buf, size);
}

/* The arguments in one line, for people; cut where a log line would be. */
static void command_text(char ret[LOG_LINE_SIZE], char *const *args) {
        size_t have = 0;

        for (; *args && have < LOG_LINE_SIZE - 2; args++) {
                size_t n = strnlen(*args, LOG_LINE_SIZE - 2 - have);

                memcpy(ret + have, *args, n);
                have += n;
                ret[have++] = ' ';
        }
        ret[have > 0 ? have - 1 : 0] = '\0';
}

static int send_streams(Init *init, const Streams *streams) {
        AttachMessage msg = {.magic = ATTACH_MAGIC, .type = ATTACH_OPEN};
        int r;

        if (streams->n_outer == 0)
                return 0;
        r = channel_send(init->attach_fd, &msg, sizeof(msg), streams->outer, streams->n_outer);
        return r <= 0 ? r : -ECONNRESET; /* nobody is there to run anything for */
}

static int start_command(Init *init, const DynoSpec *spec) {
        _cleanup_streams_ Streams streams = STREAMS_INIT;
        static char text[LOG_LINE_SIZE];
        int r;

        /* Before the line that says "Starting": afterwards nothing of ours is in the way. */
        if ((spec->header.flags & DYNO_SPEC_ATTACH) == 0) {
                r = relay_open(&init->relay, INIT_FD_APP_FIFO);
                if (r < 0)
                        return r;
        }
        r = streams_open(&streams, &spec->header, init->relay.write_fd);
        if (r < 0)
                return r;
        if (spec->header.web_port != 0) {
                r = port_watch_open(&init->port, (uint16_t)spec->header.web_port);
                if (r < 0)
                        return r;
                init->wake_usec = 0;
        }
        r = send_streams(init, &streams);
        if (r < 0)
                return r;

        command_text(text, spec->args);
        log_line(init, "Starting process with command `", text, "`");

        return command_start(&init->command, spec, &streams, !init->pid1);
}

static int block_signals(Init *init) {
        sigset_t all;

        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
                return -errno;
        init->signal_fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
        return init->signal_fd < 0 ? -errno : 0;
}

static int prepare(Init *init) {
        DynoSpec spec = {0};
        char *buf = NULL;
        size_t size = 0;
        int r;

        r = read_spec(&spec, &buf, &size);
        if (r == 0 && init->pid1 == ((spec.header.flags & DYNO_SPEC_EXEC) != 0))
                r = -EBADMSG; /* made for the other kind of process */
        if (r == 0 && (spec.header.flags & DYNO_SPEC_ATTACH) != 0)
                init->attach_fd = INIT_FD_ATTACH;
        if (r == 0)
                r = start_command(init, &spec);

        dyno_spec_clear(&spec);
        if (buf)
                (void)munmap(buf, size);
        return r;
}

int init_run(void) {
        static Init init = {
                .wake_usec = USEC_INFINITY,
                .relay_usec = USEC_INFINITY,
                .signal_fd = -EBADF,
                .attach_fd = -EBADF,
                .command = {.error_fd = -EBADF},
                .port = PORT_WATCH_INIT,
                .record = {.magic = STATUS_RECORD_MAGIC},
                .log = {.fd = -EBADF},
                .relay = RELAY_INIT,
        };
        int r;

        init.pid1 = getpid() == 1;

        /* Before the first wait: an order that comes early must not be lost. */
        r = block_signals(&init);
        if (r == 0)
                r = wait_for_go(init.pid1);
        if (r == 0 && init.pid1)
                r = log_lines_open(&init.log, INIT_FD_LOG_FIFO);
        if (r == 0)
                r = prepare(&init);
        if (r < 0) {
                const char *reason = strerrordesc_np(-r);

                log_line(&init, "Cannot start the process: ", reason ? reason : "error", "");
                tell_client(&init, ATTACH_FAILED, (uint32_t)-r);
                return INIT_STATUS_FAILED;
        }

        init.start_usec = clock_boottime_usec();
        record_write(&init, STATUS_STARTED);
        r = loop(&init);
        return r < 0 ? INIT_STATUS_FAILED : (int)init.status;
}
