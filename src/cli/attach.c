/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One poll loop over the socket, the signals and up to three streams.
 *
 * A stream is one direction: read what there is, write as much as fits, and only read
 * again when all is written, so that the slower side sets the pace. Our standard
 * descriptors may be shared with other processes, so their O_NONBLOCK is left alone:
 * poll(2) is asked before each call, and a write is at most PIPE_BUF bytes.
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <termios.h>

#include "base/log.h"
#include "cli/attach.h"
#include "dynod/exit_status.h"
#include "ipc/attach_proto.h"
#include "ipc/channel.h"

#define STREAMS_MAX 3

typedef struct Stream {
        int from, to; /* -EBADF: closed */
        size_t start, end;
        char buf[PIPE_BUF];
        bool input; /* the caller's, to the command */
        bool clean; /* goes to a terminal that the command does not know of */
        char last;  /* byte read, with @clean */
} Stream;

typedef struct Attach {
        int socket_fd;
        bool tty;
        bool raw;
        bool opened, finished;
        int status;
        int signal_fd;
        int death;              /* signal that ends us, 0 for none */
        int outer[STREAMS_MAX]; /* of the dyno: the terminal's master, or pipes; owned */
        size_t n_outer;
        Stream streams[STREAMS_MAX];
        size_t n_streams;
        struct termios saved;
} Attach;

static void terminal_restore(Attach *a) {
        if (!a->raw)
                return;
        a->raw = false;
        /* If the terminal is gone there is nothing to restore. */
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &a->saved);
}

static int terminal_make_raw(Attach *a) {
        struct termios raw;

        if (!a->tty || a->raw)
                return 0;
        if (tcgetattr(STDIN_FILENO, &a->saved) < 0)
                return -errno;
        raw = a->saved;
        cfmakeraw(&raw);
        a->raw = true;
        if (tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) < 0) {
                a->raw = false;
                return -errno;
        }
        return 0;
}

/* The dyno's terminal gets our size; the kernel tells the processes there. */
static void terminal_resize(const Attach *a) {
        struct winsize size;

        if (!a->tty || !a->opened)
                return;
        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) == 0)
                (void)ioctl(a->outer[0], TIOCSWINSZ, &size);
}

static void add_stream(Attach *a, int from, int to, bool input) {
        Stream *s = &a->streams[a->n_streams++];

        s->from = from;
        s->to = to;
        s->input = input;
        s->clean = !input && !a->tty && isatty(to);
}

static bool is_pipe(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

static int set_nonblocking(int fd) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

/* Takes the outer ends: one of a terminal, or three of pipes, as was asked for. */
static int take_streams(Attach *a, ChannelFds *fds) {
        if (a->opened || fds->n != (a->tty ? 1 : 3))
                return -EBADMSG;

        a->n_outer = fds->n;
        for (size_t i = 0; i < a->n_outer; i++) {
                int r;

                a->outer[i] = TAKE_FD(fds->fd[i]);
                if (a->tty ? !isatty(a->outer[i]) : !is_pipe(a->outer[i]))
                        return -EBADMSG;
                r = set_nonblocking(a->outer[i]);
                if (r < 0)
                        return r;
        }
        a->opened = true;

        if (a->tty) {
                add_stream(a, STDIN_FILENO, a->outer[0], true);
                add_stream(a, a->outer[0], STDOUT_FILENO, false);
        } else {
                add_stream(a, STDIN_FILENO, a->outer[0], true);
                add_stream(a, a->outer[1], STDOUT_FILENO, false);
                add_stream(a, a->outer[2], STDERR_FILENO, false);
        }

        terminal_resize(a);
        return terminal_make_raw(a);
}

/* Return: 0, ATTACH_E_LOST, or a negative errno */
static int receive(Attach *a) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        AttachMessage msg;
        size_t size;
        int r;

        r = channel_recv(a->socket_fd, &msg, sizeof(msg), &size, &fds);
        if (r == CHANNEL_E_AGAIN)
                return 0;
        if (r == CHANNEL_E_CLOSED)
                return ATTACH_E_LOST;
        if (r < 0)
                return r;
        if (size != sizeof(msg) || msg.magic != ATTACH_MAGIC || msg.reserved != 0)
                return -EBADMSG;

        switch (msg.type) {
        case ATTACH_OPEN:
                return take_streams(a, &fds);
        case ATTACH_EXIT:
                if (!a->opened || msg.status > 255)
                        return -EBADMSG;
                a->status = (int)msg.status;
                break;
        case ATTACH_FAILED: {
                const char *reason = strerrordesc_np((int)msg.status);

                a->status = msg.status == ENOENT || msg.status == ENOTDIR
                                    ? DYNOD_EXIT_NOT_FOUND
                                    : DYNOD_EXIT_NOT_EXECUTABLE;
                terminal_restore(a);
                log_error("The command cannot be run: %s", reason ? reason : "unknown error");
                break;
        }
        default:
                return -EBADMSG;
        }

        a->finished = true;
        return fds.n == 0 ? 0 : -EBADMSG;
}

