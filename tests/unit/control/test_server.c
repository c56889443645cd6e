/* SPDX-License-Identifier: Apache-2.0 */

/* The control socket from outside: a server in a child, clients of every kind here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>

#include "base/cleanup.h"
#include "control/server.h"
#include "dynod/bus.h"

typedef struct World {
        char folder[64];
        struct sockaddr_un address;
        pid_t server;
} World;

static void serve(int listen_fd) {
        _cleanup_(server_freep) Server *server = NULL;
        sd_event *event;

        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (sd_event_new(&event) < 0 || server_new(&server, event, listen_fd, (Manager *)1) < 0)
                _exit(1);
        (void)sd_event_loop(event);
        _exit(0);
}

static int setup(void **state) {
        World *world = calloc(1, sizeof(*world));
        int fd;

        strcpy(world->folder, "/tmp/dynod-test-XXXXXX");
        if (!mkdtemp(world->folder))
                return -1;
        world->address.sun_family = AF_UNIX;
        (void)snprintf(
                world->address.sun_path,
                sizeof(world->address.sun_path),
                "%s/control.sock",
                world->folder);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&world->address, sizeof(world->address)) < 0 ||
            listen(fd, 128) < 0 || chmod(world->folder, 0755) < 0 ||
            chmod(world->address.sun_path, 0666) < 0)
                return -1;
        world->server = fork();
        if (world->server == 0)
                serve(fd);
        (void)close(fd);
        *state = world;
        return world->server > 0 ? 0 : -1;
}

static int teardown(void **state) {
        World *world = *state;
        int status = 0;

        (void)kill(world->server, SIGTERM);
        (void)waitpid(world->server, &status, 0);
        (void)unlink(world->address.sun_path);
        (void)rmdir(world->folder);
        free(world);
        /* whatever the clients did, it was us who ended it */
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM ? 0 : -1;
}

static int connect_raw(const World *world) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_int_equal(
                connect(fd, (const struct sockaddr *)&world->address, sizeof(world->address)), 0);
        return fd;
}

static sd_bus *connect_bus(const World *world) {
        int fd = connect_raw(world);
        sd_bus *bus;

        assert_true(sd_bus_new(&bus) >= 0);
        assert_true(sd_bus_set_fd(bus, fd, fd) >= 0);
        assert_true(sd_bus_negotiate_fds(bus, true) >= 0);
        assert_true(sd_bus_start(bus) >= 0);
        return bus;
}

static void unrefp(sd_bus **bus) {
        (void)sd_bus_close_unref(*bus);
}
#define _cleanup_bus_ _cleanup_(unrefp)

/* Calls; @ret NULL: the answer must be the error @expect. */
static void
call(sd_bus *bus,
     const char *method,
     sd_bus_message **ret,
     const char *expect,
     const char *types,
     ...) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus_error error = SD_BUS_ERROR_NULL;
        va_list ap;
        int r;

        assert_true(
                sd_bus_message_new_method_call(
                        bus, &m, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, method) >= 0);
        va_start(ap, types);
        if (*types)
                assert_true(sd_bus_message_appendv(m, types, ap) >= 0);
        va_end(ap);
        r = sd_bus_call(bus, m, 5000000, &error, ret);
        if (expect) {
                assert_true(r < 0);
                assert_string_equal(error.name, expect);
        } else {
                assert_true(r >= 0);
        }
        sd_bus_error_free(&error);
}

static void test_calls_are_answered(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *a = NULL, *b = NULL, *c = NULL;
        const char *name, *value;

        call(bus, "Version", &a, NULL, "");
        assert_true(sd_bus_message_has_signature(a, "a{sv}"));
        call(bus, "ListStacks", &b, NULL, "");
        assert_true(sd_bus_message_has_signature(b, "aa{sv}"));
        call(bus, "GetConfig", &c, NULL, "s", "shop");
        assert_true(sd_bus_message_enter_container(c, 'a', "{ss}") > 0);
        assert_true(sd_bus_message_read(c, "{ss}", &name, &value) > 0);
        assert_string_equal(value, "va\xef\xbf\xbdlue"); /* not UTF-8: D-Bus would not take it */
        call(bus, "Doctor", NULL, NULL, "");
        call(bus, "HostInfo", NULL, NULL, "");
        call(bus, "ListSizes", NULL, NULL, "");
}

