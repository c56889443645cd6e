/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Whole command lines of herokuctl against a daemon and a dyno that were taken over: any
 * command of the table with any options and words, at a terminal or not, and a daemon that
 * has facts of every shape, job signals, errors and log streams for an answer. Behind a
 * started run or ps:exec is a dyno-init that says anything.
 *
 * No command crashes, hangs or leaves a descriptor open, its status is one of its own, and
 * nothing that moves a cursor arrives on a terminal. The daemon is preloaded: it answers
 * the calls in their order, then the connection ends.
 *
 * Covers: cli/cli.c cli/parse.c cli/command_table.c cli/complete.c cli/remote.c cli/help.c
 *          cli/client.c cli/output.c cli/rollout.c cli/attach.c cli/cmd_apps.c cli/cmd_config.c
 *          cli/cmd_host.c cli/cmd_logs.c cli/cmd_network.c cli/cmd_ps.c cli/cmd_releases.c
 *          cli/cmd_run.c cli/cmd_stacks.c cli/ps.c cli/render.c cli/render_network.c
 *          cli/layers.c cli/table.c cli/json.c cli/text.c cli/dotenv.c cli/scale.c
 *          cli/log_filter.c
 * Options: -max_len=4096
 */

#include <poll.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>

#include "base/parse.h"
#include "cli/cli.h"
#include "fuzz_answers.h"
#include "fuzz_attach.h"
#include "fuzz_folder.h"

#define ARGUMENTS_MAX 12
#define PEERS_MAX 4 /* connections of one command: a followed log is opened again */
#define MESSAGES_MAX 6
#define DEPTH_MAX 3
#define JOB 1 /* the number of each job */

static Input input;
static int peers[PEERS_MAX];
static size_t n_peers;
static bool tty;       /* standard input and output are a terminal */
static bool under_way; /* the command is: calls of others, the fuzzer's, are not ours */

/* ---- what the daemon says ---- */

/* Facts of include/dynod/bus.h with the types that they have there. */
static const struct {
        const char *name, *type;
} facts[] = {
        {"name", "s"},
        {"type", "s"},
        {"app", "s"},
        {"state", "s"},
        {"release", "u"},
        {"since", "s"},
        {"size", "s"},
        {"command", "s"},
        {"memory", "t"},
        {"quantity", "u"},
        {"number", "u"},
        {"version", "u"},
        {"dyno", "s"},
        {"dyno", "a{sv}"},
        {"stack", "s"},
        {"stack", "a{sv}"},
        {"text", "s"},
        {"phase", "s"},
        {"done", "t"},
        {"total", "t"},
        {"files", "t"},
        {"bytes", "t"},
        {"already", "b"},
        {"changed", "as"},
        {"changed", "b"},
        {"notes", "as"},
        {"slug", "s"},
        {"up", "u"},
        {"to", "u"},
        {"config", "as"},
        {"code", "s"},
        {"dynos", "as"},
        {"dynos", "u"},
        {"formation", "aa{sv}"},
        {"layers", "aa{sv}"},
        {"checks", "aa{sv}"},
        {"layer", "s"},
        {"check", "s"},
        {"ok", "b"},
        {"verdict", "s"},
        {"detail", "s"},
        {"fix", "s"},
        {"can_start", "b"},
        {"missing", "as"},
        {"allowed", "as"},
        {"host", "a{sv}"},
        {"hostname", "s"},
        {"os", "s"},
        {"kernel", "s"},
        {"cores", "u"},
        {"version", "s"},
        {"instance", "s"},
        {"memory_promised", "t"},
        {"memory_limit", "t"},
        {"apps", "as"},
        {"apps", "u"},
        {"id", "s"},
        {"reason", "s"},
        {"pid", "u"},
        {"uid", "u"},
        {"address", "s"},
        {"port", "u"},
        {"crashes", "u"},
        {"next_start", "s"},
        {"exit_status", "u"},
        {"cpu_percent", "d"},
        {"boot_deadline", "s"},
        {"last_words", "s"},
        {"stack_version", "u"},
        {"created", "s"},
        {"description", "s"},
        {"user", "s"},
        {"current", "b"},
        {"processes", "a{sv}"},
        {"config_keys", "as"},
        {"slug_bytes", "t"},
        {"releases", "u"},
        {"slugs", "u"},
        {"firewall", "s"},
        {"rules", "aa{sv}"},
        {"rules", "u"},
        {"action", "s"},
        {"target", "s"},
        {"protocol", "s"},
        {"covered_by", "u"},
        {"source", "s"},
        {"restricted", "b"},
        {"trusted", "as"},
        {"trusted", "u"},
        {"services", "aa{sv}"},
        {"services", "as"},
        {"service_address", "s"},
        {"published", "au"},
        {"published", "u"},
        {"in_force", "b"},
        {"problem", "s"},
        {"digest", "s"},
        {"imported", "s"},
        {"memory_quota", "t"},
        {"memory_kill", "t"},
        {"cpu_weight", "u"},
        {"process_limit", "u"},
        {"bandwidth", "t"},
        {"disk", "t"},
        {"connections", "u"},
        {"connection_rate", "u"},
        {"timing", "a{sv}"},
        {"duration_usec", "t"},
};

