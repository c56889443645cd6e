/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <linux/filter.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cmocka.h>

#include "ipc/channel.h"

static int a = -EBADF, b = -EBADF;

static int setup(void **state) {
        return channel_pair(&a, &b);
}

static int teardown(void **state) {
        a = safe_close(a);
        b = safe_close(b);
        return 0;
}

static void test_message_arrives_with_its_descriptors(void **state) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        int sent = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct stat st;
        char buf[16];
        size_t size;

        assert_int_equal(channel_send(a, "hello", 5, (int[]){sent, sent}, 2), 0);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), 0);
        assert_int_equal(size, 5);
        assert_memory_equal(buf, "hello", 5);
        assert_int_equal(fds.n, 2);
        assert_int_equal(fcntl(fds.fd[1], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
        assert_int_equal(fstat(fds.fd[1], &st), 0);
        assert_true(S_ISCHR(st.st_mode));
        (void)safe_close(sent);
}

static void test_longer_message_is_refused_and_its_descriptors_are_the_callers(void **state) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        int sent = open("/dev/null", O_RDONLY | O_CLOEXEC), before, after;
        char buf[4];
        size_t size;

        assert_int_equal(channel_send(a, "hello", 5, &sent, 1), 0);
        before = dup(0);
        (void)safe_close(before);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), -EBADMSG);
        assert_int_equal(fds.n, 1);
        channel_fds_clear(&fds);
        after = dup(0);
        (void)safe_close(after);
        assert_int_equal(before, after); /* the lowest free number is the same */
        (void)safe_close(sent);
}

static void test_message_with_too_many_descriptors_is_refused(void **state) {
        enum { MANY = CHANNEL_FDS_MAX + 1 };
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * MANY)];
        } control = {
                .header = {
                        .cmsg_level = SOL_SOCKET,
                        .cmsg_type = SCM_RIGHTS,
                        .cmsg_len = CMSG_LEN(sizeof(int) * MANY)}};
        char buf[] = "hello";
        struct iovec iov = {.iov_base = buf, .iov_len = 5};
        const struct msghdr mh = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = sizeof(control)};
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        size_t size;

        for (size_t i = 0; i < MANY; i++)
                memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &a, sizeof(int));
        assert_int_equal(sendmsg(a, &mh, 0), 5);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), -EBADMSG);
        assert_int_equal(fds.n, CHANNEL_FDS_MAX); /* the caller's, to close */
}

static void test_empty_and_closed_channels_are_told_apart(void **state) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        char buf[4];
        size_t size;

        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), CHANNEL_E_AGAIN);
        a = safe_close(a);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), CHANNEL_E_CLOSED);
        assert_int_equal(channel_send(b, "x", 1, NULL, 0), CHANNEL_E_CLOSED);
}

static void test_full_channel_says_so(void **state) {
        char msg[1024] = {0};
        int r = 0;

        for (int i = 0; i < 100000 && r == 0; i++)
                r = channel_send(a, msg, sizeof(msg), NULL, 0);
        assert_int_equal(r, CHANNEL_E_AGAIN);
}

static void test_nobody_waits_when_the_other_side_changed_the_file(void **state) {
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        char buf[16];
        size_t size;
        int r;

        assert_int_equal(fcntl(a, F_SETFL, 0), 0);
        assert_int_equal(fcntl(b, F_SETFL, 0), 0);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), CHANNEL_E_AGAIN);
        do
                r = channel_send(a, "hello", 5, NULL, 0);
        while (r == 0);
        assert_int_equal(r, CHANNEL_E_AGAIN);
}

static int room_of(int fd) {
        int bytes = 0;

        assert_int_equal(
                getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, &(socklen_t){sizeof(bytes)}), 0);
        return bytes;
}

static void test_a_socket_is_restored_or_of_no_use(void **state) {
        static const int on = 1;
        struct sock_filter nothing[] = {{.code = BPF_RET | BPF_K, .k = 0}};
        const struct sock_fprog filter = {.len = 1, .filter = nothing};
        _cleanup_channel_fds_ ChannelFds fds = CHANNEL_FDS_INIT;
        int sent[] = {a, a, a, a}, room;
        char buf[16];
        size_t size;

        assert_int_equal(socket_restore(a), 0);
        assert_int_equal(fcntl(b, F_SETFL, O_ASYNC), 0);
        assert_int_equal(setsockopt(b, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
        room = room_of(b);
        assert_int_equal(setsockopt(b, SOL_SOCKET, SO_SNDBUF, &on, sizeof(on)), 0);
        assert_int_equal(socket_restore(b), 0);
        assert_int_equal(room_of(b), room);
        assert_int_equal(fcntl(b, F_GETFL), O_RDWR | O_NONBLOCK);
        assert_int_equal(channel_send(a, "hello", 5, sent, 4), 0);
        assert_int_equal(channel_recv(b, buf, sizeof(buf), &size, &fds), 0);
        assert_int_equal(fds.n, 4);

        assert_int_equal(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
        assert_int_equal(socket_restore(b), -EPIPE);
        assert_int_equal(socket_restore(b), 0);
        assert_int_equal(setsockopt(b, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)), 0);
        assert_int_equal(setsockopt(b, SOL_SOCKET, SO_LOCK_FILTER, &on, sizeof(on)), 0);
        assert_int_equal(socket_restore(b), -EPIPE);
        assert_int_equal(socket_restore(b), -EPIPE);

        assert_int_equal(socket_restore(a), 0);
        assert_int_equal(shutdown(b, SHUT_WR), 0);
        assert_int_equal(socket_restore(a), -EPIPE);
}

static void test_a_listening_socket_is_restored_or_of_no_use(void **state) {
        const struct sockaddr_un any = {.sun_family = AF_UNIX};
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        /* To no name: the kernel gives it an abstract one. */
        assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any.sun_family)), 0);
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
        assert_int_equal(socket_restore(fd), 0);
        assert_int_equal(accept(fd, NULL, NULL), -1);
        assert_int_equal(errno, EAGAIN);
        assert_int_equal(shutdown(fd, SHUT_RD), 0);
        assert_int_equal(socket_restore(fd), -EPIPE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(
                        test_message_arrives_with_its_descriptors, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_longer_message_is_refused_and_its_descriptors_are_the_callers,
                        setup,
                        teardown),
                cmocka_unit_test_setup_teardown(
                        test_message_with_too_many_descriptors_is_refused, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_empty_and_closed_channels_are_told_apart, setup, teardown),
                cmocka_unit_test_setup_teardown(test_full_channel_says_so, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_nobody_waits_when_the_other_side_changed_the_file, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_socket_is_restored_or_of_no_use, setup, teardown),
                cmocka_unit_test_setup_teardown(
                        test_a_listening_socket_is_restored_or_of_no_use, setup, teardown),
        };

        return cmocka_run_group_tests_name("ipc/channel", tests, NULL, NULL);
}