static void test_errors_have_a_name_and_a_hint(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        sd_bus_error error = SD_BUS_ERROR_NULL;

        call(bus, "AppInfo", NULL, DYNOD_ERROR_NO_SUCH_APP, "s", "shop");
        call(bus, "RenameApp", NULL, DYNOD_ERROR_FAILED, "ss", "a", "b");
        call(bus, "Nonsense", NULL, SD_BUS_ERROR_UNKNOWN_METHOD, "");
        call(bus, "AppInfo", NULL, SD_BUS_ERROR_INVALID_ARGS, "u", 1);
        call(bus,
             "Run",
             NULL,
             DYNOD_ERROR_INVALID_ARGUMENT,
             "sasa{ss}sbbbqqh",
             "shop",
             0,
             0,
             "",
             1,
             1,
             0,
             0,
             0,
             STDERR_FILENO);
        assert_true(
                sd_bus_call_method(
                        bus,
                        NULL,
                        DYNOD_BUS_PATH,
                        DYNOD_BUS_INTERFACE,
                        "Inspect",
                        &error,
                        NULL,
                        "ss",
                        "shop",
                        "web.1") < 0);
        assert_string_equal(error.name, DYNOD_ERROR_NO_SUCH_DYNO);
        assert_string_equal(error.message, "No dyno.\nherokuctl ps");
        sd_bus_error_free(&error);
}

static void test_network_policy_is_told_and_changed(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *a = NULL, *b = NULL;
        char *text = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&text, &size);

        call(bus, "Network", &a, NULL, "s", "shop");
        call(bus, "ChangeNetwork", &b, NULL, "ssas", "shop", "allow", 1, "10.0.0.0/8");
        assert_true(sd_bus_message_has_signature(a, "a{sv}"));
        assert_true(sd_bus_message_has_signature(b, "a{sv}"));
        assert_true(sd_bus_message_dump(b, f, 0) >= 0);
        fclose(f);
        for (const char *const *p =
                     (const char *const[]){
                             "\"closed\"",
                             "\"10.1.0.0/16:80-81/tcp\"",
                             "covered_by",
                             "\"203.0.113.5\"",
                             "\"198.51.100.0/24\"",
                             "\"dns\"",
                             "\"172.16.0.1\"",
                             "UINT32 443",
                             "changed",
                             "\"10.0.0.0/8\"",
                             NULL};
             *p;
             p++)
                if (!strstr(text, *p))
                        fail_msg("%s is not in:\n%s", *p, text);
        free(text);

        call(bus, "ChangeNetwork", NULL, DYNOD_ERROR_INVALID_ARGUMENT, "ssas", "shop", "allow", 0);
        call(bus, "ChangeNetwork", NULL, SD_BUS_ERROR_INVALID_ARGS, "ss", "shop", "allow");
}

typedef struct Seen {
        unsigned progress, done;
        uint32_t job;
        uint64_t bytes;
} Seen;

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *reterr) {
        Seen *seen = userdata;

        assert_true(sd_bus_message_read(m, "u", &seen->job) > 0);
        if (sd_bus_message_is_signal(m, NULL, "JobDone"))
                seen->done++;
        else
                seen->progress++;
        return 0;
}

static void watch(sd_bus *bus, Seen *seen) {
        assert_true(
                sd_bus_match_signal(
                        bus, NULL, NULL, NULL, DYNOD_BUS_INTERFACE, NULL, on_signal, seen) >= 0);
}

static void wait_done(sd_bus *bus, const Seen *seen, unsigned n) {
        while (seen->done < n) {
                int r = sd_bus_process(bus, NULL);

                assert_true(r >= 0);
                if (r == 0)
                        assert_true(sd_bus_wait(bus, 5000000) > 0);
        }
}

static int pipe_with(const char *text) {
        int fds[2];

        assert_int_equal(pipe(fds), 0);
        assert_int_equal(write(fds[1], text, strlen(text)), strlen(text));
        (void)close(fds[1]);
        return fds[0];
}

