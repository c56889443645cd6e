/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dynod-scope between a systemd that answers anything and a cgroup file system that has
 * anything: answers, errors and signals come in any order and of any type, preloaded, and
 * then the connection ends. Whatever they are: it ends, the folder that it tells is below
 * /sys/fs/cgroup, and a keeper that it started is in its leaf, or killed.
 *
 * Covers: launcher/scope_main.c
 */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "base/file.h"
#include "base/parse.h"
#include "confine/confine.h"
#include "fuzz_answers.h"
#include "fuzz_folder.h"

#define KEEPER 4711
#define MESSAGES_MAX 10
#define UNIT "fuzz-dynos.scope"

static Input input;
static uint64_t now_usec;
static int peer_fd = -EBADF;
static bool lives, placed;
static char written[512];

/* ---- what systemd says ---- */

static void put_text(DbusCall *m, Input *in) {
        static const char *const texts[] = {
                UNIT,
                ("/system.slice/" UNIT),
                "/",
                "",
                "other.scope",
                "relative",
                "/a\nb",
                "done",
        };
        uint8_t which = input_byte(in);
        const uint8_t *own;
        size_t size;

        if (which < 0xe0) {
                dbus_text(
                        m,
                        texts[which % ARRAY_SIZE(texts)],
                        strlen(texts[which % ARRAY_SIZE(texts)]));
                return;
        }
        own = input_bytes(in, which < 0xf0 ? 1 : 16, 4096, &size);
        dbus_text(m, (const char *)own, size);
}

static void put_body(DbusCall *m, const char *signature, Input *in) {
        for (; *signature; signature++) {
                dbus_align(m, *signature == 'v' ? 1 : 4);
                if (*signature == 'v')
                        dbus_put(m, "\1s", 3);
                if (*signature == 'u')
                        dbus_u32(m, input_byte(in));
                else if (*signature == 'o')
                        dbus_text(m, "/org/a", 6);
                else {
                        dbus_align(m, 4);
                        put_text(m, in);
                }
        }
}

static void make_message(DbusCall *m, uint32_t serial, uint32_t *answers, Input *in) {
        static const char *const signatures[] = {"v", "", "o", "s", "uoss", "uo", "u"};
        uint8_t what = input_byte(in);
        uint8_t type = what >= 0xc0 ? 3 : what >= 0x80 ? 4 : 2; /* error, signal, return */
        const char *signature = type == 3 ? "s" : signatures[what % ARRAY_SIZE(signatures)];
        const uint8_t head[] = {'l', type, 1, 1};
        size_t begin;

        if (type == 4 && what < 0xb0)
                signature = "uoss";
        m->size = m->n_fds = 0;
        dbus_put(m, head, sizeof(head));
        dbus_u32(m, 0);
        dbus_u32(m, serial);
        dbus_u32(m, 0);
        if (*signature)
                dbus_field(m, 8, "g", signature);
        if (type == 4) {
                dbus_field(m, 1, "o", "/org/freedesktop/systemd1");
                dbus_field(m, 2, "s", "org.freedesktop.systemd1.Manager");
                dbus_field(m, 3, "s", "JobRemoved");
        } else {
                if (type == 3)
                        dbus_field(m, 4, "s", "org.freedesktop.systemd1.NoSuchUnit");
                answer_field_u32(m, 5, what % 16 == 15 ? input_byte(in) : ++*answers);
        }
        dbus_patch(m, 12, m->size - 16);
        dbus_align(m, 8);
        begin = m->size;
        put_body(m, signature, in);
        dbus_patch(m, 4, m->size - begin);
        if (what == 0xff)
                m->data[input_u32(in) % m->size] ^= input_byte(in);
}