static const char *const texts[] = {
        "shop",   "web",      "web.1",    "worker",
        "up",     "starting", "crashed",  "restarting",
        "idle",   "failed",   "allowed",  "warning",
        "ok",     "open",     "closed",   "allow",
        "deny",   "tcp",      "R14",      "",
        "read",   "release",  "start",    "stop",
        "unpack", "a\033[2J", "\302\233", "2026-11-23T19:22:41Z",
        "\r\a",   "a\nb\tc",  "Größe ✓",  "10.0.0.0/8:5432/tcp",
};

static void put_facts(DbusCall *m, Input *in, unsigned depth);

static void put_text(DbusCall *m, Input *in) {
        uint8_t which = input_byte(in);
        const uint8_t *own;
        size_t size;

        if (which < 0xd0) {
                const char *text = texts[which % ARRAY_SIZE(texts)];

                dbus_text(m, text, strlen(text));
                return;
        }
        own = input_bytes(in, which < 0xf8 ? 1 : 16, 4096, &size);
        dbus_text(m, (const char *)own, size);
}

/* @n values of one type in an array. */
static void put_list(DbusCall *m, const char *type, Input *in, unsigned depth) {
        uint8_t n = depth < DEPTH_MAX ? input_byte(in) % 4 : 0;
        size_t at, begin;

        dbus_align(m, 4);
        at = m->size;
        dbus_u32(m, 0);
        dbus_align(m, dbus_alignment(*type));
        begin = m->size;
        for (; n > 0; n--)
                if (*type == 'a')
                        put_facts(m, in, depth + 1);
                else if (*type == 's')
                        put_text(m, in);
                else
                        (void)dbus_value(m, type, in);
        dbus_patch(m, at, m->size - begin);
}

static void put_value(DbusCall *m, const char *type, Input *in, unsigned depth) {
        if (strcmp(type, "a{sv}") == 0)
                put_facts(m, in, depth);
        else if (*type == 'a' && type[1] != '{')
                put_list(m, type + 1, in, depth);
        else if (*type == 's')
                put_text(m, in);
        else
                (void)dbus_value(m, type, in);
}

static void put_fact(DbusCall *m, size_t which, Input *in, unsigned depth) {
        static const char *const others[] = {"s", "t", "as", "a{sv}", "aa{sv}", "d", "b", "a{ss}"};
        uint8_t how = input_byte(in);
        const char *type = how < 0xe0 ? facts[which].type : others[how % ARRAY_SIZE(others)];
        uint8_t length = (uint8_t)strlen(type);

        dbus_align(m, 8);
        dbus_text(m, facts[which].name, strlen(facts[which].name));
        dbus_put(m, &length, 1);
        dbus_put(m, type, length + 1U);
        put_value(m, type, in, depth + 1);
}