static void test_jobs_report_to_who_asked(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state), *other = connect_bus(*state);
        _cleanup_close_ int fd = pipe_with("archive");
        Seen seen = {}, other_seen = {};

        watch(bus, &seen);
        watch(other, &other_seen);
        call(bus, "ImportStack", NULL, NULL, "shts", "debian-12", fd, (uint64_t)7, "");
        wait_done(bus, &seen, 1);
        assert_int_equal(seen.progress, 1);
        call(other, "Version", NULL, NULL, "");
        while (sd_bus_process(other, NULL) > 0)
                ;
        assert_int_equal(other_seen.done + other_seen.progress, 0);
}

static void test_descriptors_go_both_ways(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
        char text[8] = "";
        int fds[2], fd;

        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
        call(bus,
             "Run",
             NULL,
             NULL,
             "sasa{ss}sbbbqqh",
             "shop",
             1,
             "ls",
             0,
             "",
             1,
             1,
             0,
             0,
             0,
             fds[1]);
        (void)close(fds[1]);
        assert_int_equal(read(fds[0], text, sizeof(text)), 5);
        assert_string_equal(text, "hello");
        (void)close(fds[0]);

        call(bus, "Logs", &reply, NULL, "sb", "shop", 0);
        assert_true(sd_bus_message_read(reply, "h", &fd) > 0);
        assert_int_equal(read(fd, text, sizeof(text)), 5);
}

/* Descriptors must stay with their message when many calls are under way at once. */
static void test_calls_in_a_row_keep_their_descriptors(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        Seen seen = {};

        watch(bus, &seen);
        for (int i = 0; i < 20; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL, *n = NULL;
                _cleanup_close_ int fd = pipe_with("archive");

                assert_true(
                        sd_bus_message_new_method_call(
                                bus,
                                &m,
                                NULL,
                                DYNOD_BUS_PATH,
                                DYNOD_BUS_INTERFACE,
                                "ImportStack") >= 0);
                assert_true(sd_bus_message_append(m, "shts", "x", fd, (uint64_t)7, "") >= 0);
                assert_true(
                        sd_bus_message_new_method_call(
                                bus, &n, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "Version") >=
                        0);
                assert_true(sd_bus_send(bus, n, NULL) >= 0);
                assert_true(sd_bus_send(bus, m, NULL) >= 0);
        }
        wait_done(bus, &seen, 20);
}

static void test_large_config_fits(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        char *value = calloc(1, 200 * 1024 + 1);
        Seen seen = {};

        memset(value, 'x', 200 * 1024);
        watch(bus, &seen);
        call(bus, "ChangeConfig", NULL, NULL, "sa{ss}as", "shop", 1, "BIG", value, 2, "A", "B");
        wait_done(bus, &seen, 1);
        free(value);
}

/* Whether the server hangs up on @fd within five seconds. */
static bool hung_up(int fd) {
        for (;;) {
                struct pollfd p = {.fd = fd, .events = POLLIN};
                char buf[4096];

                if (poll(&p, 1, 5000) <= 0)
                        return false;
                if (read(fd, buf, sizeof(buf)) <= 0)
                        return true;
        }
}

static const char greeting[] = "\0AUTH EXTERNAL\r\nDATA\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n";

static void test_too_long_a_message_ends_the_connection(void **state) {
        _cleanup_close_ int fd = connect_raw(*state);
        /* little endian, a call, 100 MB of body */
        static const unsigned char header[16] = {'l', 1, 0, 1, 0, 0, 0x40, 6, 1, 0, 0, 0, 8};

        assert_int_equal(
                send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL), sizeof(greeting) - 1);
        assert_int_equal(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
        assert_true(hung_up(fd));
}

static void test_garbage_ends_the_connection(void **state) {
        static const char *const texts[] = {
                "GET / HTTP/1.1\r\n\r\n", "\0AUTH NONSENSE\r\n", "xxxx"};
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                _cleanup_close_ int fd = connect_raw(*state);
                char buf[2048];

                memset(buf, 'x', sizeof(buf));
                (void)send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL);
                (void)send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
                (void)send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
                assert_true(hung_up(fd));
        }
        call(bus, "Version", NULL, NULL, "");
}