/*
 * The caller's input ended: the command must see that too. A pipe is closed; a terminal
 * stays, and gets its end-of-file character.
 */
static void end_input(Attach *a, Stream *s) {
        struct termios settings;

        s->from = -EBADF;
        if (a->tty) {
                s->start = 0;
                s->end = 1;
                s->buf[0] = 'D' - '@';
                if (tcgetattr(s->to, &settings) == 0 && settings.c_cc[VEOF] != _POSIX_VDISABLE)
                        s->buf[0] = (char)settings.c_cc[VEOF];
                return;
        }
        a->outer[0] = safe_close(a->outer[0]);
        s->to = -EBADF;
}

/*
 * Without a terminal of its own the command has no business with ours: what could move
 * the cursor, change the title or answer in the caller's name becomes '?'. C1 controls are
 * two bytes, the first of which may have come with the read before.
 */
static void stream_clean(Stream *s) {
        for (size_t i = s->start; i < s->end; i++) {
                unsigned char c = (unsigned char)s->buf[i];
                bool c1 = (unsigned char)s->last == 0xc2 && c >= 0x80 && c < 0xa0;

                s->last = s->buf[i];
                if (c1 || c == 0x7f || (c < ' ' && c != '\n' && c != '\t' && c != '\r'))
                        s->buf[i] = '?';
        }
}

static void stream_read(Attach *a, Stream *s) {
        ssize_t n = read(s->from, s->buf, sizeof(s->buf));

        if (n > 0) {
                s->start = 0;
                s->end = (size_t)n;
                if (s->clean)
                        stream_clean(s);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
                return;
        } else if (s->input) {
                end_input(a, s);
        } else {
                s->from = -EBADF; /* end, or EIO: nobody has the terminal open any more */
        }
}

/* Return: 0, or a negative errno if nobody takes our output any more */
static int stream_write(Stream *s) {
        ssize_t n = write(s->to, s->buf + s->start, s->end - s->start);

        if (n >= 0) {
                s->start += (size_t)n;
                return 0;
        }
        if (errno == EAGAIN || errno == EINTR)
                return 0;
        if (!s->input)
                return -errno;

        /* The command reads no more; it may still write. */
        s->from = s->to = -EBADF;
        s->start = s->end = 0;
        return 0;
}

static bool stream_is_full(const Stream *s) {
        return s->start < s->end;
}