/* A few facts of the input's choice, or many in a row. */
static void put_facts(DbusCall *m, Input *in, unsigned depth) {
        uint8_t n = input_byte(in);
        size_t at, begin, first = n >= 0xc0 ? input_byte(in) : 0;

        dbus_align(m, 4);
        at = m->size;
        dbus_u32(m, 0);
        dbus_align(m, 8);
        begin = m->size;
        if (depth > DEPTH_MAX)
                n = 0;
        if (n >= 0xc0)
                for (size_t i = 0; i < n - 0xb0U; i++)
                        put_fact(m, (first + i) % ARRAY_SIZE(facts), in, depth);
        else
                for (n %= 16; n > 0; n--)
                        put_fact(m, input_pick(in, ARRAY_SIZE(facts)), in, depth);
        dbus_patch(m, at, m->size - begin);
}

typedef enum AnswerType {
        ANSWER_RETURN = 2, /* types of the D-Bus specification */
        ANSWER_ERROR = 3,
        ANSWER_SIGNAL = 4,
} AnswerType;

static void put_head(DbusCall *m, AnswerType type, uint32_t serial, const char *signature) {
        const uint8_t head[] = {'l', (uint8_t)type, 1, 1};

        m->size = m->n_fds = 0;
        dbus_put(m, head, sizeof(head));
        dbus_u32(m, 0);
        dbus_u32(m, serial);
        dbus_u32(m, 0);
        if (*signature)
                dbus_field(m, 8, "g", signature);
}

/* The body of an answer or a signal, whose first number is that of the job. */
static void put_body(DbusCall *m, const char *signature, Input *in) {
        size_t begin;

        dbus_patch(m, 12, m->size - 16);
        dbus_align(m, 8);
        begin = m->size;
        if (*signature == 'u') {
                dbus_u32(m, JOB);
                signature++;
        }
        for (const char *end; *signature; signature = end) {
                char type[16] = "";

                end = dbus_type_end(signature);
                memcpy(type, signature, (size_t)(end - signature));
                dbus_align(m, dbus_alignment(*type));
                put_value(m, type, in, 0);
        }
        dbus_patch(m, 4, m->size - begin);
}

static void make_signal(DbusCall *m, uint32_t serial, bool done, Input *in) {
        const char *signature = done ? "usssa{sv}" : "ua{sv}";

        put_head(m, ANSWER_SIGNAL, serial, signature);
        dbus_field(m, 1, "o", DYNOD_BUS_PATH);
        dbus_field(m, 2, "s", DYNOD_BUS_INTERFACE);
        dbus_field(m, 3, "s", done ? "JobDone" : "JobProgress");
        put_body(m, signature, in);
}

static void make_reply(DbusCall *m, uint32_t serial, uint32_t answers, Input *in) {
        static const char *const signatures[] = {
                "aa{sv}", "a{sv}", "u", "a{sv}", "h", "a{ss}", "as", ""};
        static const char *const errors[] = {
                DYNOD_ERROR_FAILED,
                DYNOD_ERROR_NO_SUCH_APP,
                DYNOD_ERROR_NOT_UP,
                "org.freedesktop.DBus.Error.UnknownMethod",
                "org.example.Unknown"};
        uint8_t which = input_byte(in);
        const char *signature = which < 0xe0 ? signatures[which % ARRAY_SIZE(signatures)] : "s";

        put_head(m, which < 0xe0 ? ANSWER_RETURN : ANSWER_ERROR, serial, signature);
        if (which >= 0xe0)
                dbus_field(m, 4, "s", errors[which % ARRAY_SIZE(errors)]);
        answer_field_u32(m, 5, answers);
        if (*signature == 'h')
                answer_field_u32(m, 9, 1);
        put_body(m, signature, in);
}