/* Sends @size bytes with @n descriptors. Return: as sendmsg() */
static ssize_t send_with_fds(int fd, const void *data, size_t size, size_t n) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * 64)];
        } control = {};
        struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = CMSG_SPACE(sizeof(int) * n)};
        int fds[64];

        for (size_t i = 0; i < 64; i++)
                fds[i] = STDERR_FILENO;
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n);
        return sendmsg(fd, &mh, MSG_NOSIGNAL);
}

static void test_too_many_descriptors_end_the_connection(void **state) {
        _cleanup_close_ int fd = connect_raw(*state);

        assert_int_equal(send_with_fds(fd, greeting, 1, 64), 1);
        assert_true(hung_up(fd));
}

/* Few with each byte, but more than any message of ours has: they would pile up in sd-bus. */
static void test_descriptors_of_one_message_are_bounded(void **state) {
        _cleanup_close_ int fd = connect_raw(*state);
        /* little endian, a call, 256 bytes of body */
        static const unsigned char header[16] = {'l', 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0};

        assert_int_equal(
                send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL), sizeof(greeting) - 1);
        assert_int_equal(send(fd, header, sizeof(header), MSG_NOSIGNAL), sizeof(header));
        for (size_t i = 0; i < 3; i++)
                (void)send_with_fds(fd, "x", 1, 4); /* EPIPE when it was seen already */
        assert_true(hung_up(fd));
}

static unsigned descriptors_of(pid_t pid) {
        char path[64];
        unsigned n = 0;
        DIR *dir;

        (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
        dir = opendir(path);
        assert_non_null(dir);
        while (readdir(dir))
                n++;
        (void)closedir(dir);
        return n;
}

/* A call of Version, and a byte of its header to be changed. */
static const uint8_t version_call[] = {
        'l', 1,   0,   1,   0,   0,   0,   0,   7,   0,   0,   0,   0x58, 0,   0,   0,   1,   1,
        'o', 0,   19,  0,   0,   0,   '/', 'o', 'r', 'g', '/', 'd', 'y',  'n', 'o', 'd', '/', 'M',
        'a', 'n', 'a', 'g', 'e', 'r', '1', 0,   0,   0,   0,   0,   2,    1,   's', 0,   18,  0,
        0,   0,   'o', 'r', 'g', '.', 'd', 'y', 'n', 'o', 'd', '.', 'M',  'a', 'n', 'a', 'g', 'e',
        'r', '1', 0,   0,   0,   0,   0,   0,   3,   1,   's', 0,   7,    0,   0,   0,   'V', 'e',
        'r', 's', 'i', 'o', 'n', 0,   9,   1,   'u', 0,   1,   0,   0,    0,
};

/* sd-bus forgets the descriptors of a message that it cannot read. */
static void test_no_descriptor_outlives_a_broken_message(void **state) {
        World *world = *state;
        _cleanup_bus_ sd_bus *bus = connect_bus(world);
        unsigned before;

        call(bus, "Version", NULL, NULL, "");
        before = descriptors_of(world->server);
        for (size_t i = 0; i < sizeof(version_call); i += 2) {
                _cleanup_close_ int fd = connect_raw(world);
                uint8_t broken[sizeof(version_call)];
                char answer[256];

                memcpy(broken, version_call, sizeof(broken));
                broken[i] ^= 0x15;
                assert_int_equal(write(fd, greeting, sizeof(greeting) - 1), sizeof(greeting) - 1);
                assert_true(read(fd, answer, sizeof(answer)) > 0);
                (void)!send_with_fds(fd, broken, sizeof(broken), 1);
                (void)shutdown(fd, SHUT_WR);
                while (read(fd, answer, sizeof(answer)) > 0)
                        ;
        }
        call(bus, "Version", NULL, NULL, "");
        assert_int_equal(descriptors_of(world->server), before);
}

static void test_who_does_not_read_is_dropped(void **state) {
        _cleanup_bus_ sd_bus *slow = connect_bus(*state), *bus = connect_bus(*state);
        int r = 0;

        call(slow, "ListApps", NULL, NULL, "");
        /* Each answer has 64 KB: the socket is full after a few, then the server's queue. */
        for (int i = 0; i < 10000 && r >= 0; i++) {
                _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
                struct pollfd p = {.fd = sd_bus_get_fd(slow), .events = POLLOUT};
                uint64_t cookie;

                assert_true(
                        sd_bus_message_new_method_call(
                                slow, &m, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "ListApps") >=
                        0);
                (void)poll(&p, 1, 2000);
                if ((p.revents & (POLLERR | POLLHUP)) != 0)
                        r = -EPIPE;
                else
                        r = sd_bus_send(slow, m, &cookie); /* a cookie: an answer is wanted */
        }
        assert_true(r < 0);
        call(bus, "Version", NULL, NULL, "");
}

#define STEPS 10000 /* of the fake manager's job "long" */

/* Progress waits for no more than what a socket holds, and the end of the job comes all the same. */
static void test_progress_does_not_pile_up_for_who_does_not_read(void **state) {
        _cleanup_bus_ sd_bus *slow = connect_bus(*state), *bus = connect_bus(*state);
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        _cleanup_close_ int fd = pipe_with("archive");
        struct pollfd p = {.fd = sd_bus_get_fd(slow), .events = POLLIN};
        Seen seen = {.done = 0};
        uint64_t cookie;

        watch(slow, &seen);
        call(slow, "Version", NULL, NULL, "");
        assert_true(
                sd_bus_message_new_method_call(
                        slow, &m, NULL, DYNOD_BUS_PATH, DYNOD_BUS_INTERFACE, "ImportStack") >= 0);
        assert_true(sd_bus_message_append(m, "shts", "long", fd, (uint64_t)7, "") >= 0);
        assert_true(sd_bus_send(slow, m, &cookie) >= 0);
        assert_true(sd_bus_flush(slow) >= 0);
        assert_int_equal(poll(&p, 1, 5000), 1);
        call(bus, "Version", NULL, NULL, ""); /* answered when all of it is sent */

        wait_done(slow, &seen, 1);
        assert_in_range(seen.progress, 16, STEPS / 2);
}

#define CONNECTIONS 64

/* Whether a client is answered at all, and was not sent away. */
static bool is_served(const World *world) {
        _cleanup_close_ int fd = connect_raw(world);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char buf[512];

        (void)send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL);
        return poll(&p, 1, 5000) > 0 && read(fd, buf, sizeof(buf)) > 0;
}