static void handle_signal(Attach *a) {
        struct signalfd_siginfo si;

        if (read(a->signal_fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
                return;

        switch (si.ssi_signo) {
        case SIGWINCH:
                terminal_resize(a);
                break;
        case SIGTSTP:
                terminal_restore(a);
                (void)raise(SIGSTOP);
                (void)terminal_make_raw(a);
                terminal_resize(a);
                break;
        case SIGPIPE:
                break; /* write(2) says it too */
        default:
                a->death = (int)si.ssi_signo;
        }
}

/* Waits until @s can be written to, or a signal came. */
static int wait_for_room(Attach *a, const Stream *s) {
        struct pollfd fds[] = {
                {.fd = a->signal_fd, .events = POLLIN},
                {.fd = s->to, .events = POLLOUT},
        };

        if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
                return errno == EINTR ? 0 : -errno;
        if (fds[0].revents != 0)
                handle_signal(a);
        return 0;
}

/* Writes what is left of an output, and all that can be read at once. */
static int drain_stream(Attach *a, Stream *s) {
        do {
                while (stream_is_full(s) && a->death == 0) {
                        int r = wait_for_room(a, s);

                        if (r == 0)
                                r = stream_write(s);
                        if (r < 0)
                                return r;
                }
                if (s->from >= 0)
                        stream_read(a, s);
        } while (stream_is_full(s) && a->death == 0);

        return 0;
}

/*
 * After the end of the command all of its output is in the kernel. What is read until
 * there is nothing at once is all: another process may hold the other end open for ever.
 * (A read of a terminal's master first moves what its slave's writers left.)
 */
static int drain(Attach *a) {
        for (size_t i = 0; i < a->n_streams; i++) {
                int r = a->streams[i].input ? 0 : drain_stream(a, &a->streams[i]);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* One entry per stream: what it reads from or what it writes to, never both at once. */
static size_t fill_poll(const Attach *a, struct pollfd *fds) {
        size_t n = 0;

        fds[n++] = (struct pollfd){.fd = a->signal_fd, .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = a->socket_fd, .events = POLLIN};
        for (size_t i = 0; i < a->n_streams; i++) {
                const Stream *s = &a->streams[i];

                if (stream_is_full(s))
                        fds[n++] = (struct pollfd){.fd = s->to, .events = POLLOUT};
                else
                        fds[n++] = (struct pollfd){.fd = s->from, .events = POLLIN};
        }
        return n;
}

static int move_streams(Attach *a, const struct pollfd *fds) {
        for (size_t i = 0; i < a->n_streams; i++) {
                Stream *s = &a->streams[i];
                int r = 0;

                if (fds[i].revents == 0)
                        continue;
                if (stream_is_full(s))
                        r = stream_write(s);
                else if (s->from >= 0)
                        stream_read(a, s);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int loop(Attach *a) {
        while (!a->finished && a->death == 0) {
                struct pollfd fds[2 + STREAMS_MAX];
                size_t n = fill_poll(a, fds);
                size_t n_streams = a->n_streams;
                int r;

                if (poll(fds, n, -1) < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (fds[0].revents != 0)
                        handle_signal(a);
                if (n_streams > 0) {
                        r = move_streams(a, fds + 2);
                        if (r < 0)
                                return r;
                }
                if (fds[1].revents != 0) {
                        r = receive(a);
                        if (r == ATTACH_E_LOST)
                                (void)drain(a); /* last words of what was killed */
                        if (r != 0)
                                return r;
                }
        }

        return a->death != 0 ? 0 : drain(a);
}

/* Signals that end us without a terminal restored, or that this loop acts on. */
static int watch_signals(Attach *a, sigset_t *ret_saved) {
        static const int always[] = {SIGPIPE};
        static const int with_tty[] = {
                SIGWINCH, SIGTSTP, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM};
        sigset_t set;

        (void)sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(always); i++)
                (void)sigaddset(&set, always[i]);
        for (size_t i = 0; a->tty && i < ARRAY_SIZE(with_tty); i++)
                (void)sigaddset(&set, with_tty[i]);

        if (sigprocmask(SIG_BLOCK, &set, ret_saved) < 0)
                return -errno;
        a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
        if (a->signal_fd < 0) {
                int r = -errno;

                (void)sigprocmask(SIG_SETMASK, ret_saved, NULL);
                return r;
        }
        return 0;
}

int attach_run(int socket_fd, bool tty, int *ret_status) {
        Attach a = {
                .socket_fd = socket_fd,
                .tty = tty,
                .outer = {-EBADF, -EBADF, -EBADF},
        };
        struct signalfd_siginfo si;
        sigset_t saved;
        int r;

        assert(socket_fd >= 0);
        assert(ret_status);

        r = watch_signals(&a, &saved);
        if (r < 0)
                return r;

        r = loop(&a);

        terminal_restore(&a);
        for (size_t i = 0; i < a.n_outer; i++)
                a.outer[i] = safe_close(a.outer[i]);
        /* What is still pending of the others means nothing without us. */
        while (read(a.signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
                ;
        if (a.death != 0)
                (void)raise(a.death); /* pending until the mask is lifted */
        a.signal_fd = safe_close(a.signal_fd);
        (void)sigprocmask(SIG_SETMASK, &saved, NULL);

        if (r == 0 && a.death != 0)
                return -EINTR; /* the caller of herokuctl ignores that signal */
        if (r == 0)
                *ret_status = a.status;
        return r;
}