/* All that the daemon says on one connection. Return: the client's end. */
static int make_connection(Input *in) {
        static DbusCall m;
        uint32_t answers = 0;
        uint8_t n = input_byte(in);
        bool damaged = false;
        int pair[2], stream_fd;

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        stream_fd = answer_stream(in);
        if (n < 0xf0) /* else it never says hello */
                answer_hello(pair[1]);
        for (uint32_t i = 1; i <= n % (MESSAGES_MAX + 1U); i++) {
                uint8_t what = input_byte(in);

                if (what % 4 < 2)
                        make_reply(&m, i, ++answers, in);
                else
                        make_signal(&m, i, what % 4 == 3, in);
                if (what >= 0xf8) {
                        m.data[input_u32(in) % m.size] ^= input_byte(in);
                        damaged = true;
                }
                if (damaged) /* sd-bus itself loses the descriptors of what is not well-formed */
                        m.n_fds = 0;
                answer_send(pair[1], &m, stream_fd);
        }
        (void)close(stream_fd);
        if (shutdown(pair[1], SHUT_WR) < 0)
                abort();
        peers[n_peers++] = pair[1];
        return pair[0];
}

/* ---- what of the system is the input's ---- */

int __real_socketpair(int domain, int type, int protocol, int fds[2]);

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t size) {
        int client_fd;

        if (n_peers >= PEERS_MAX || (n_peers > 0 && input.size == 0)) {
                errno = ECONNREFUSED;
                return -1;
        }
        client_fd = make_connection(&input);
        if (dup3(client_fd, fd, O_CLOEXEC) < 0)
                abort();
        (void)close(client_fd);
        return 0;
}

/* The attach socket, on which the far end has said all before it is asked. */
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]);
int __wrap_socketpair(int domain, int type, int protocol, int fds[2]) {
        int r = __real_socketpair(domain, type, protocol, fds);

        if (r < 0 || (type & SOCK_SEQPACKET) != SOCK_SEQPACKET)
                return r;
        for (uint8_t n = input_byte(&input) % 4; n > 0; n--)
                attach_send(&input, fds[1], tty);
        (void)shutdown(fds[1], SHUT_WR);
        return r;
}

uint64_t __wrap_clock_boottime_usec(void);
uint64_t __wrap_clock_boottime_usec(void) {
        static uint64_t now_usec;

        return now_usec += USEC_PER_SEC / 5;
}

int __wrap_nanosleep(const struct timespec *time, struct timespec *left);
int __wrap_nanosleep(const struct timespec *time, struct timespec *left) {
        return 0;
}

int __real_setitimer(int which, const struct itimerval *new, struct itimerval *old);
int __wrap_setitimer(int which, const struct itimerval *new, struct itimerval *old);
int __wrap_setitimer(int which, const struct itimerval *new, struct itimerval *old) {
        return under_way ? 0 : __real_setitimer(which, new, old); /* SIGALRM is the fuzzer's */
}

sighandler_t __real_signal(int signo, sighandler_t handler);
sighandler_t __wrap_signal(int signo, sighandler_t handler);
sighandler_t __wrap_signal(int signo, sighandler_t handler) {
        return under_way ? SIG_DFL : __real_signal(signo, handler);
}

pid_t __wrap_fork(void);
pid_t __wrap_fork(void) {
        errno = EAGAIN;
        return -1;
}

int __wrap_execlp(const char *file, const char *argument, ...);
int __wrap_execlp(const char *file, const char *argument, ...) {
        assert(strcmp(file, "ssh") == 0);
        errno = ENOENT;
        return -1;
}

/* ---- the command line ---- */

static const char *const words[] = {
        "shop",
        "store",
        "web",
        "web.1",
        "web=2",
        "worker+1:standard-2x",
        "debian-12",
        "-",
        "/",
        "/nonexistent",
        "/dev/null",
        "v2",
        "A=b c",
        "A=-",
        "A",
        "10.0.0.0/8:5432/tcp",
        "any",
        "8080",
        "5432/udp",
        "auto",
        "1",
        "10m",
        "120s",
        "[a-z",
        "--",
        "app",
        "2026-11-23T19:22:41Z",
        "SHA256:1212121212121212121212121212121212121212121212121212121212121212",
        "-tq",
        "-n",
        "postgres",
        "",
};