static int connect_systemd(Input *in) {
        static DbusCall m;
        uint32_t answers = 0;
        int pair[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
                abort();
        answer_hello(pair[1]);
        for (uint32_t i = 1, n = input_byte(in) % MESSAGES_MAX; i <= n; i++) {
                make_message(&m, i, &answers, in);
                answer_send(pair[1], &m, -EBADF);
        }
        if (shutdown(pair[1], SHUT_WR) < 0)
                abort();
        peer_fd = pair[1];
        return pair[0];
}

/* ---- the system ---- */

static uint64_t fake_clock(void) {
        return now_usec += USEC_PER_SEC;
}

static pid_t fake_fork(void) {
        assert(!lives);
        if (input_byte(&input) >= 0xf0) {
                errno = EAGAIN;
                return -1;
        }
        lives = true;
        return KEEPER;
}

static int fake_kill(pid_t pid, int signo) {
        assert(pid == KEEPER && signo == SIGKILL && lives);
        lives = false;
        return 0;
}

static void check_path(const char *path) {
        assert(strncmp(path, "/sys/fs/cgroup/", 15) == 0 && strlen(path) < 600);
}

static int fake_open(const char *path, int flags) {
        check_path(path);
        if (input_byte(&input) < 0xc0)
                return open("/dev/null", O_RDONLY | O_CLOEXEC);
        errno = ENOENT;
        return -1;
}

static int fake_mkdirat(int fd, const char *path, mode_t mode) {
        assert(strcmp(path, "keeper") == 0);
        errno = input_byte(&input) < 0x80 ? EEXIST : EROFS;
        return input_byte(&input) < 0x80 ? 0 : -1;
}

static int fake_write_text_at(int fd, const char *path, const char *text) {
        assert(strcmp(path, "keeper/cgroup.procs") == 0 && strcmp(text, "4711") == 0);
        placed = input_byte(&input) < 0xc0;
        return placed ? 0 : -EBUSY;
}

static ssize_t fake_read_text_at(int fd, const char *path, char *ret, size_t size) {
        static const char *const texts[] = {
                "populated 1\nfrozen 0\n", "populated 0\n", "", "popul"};
        uint8_t which = input_byte(&input);

        check_path(path);
        if (which >= 0xf0)
                return -ENOENT;
        return snprintf(ret, size, "%s", texts[which % ARRAY_SIZE(texts)]);
}

static int fake_write_all(int fd, const void *data, size_t size) {
        assert(fd == 3 && size < sizeof(written));
        memcpy(written, data, size);
        written[size] = '\0';
        return 0;
}

static int fake_set_address(sd_bus *bus, const char *address) {
        int fd = connect_systemd(&input);

        return sd_bus_set_fd(bus, fd, fd);
}

/* The program itself, with these in the system's place. */
/* The fuzzer may have nothing to drop, and goes on after it. */
static int fake_no_new_privs(void) {
        return 0;
}

static int fake_keep_capabilities(uint64_t kept) {
        return 0;
}

#define confine_no_new_privs fake_no_new_privs
#define confine_keep_capabilities fake_keep_capabilities
#define fork fake_fork
#define kill fake_kill
#define open fake_open
#define mkdirat fake_mkdirat
#define write_text_at fake_write_text_at
#define read_text_at fake_read_text_at
#define write_all fake_write_all
#define clock_boottime_usec fake_clock
#define sd_bus_set_address fake_set_address
#define main scope_main
int scope_main(int argc, char **argv);
#include "launcher/scope_main.c" // NOLINT(bugprone-suspicious-include): its functions are all static
#undef fork
#undef kill
#undef open
#undef main

static void run(void) {
        char name[] = "dynod-scope", instance[] = "fuzz", grace[] = "30", uid[] = "61000",
             tasks[] = "1000";
        char *argv[] = {name, instance, grace, uid, tasks, NULL};
        int status;

        lives = placed = false;
        written[0] = '\0';
        now_usec = USEC_PER_SEC;
        status = scope_main(5, argv);
        assert(status == 0 || status == 1);
        assert((status == 0) == (written[0] != '\0'));
        if (status == 0)
                check_path(written);
        assert(lives == (lives && placed)); /* else it would stay for ever, in our own cgroup */
        peer_fd = safe_close(peer_fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        static bool begun;
        unsigned before;

        if (!begun) { /* sd-bus opens some of its own once */
                input = (Input){NULL, 0};
                run();
                begun = true;
        }
        before = fuzz_count_fds();
        input = (Input){data, size};
        run();
        assert(fuzz_count_fds() == before);
        return 0;
}