static void test_connections_of_a_uid_are_bounded(void **state) {
        int fds[CONNECTIONS + 1];

        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                fds[i] = connect_raw(*state);
        assert_true(hung_up(fds[CONNECTIONS]));
        if (geteuid() == 0) { /* another uid has its own */
                assert_int_equal(seteuid(65534), 0);
                assert_true(is_served(*state));
                assert_int_equal(seteuid(0), 0);
        }
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                (void)close(fds[i]);
        /* and there is room again */
        for (int i = 0; !is_served(*state); i++)
                assert_true(i < 1000);
}

#define ALL_CONNECTIONS 512

/* Enough uids, each with fewer than it may have, would use up the server's descriptors. */
static void test_connections_of_all_uids_are_bounded(void **state) {
        int fds[ALL_CONNECTIONS + 1];

        if (geteuid() != 0)
                skip();
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
                assert_int_equal(seteuid((uid_t)(60000 + i / (CONNECTIONS - 1))), 0);
                fds[i] = connect_raw(*state);
                assert_int_equal(seteuid(0), 0);
        }
        assert_true(hung_up(fds[ALL_CONNECTIONS]));
        assert_false(is_served(*state)); /* whoever comes now, root too */
        for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
                (void)close(fds[i]);
        for (int i = 0; !is_served(*state); i++)
                assert_true(i < 1000);
}

static void test_jobs_of_a_uid_are_bounded_and_freed(void **state) {
        sd_bus *bus = connect_bus(*state);
        _cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);

        for (int i = 0; i < 64; i++)
                call(bus, "ImportStack", NULL, NULL, "shts", "stuck", fd, (uint64_t)0, "");
        call(bus, "ImportStack", NULL, DYNOD_ERROR_LIMIT, "shts", "stuck", fd, (uint64_t)0, "");
        (void)sd_bus_flush_close_unref(bus);

        /* its jobs no longer count once the server has seen it go */
        for (int i = 0;; i++) {
                _cleanup_bus_ sd_bus *next = connect_bus(*state);
                sd_bus_error error = SD_BUS_ERROR_NULL;
                int r = sd_bus_call_method(
                        next,
                        NULL,
                        DYNOD_BUS_PATH,
                        DYNOD_BUS_INTERFACE,
                        "ImportStack",
                        &error,
                        NULL,
                        "shts",
                        "stuck",
                        fd,
                        (uint64_t)0,
                        "");

                sd_bus_error_free(&error);
                if (r >= 0)
                        break;
                assert_true(i < 1000);
        }
}