/* An option of the command, of any command, or a word. */
static void make_word(Input *in, const Command *command, char *ret, size_t size) {
        uint8_t which = input_byte(in);
        const OptionDef *def;
        OptionId id = OPT_APP;

        if (which < 0x60) {
                (void)snprintf(ret, size, "%s", words[which % ARRAY_SIZE(words)]);
                return;
        }
        if (which >= 0xf0) {
                (void)input_text(in, ret, size);
                for (char *c = ret; *c; c++) /* what the caller typed may come back as it is */
                        *c = *c < ' ' || *c == 0x7f ? '~'
                                                    : *c; /* char is signed: UTF-8 is out, too */
                return;
        }
        if (which < 0xc0 && command)
                id = command->options[which % COMMAND_OPTIONS_MAX];
        else
                id = (OptionId)(1 + which % (_OPT_MAX - 1));
        def = &option_table[id != OPT_NONE ? id : OPT_APP];
        if (def->type == OPTION_FLAG) {
                (void)snprintf(ret, size, "--%s", def->name);
                return;
        }
        (void)snprintf(ret, size, "--%s=%s", def->name, words[input_pick(in, ARRAY_SIZE(words))]);
}

static int make_line(Input *in, char **argv, char *space, size_t step) {
        uint8_t which = input_byte(in), n = input_byte(in) % (ARGUMENTS_MAX - 3);
        const Command *command = &command_table[which % command_table_size];
        int argc = 1;

        (void)snprintf(space, step, "herokuctl");
        argv[0] = space;
        if (which >= 0xe0) {
                argv[argc] = space + step;
                (void)snprintf(argv[argc++], step, "--complete");
        }
        argv[argc] = space + 2 * step;
        (void)snprintf(argv[argc++], step, "%s", command->name);
        for (; n > 0; n--) {
                argv[argc] = space + (size_t)(argc + 2) * step;
                make_word(in, command, argv[argc++], step);
        }
        argv[argc] = NULL;
        return argc;
}

/* ---- the caller's side ---- */

typedef struct Caller {
        int outer_fd, inner_fd; /* of the terminal */
        int null_fd;
        struct termios settings;
} Caller;

static void caller_open(Caller *caller) {
        caller->outer_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (caller->outer_fd < 0 || unlockpt(caller->outer_fd) < 0)
                abort();
        /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
        caller->inner_fd = open(ptsname(caller->outer_fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
        caller->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (caller->inner_fd < 0 || caller->null_fd < 0 ||
            tcgetattr(caller->inner_fd, &caller->settings) < 0)
                abort();
        caller->settings.c_iflag &= ~(tcflag_t)IXON; /* nobody is there to go on with Ctrl-Q */
        if (tcsetattr(caller->inner_fd, TCSANOW, &caller->settings) < 0)
                abort();
}

/* Standard input: typed at a terminal, or a pipe. What is typed ends a line, and the input. */
static void caller_begin(const Caller *caller, Input *in) {
        size_t size;
        const uint8_t *data = input_bytes(in, 1, 200, &size);
        int fds[2];

        __fpurge(stdin);
        clearerr(stdin);
        if (tty) {
                (void)!write(caller->outer_fd, data, size);
                (void)!write(caller->outer_fd, "\n\4\4\4", 4);
                if (dup2(caller->inner_fd, STDIN_FILENO) < 0 ||
                    dup2(caller->inner_fd, STDOUT_FILENO) < 0)
                        abort();
                return;
        }
        if (pipe2(fds, O_CLOEXEC) < 0 || write(fds[1], data, size) != (ssize_t)size)
                abort();
        if (dup2(fds[0], STDIN_FILENO) < 0 || dup2(caller->null_fd, STDOUT_FILENO) < 0)
                abort();
        (void)close(fds[0]);
        (void)close(fds[1]);
}

/* The terminal is as it was. */
static void caller_end(const Caller *caller) {
        struct termios now;
        char text[1024];

        if (tcgetattr(caller->inner_fd, &now) < 0)
                abort();
        assert(now.c_lflag == caller->settings.c_lflag && now.c_iflag == caller->settings.c_iflag &&
               now.c_oflag == caller->settings.c_oflag);
        (void)tcflush(caller->inner_fd, TCIOFLUSH);
        while (read(caller->outer_fd, text, sizeof(text)) > 0)
                ;
        if (dup2(caller->null_fd, STDIN_FILENO) < 0 || dup2(caller->null_fd, STDOUT_FILENO) < 0)
                abort();
}

/* Signals that wait for attach_run(): the window has another size, the session has ended. */
static void send_signals(uint8_t how) {
        if (how & 1)
                (void)raise(SIGWINCH);
        if (how & 2)
                (void)raise(SIGHUP);
}

static void take_signals(void) {
        static const struct timespec at_once;
        sigset_t set;

        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGWINCH);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGPIPE);
        while (sigtimedwait(&set, NULL, &at_once) > 0)
                ;
}

/* Without what herokuctl itself draws: the line of progress, begun anew. */
static void check_output(char *text, size_t size) {
        static const char redraw[] = "\r\033[K";
        char *at;

        while ((at = memmem(text, size, redraw, sizeof(redraw) - 1)))
                memset(at, ' ', sizeof(redraw) - 1);
        answer_check_terminal(text, size);
}

static void fuzz_command(const Caller *caller) {
        static char space[(ARGUMENTS_MAX + 4) * 256];
        char *argv[ARGUMENTS_MAX + 2] = {NULL}, *text[2] = {NULL};
        uint8_t how = input_byte(&input), signals = input_byte(&input);
        size_t size[2] = {0};
        Output output = {
                .out_terminal = (how & 1) != 0,
                .err_terminal = (how & 2) != 0,
                .width = (how & 4) != 0 ? 60 : 0,
                .now_usec = ANSWER_NOW_USEC,
        };
        int argc, status;

        tty = (how & 3) == 3 && (how & 8) != 0;
        (void)(how & 16 ? setenv("HEROKU_APP", "shop", 1) : unsetenv("HEROKU_APP"));
        n_peers = 0;
        argc = make_line(&input, argv, space, 256);
        caller_begin(caller, &input);
        send_signals(signals < 0xf0 ? 0 : signals);
        output.out = open_memstream(&text[0], &size[0]);
        output.err = open_memstream(&text[1], &size[1]);
        if (!output.out || !output.err)
                abort();
        under_way = true;
        status = cli_main(argc, argv, &output);
        under_way = false;
        assert(status >= 0 && status <= 255);
        take_signals();
        (void)fclose(output.out);
        (void)fclose(output.err);
        caller_end(caller);
        if (getenv("FUZZ_LOG")) /* to look at one input */
                for (int i = 0; i < argc; i++)
                        (void)fprintf(stderr, "%s%s", argv[i], i + 1 < argc ? " " : "\n");
        if (getenv("FUZZ_LOG"))
                (void)fprintf(stderr, "%s%s", text[0], text[1]);
        if (output.out_terminal && !output.json)
                check_output(text[0], size[0]);
        if (output.err_terminal)
                check_output(text[1], size[1]);
        free(text[0]);
        free(text[1]);
        while (n_peers > 0)
                (void)close(peers[--n_peers]);
}

static void begin(Caller *caller) {
        sigset_t set;

        caller_open(caller);
        (void)setenv("TZ", "UTC", 1);
        (void)setenv("TERM", "xterm", 1);
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGWINCH);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGPIPE);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                abort();
        tty = false;
        input = (Input){NULL, 0}; /* sd-bus and the C library open some of their own once */
        fuzz_command(caller);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static Caller caller;
        static bool begun;
        unsigned before;

        if (!begun)
                begin(&caller);
        begun = true;
        before = fuzz_count_fds();
        input = (Input){data, size};
        fuzz_command(&caller);
        assert(fuzz_count_fds() == before);
        return 0;
}