static void test_a_refused_job_is_not_charged(void **state) {
        _cleanup_bus_ sd_bus *bus = connect_bus(*state);
        _cleanup_close_ int fd = memfd_create("archive", MFD_CLOEXEC);

        for (int i = 0; i < 200; i++)
                call(bus,
                     "ImportStack",
                     NULL,
                     DYNOD_ERROR_INVALID_NAME,
                     "shts",
                     "bad",
                     fd,
                     (uint64_t)0,
                     "");
}

/* In this process, whose descriptors run out: what it does then is to wait. */
static void test_server_without_a_descriptor_waits(void **state) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        socklen_t size = sizeof(address.sun_family); /* the kernel finds a name */
        int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        _cleanup_close_ int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        _cleanup_(server_freep) Server *server = NULL;
        struct rlimit before, none;
        sd_event *event;

        assert_int_equal(bind(listen_fd, (struct sockaddr *)&address, size), 0);
        size = sizeof(address);
        assert_int_equal(getsockname(listen_fd, (struct sockaddr *)&address, &size), 0);
        assert_int_equal(listen(listen_fd, 8), 0);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(server_new(&server, event, listen_fd, (Manager *)1), 0);
        assert_int_equal(connect(client, (struct sockaddr *)&address, size), 0);

        assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
        none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
        assert_true(sd_event_run(event, 0) > 0);
        assert_int_equal(sd_event_run(event, 0), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

        while (server_connections(server) == 0)
                assert_true(sd_event_run(event, 10 * 1000000) > 0);
        server = server_free(server);
        (void)sd_event_unref(event);
}

static void check_shut_down(int how) {
        const struct sockaddr_un address = {.sun_family = AF_UNIX};
        int listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        _cleanup_(server_freep) Server *server = NULL;
        sd_event *event;

        assert_int_equal(
                bind(listen_fd, (const struct sockaddr *)&address, sizeof(address.sun_family)), 0);
        assert_int_equal(listen(listen_fd, 8), 0);
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(server_new(&server, event, listen_fd, (Manager *)1), 0);
        assert_int_equal(shutdown(listen_fd, how), 0);

        for (int i = 0; i < 10 && sd_event_get_state(event) != SD_EVENT_FINISHED; i++)
                assert_true(sd_event_run(event, 1000000) >= 0);
        assert_int_equal(sd_event_get_state(event), SD_EVENT_FINISHED);
        server = server_free(server);
        (void)sd_event_unref(event);
}

static void test_server_whose_socket_was_shut_down_ends(void **state) {
        check_shut_down(SHUT_RD);
        check_shut_down(SHUT_RDWR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_server_without_a_descriptor_waits),
                cmocka_unit_test(test_server_whose_socket_was_shut_down_ends),
                TEST(test_calls_are_answered),
                TEST(test_errors_have_a_name_and_a_hint),
                TEST(test_network_policy_is_told_and_changed),
                TEST(test_jobs_report_to_who_asked),
                TEST(test_descriptors_go_both_ways),
                TEST(test_calls_in_a_row_keep_their_descriptors),
                TEST(test_large_config_fits),
                TEST(test_too_long_a_message_ends_the_connection),
                TEST(test_garbage_ends_the_connection),
                TEST(test_too_many_descriptors_end_the_connection),
                TEST(test_descriptors_of_one_message_are_bounded),
                TEST(test_no_descriptor_outlives_a_broken_message),
                TEST(test_who_does_not_read_is_dropped),
                TEST(test_progress_does_not_pile_up_for_who_does_not_read),
                TEST(test_connections_of_a_uid_are_bounded),
                TEST(test_connections_of_all_uids_are_bounded),
                TEST(test_jobs_of_a_uid_are_bounded_and_freed),
                TEST(test_a_refused_job_is_not_charged),
        };

        return cmocka_run_group_tests_name("control/server", tests, NULL, NULL);
}
