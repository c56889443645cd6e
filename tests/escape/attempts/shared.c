/* SPDX-License-Identifier: Apache-2.0 */

/* What all of a host have together without a name for it: page cache, equal pages, filters. */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "escape.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#endif
#define ACL_ENTRIES 1024   /* 8 kB that are memory of no cgroup; the call takes eight times that */
#define CALL_CACHESTAT 451 /* Linux 6.5, on every architecture */
#define CALL_FUTEX_WAITV 449
#define ADVICE_COLLAPSE 25
#define HUGE_PAGE (2UL << 20)
#define WAITS_MANY 9000 /* below a dyno's RLIMIT_NOFILE */
#define WAITS_MOST 1024 /* what must work */
#ifndef SYS_select
#define SYS_select SYS_pselect6 /* an architecture without */
#endif
#define UDP_ENCAP_OPTION 100
#define UDP_GRO_OPTION 104
#define UDP_ENCAP_IPSEC 2
#define IPV6_PACKET_OPTIONS 6      /* IPV6_2292PKTOPTIONS */
#define OPTIONS_SIZE 16384         /* below what one socket may have, net.core.optmem_max */
#define SEGMENTS 4                 /* routing by segments, RFC 8754 */
#define PIDFD_NETWORK _IO(0xff, 4) /* PIDFD_GET_NET_NAMESPACE, Linux 6.11 */

/* ---- the page cache ---- */

/* On a disk. */
static int make_cached(void) {
        char path[64];
        int fd;

        (void)snprintf(path, sizeof(path), "/var/tmp/escape-%d", (int)getpid());
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return -1;
        (void)unlink(path);
        return write(fd, "x", 1) != 1 || fsync(fd) < 0 ? -1 : fd;
}

/* A file of the slug; in a control one that is a user's own, too. */
static int open_cached(void) {
        return escape_is_control ? make_cached() : open("/app/setuid", O_RDONLY | O_CLOEXEC);
}

/* Of any file: overlayfs does not know how to, and so gives no answer of its own. */
static int ask_by_reading(void) {
        char byte;
        struct iovec to = {&byte, 1};
        int fd = make_cached();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        if (preadv2(fd, &to, 1, 0, RWF_NOWAIT) < 0)
                return errno == EAGAIN ? 0 : -errno; /* an answer, too */
        return 0;
}

static int ask_by_counting(void) {
        struct {
                uint64_t offset, length;
        } range = {0, 0};
        uint64_t counters[5];
        int fd = open_cached();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(syscall(CALL_CACHESTAT, fd, &range, counters, 0));
}

static int advise(int advice) {
        int fd = open_cached();
        void *p = fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

        if (p == MAP_FAILED)
                return ATTEMPT_BROKEN;
        return attempt_result(madvise(p, 4096, advice));
}

static int page_out(void) {
        return advise(MADV_PAGEOUT);
}

static int make_cold(void) {
        return advise(MADV_COLD);
}

/* Bit 56 of an entry: nobody else has the page mapped. Of a page that is there, bit 63. */
static int mapped_elsewhere(void) {
        int fd = open_cached(), map_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        const volatile char *p =
                fd < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        uint64_t entry;

        if (p == MAP_FAILED)
                return ATTEMPT_BROKEN;
        if (map_fd < 0)
                return -errno;
        (void)*p;
        if (pread(map_fd, &entry, sizeof(entry), (off_t)((uintptr_t)p / 4096 * sizeof(entry))) !=
            sizeof(entry))
                return -errno;
        return entry >> 63 != 0 ? 0 : ATTEMPT_NOTHING;
}

static int hold_by_lease(void) {
        int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(fcntl(fd, F_SETLEASE, F_RDLCK));
}

/* Its own file: nobody is charged for the lease, and whoever opens the file waits. */
static int lease_of_own(void) {
        int fd = make_cached();

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(fcntl(fd, F_SETLEASE, F_WRLCK));
}

/* ---- signals for what happens to a descriptor, to as many processes as a group has ---- */

static int signal_each_byte(int (*ask)(int fd)) {
        int fds[2], r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(ask(fds[0]));
        return r < 0 || fcntl(fds[0], F_GETFL) & O_ASYNC ? r : ATTEMPT_NOTHING;
}

static int by_flag(int fd) {
        return fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC);
}

static int by_ioctl(int fd) {
        int on = 1;

        return ioctl(fd, FIOASYNC, &on);
}

static int signal_by_flag(void) {
        return signal_each_byte(by_flag);
}

static int signal_by_ioctl(void) {
        return signal_each_byte(by_ioctl);
}

/* Who is signalled for urgent data. */
static int own_socket(int (*name)(int fd, int owner)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(name(fd, getpid()));
        return r < 0 || fcntl(fd, F_GETOWN) == getpid() ? r : ATTEMPT_NOTHING;
}

static int by_fcntl(int fd, int owner) {
        return fcntl(fd, F_SETOWN, owner);
}

static int by_extended_fcntl(int fd, int owner) {
        const struct f_owner_ex whom = {.type = F_OWNER_PID, .pid = owner};

        return fcntl(fd, F_SETOWN_EX, &whom);
}

static int by_owner_ioctl(int fd, int owner) {
        return ioctl(fd, FIOSETOWN, &owner);
}

static int by_group_ioctl(int fd, int owner) {
        return ioctl(fd, SIOCSPGRP, &owner);
}

static int signal_owner(void) {
        return own_socket(by_fcntl);
}

static int signal_owner_extended(void) {
        return own_socket(by_extended_fcntl);
}

static int signal_owner_by_ioctl(void) {
        return own_socket(by_owner_ioctl);
}

static int signal_group_by_ioctl(void) {
        return own_socket(by_group_ioctl);
}

static int signal_of_folder(void) {
        int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(fcntl(fd, F_NOTIFY, DN_CREATE));
}

/* ---- memory ---- */

static int merge_range(void) {
        void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (p == MAP_FAILED)
                return ATTEMPT_BROKEN;
        return attempt_result(madvise(p, 4096, MADV_MERGEABLE));
}

static int merge_all(void) {
        return attempt_result(prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0));
}

/* Room for compiled filters is the same for everybody, and not memory of any cgroup. */
static struct sock_filter allow_all[] = {{.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW}};
static struct sock_fprog filter = {.len = 1, .filter = allow_all};

static int filter_by_seccomp(void) {
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return attempt_result(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter));
}

static int filter_by_prctl(void) {
        (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        return attempt_result(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0));
}

/* ---- what every processor of the host does at once ---- */

/* The lists of new pages that each of them keeps are emptied before pages are looked at. */
static int collapse(void) {
        char *p = mmap(
                NULL, 2 * HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        int r;

        if (p == MAP_FAILED)
                return ATTEMPT_BROKEN;
        memset(p, 1, 2 * HUGE_PAGE);
        r = attempt_result(madvise(p, 2 * HUGE_PAGE, ADVICE_COLLAPSE));
        return r == -ENOMEM || r == -EAGAIN ? 0 : r; /* after that */
}

/* A thread is in the lists of waiters that all of the host share as often as it likes. */
static int wait_often(void) {
        static uint32_t word;
        const struct futex_waitv waiter = {.uaddr = (uintptr_t)&word, .flags = FUTEX_32};
        const struct timespec past = {.tv_sec = 0};
        int r;

        r = attempt_result(syscall(CALL_FUTEX_WAITV, &waiter, 1, 0, &past, CLOCK_MONOTONIC));
        return r == -ETIMEDOUT ? 0 : r;
}

/* ---- what waits: memory for each entry, of no cgroup, as long as it does ---- */

/* Something that may be written at once, so that nobody waits for long. */
static int make_ready(void) {
        struct rlimit limit;

        if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
                return -1;
        limit.rlim_cur = limit.rlim_max;
        return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -1 : eventfd(0, EFD_CLOEXEC);
}

static int wait_for_entries(int (*wait_for)(struct pollfd *entries, nfds_t n)) {
        static struct pollfd entries[WAITS_MANY];
        int fd = make_ready();

        for (size_t i = 0; i < WAITS_MANY; i++)
                entries[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
        if (fd < 0 || wait_for(entries, WAITS_MOST) != WAITS_MOST)
                return ATTEMPT_BROKEN;
        return attempt_result(wait_for(entries, WAITS_MANY));
}

static int by_poll(struct pollfd *entries, nfds_t n) {
        return poll(entries, n, 0);
}

static int by_ppoll(struct pollfd *entries, nfds_t n) {
        const struct timespec none = {.tv_sec = 0};

        return ppoll(entries, n, &none, NULL);
}

static int wait_by_poll(void) {
        return wait_for_entries(by_poll);
}

static int wait_by_ppoll(void) {
        return wait_for_entries(by_ppoll);
}

/* Only what is open counts, up to the highest: the first and the last that a set has room for. */
static int wait_for_set(long call) {
        static unsigned long set[WAITS_MANY / (8 * sizeof(long)) + 1];
        const int bits = 8 * sizeof(long), highest[] = {WAITS_MOST - 1, WAITS_MANY - 1};
        int fd = make_ready();
        long none[2] = {0, 0};

        for (int i = 0; i < 2; i++) {
                if (fd < 0 || dup2(fd, highest[i]) < 0)
                        return ATTEMPT_BROKEN;
                set[highest[i] / bits] |= 1UL << highest[i] % bits;
        }
        if (syscall(call, WAITS_MOST, NULL, set, NULL, none, NULL) != 1)
                return ATTEMPT_BROKEN;
        return attempt_result(syscall(call, WAITS_MANY, NULL, set, NULL, none, NULL));
}

static int wait_by_select(void) {
        return wait_for_set(SYS_select);
}

static int wait_by_pselect(void) {
        return wait_for_set(SYS_pselect6);
}

/* ---- access control lists ---- */

/*
 * Of a file in a tmpfs they are kernel memory that no cgroup is charged for: entries that
 * say the same a thousand times are as good as any.
 */
static int keep_list(int (*set)(const char *path, const void *value, size_t size)) {
        static struct {
                struct posix_acl_xattr_header header;
                struct posix_acl_xattr_entry entries[ACL_ENTRIES];
        } list = {.header = {POSIX_ACL_XATTR_VERSION}};
        const size_t last = ACL_ENTRIES - 1;
        char path[64];
        int fd, r;

        list.entries[0] = (struct posix_acl_xattr_entry){ACL_USER_OBJ, 6, ~0U};
        for (size_t i = 1; i < last - 2; i++)
                list.entries[i] = (struct posix_acl_xattr_entry){ACL_USER, 6, getuid()};
        list.entries[last - 2] = (struct posix_acl_xattr_entry){ACL_GROUP_OBJ, 6, ~0U};
        list.entries[last - 1] = (struct posix_acl_xattr_entry){ACL_MASK, 6, ~0U};
        list.entries[last] = (struct posix_acl_xattr_entry){ACL_OTHER, 0, ~0U};

        (void)snprintf(
                path,
                sizeof(path),
                "%s/list-%d",
                escape_is_control ? "/tmp" : "/dev/shm",
                (int)getpid());
        fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(set(path, &list, sizeof(list)));
        (void)unlink(path);
        (void)close(fd);
        return r;
}

static int by_path(const char *path, const void *value, size_t size) {
        return setxattr(path, "system.posix_acl_access", value, size, 0);
}

static int by_link(const char *path, const void *value, size_t size) {
        return lsetxattr(path, "system.posix_acl_access", value, size, 0);
}

static int by_descriptor(const char *path, const void *value, size_t size) {
        int fd = open(path, O_RDWR | O_CLOEXEC), r;

        r = fd < 0 ? fd : fsetxattr(fd, "system.posix_acl_access", value, size, 0);
        if (fd >= 0)
                (void)close(fd);
        return r;
}

static int list_by_path(void) {
        return keep_list(by_path);
}

static int list_by_link(void) {
        return keep_list(by_link);
}

static int list_by_descriptor(void) {
        return keep_list(by_descriptor);
}

/* ---- parts of the kernel behind ordinary sockets ---- */

static int send_urgent(ssize_t (*send_one)(int fd)) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(send_one(fds[0]));
}

static ssize_t by_sendto(int fd) {
        return sendto(fd, "x", 1, MSG_OOB, NULL, 0);
}

static ssize_t by_sendmsg(int fd) {
        char byte = 1;
        struct iovec bytes = {&byte, 1};
        struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};

        return sendmsg(fd, &message, MSG_OOB);
}

static ssize_t by_sendmmsg(int fd) {
        char byte = 1;
        struct iovec bytes = {&byte, 1};
        struct mmsghdr message = {.msg_hdr = {.msg_iov = &bytes, .msg_iovlen = 1}};

        return sendmmsg(fd, &message, 1, MSG_OOB);
}

static int urgent_by_sendto(void) {
        return send_urgent(by_sendto);
}

static int urgent_by_sendmsg(void) {
        return send_urgent(by_sendmsg);
}

static int urgent_by_sendmmsg(void) {
        return send_urgent(by_sendmmsg);
}

static int
set_option(int family, int type, int level, int option, const void *value, socklen_t size) {
        int fd = socket(family, type | SOCK_CLOEXEC, 0), r;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(setsockopt(fd, level, option, value, size));
        (void)close(fd);
        return r;
}

static int set_number(int type, int level, int option, int value) {
        return set_option(AF_INET, type, level, option, &value, sizeof(value));
}

static int ipsec_in_udp(void) {
        return set_number(SOCK_DGRAM, IPPROTO_UDP, UDP_ENCAP_OPTION, UDP_ENCAP_IPSEC);
}

/* UDP takes its options by the level of UDP-Lite as well. */
static int ipsec_in_udp_lite(void) {
        return set_number(SOCK_DGRAM, IPPROTO_UDPLITE, UDP_ENCAP_OPTION, UDP_ENCAP_IPSEC);
}

/* ---- memory of sockets that no cgroup is charged for: as much as net.core.optmem_max each ---- */

static int keep_key(int option, int flags) {
        struct tcp_md5sig key = {
                .tcpm_flags = (uint8_t)flags, .tcpm_prefixlen = 32, .tcpm_keylen = 1};
        struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

        memcpy(&key.tcpm_addr, &peer, sizeof(peer));
        return set_option(AF_INET, SOCK_STREAM, IPPROTO_TCP, option, &key, sizeof(key));
}

static int keep_keys(void) {
        return keep_key(TCP_MD5SIG, 0);
}

static int keep_keys_of_networks(void) {
        return keep_key(TCP_MD5SIG_EXT, TCP_MD5SIG_FLAG_PREFIX);
}

/* One that no protocol knows, and that is kept with all behind it. */
static int keep_options(void) {
        static union {
                struct cmsghdr first;
                char bytes[OPTIONS_SIZE];
        } options = {.first = {.cmsg_len = OPTIONS_SIZE, .cmsg_level = 0xffff}};

        return set_option(
                AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_PACKET_OPTIONS, &options, sizeof(options));
}

/* By way of one segment, and up to 2 kB of them. */
static int keep_route(void) {
        static const uint8_t header[24] = {IPPROTO_NONE, 2, SEGMENTS};

        return set_option(AF_INET6, SOCK_DGRAM, IPPROTO_IPV6, IPV6_RTHDR, header, sizeof(header));
}

/* ---- switches of the kernel: with the first socket and the last one its text is changed ---- */

/* The one socket's own switch says whether it did. */
static int stamp(int option) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1, r;
        socklen_t size = sizeof(on);

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(setsockopt(fd, SOL_SOCKET, option, &on, sizeof(on)));
        if (r == 0)
                r = attempt_result(getsockopt(fd, SOL_SOCKET, option, &on, &size));
        (void)close(fd);
        return r == 0 && !on ? ATTEMPT_NOTHING : r;
}

static int stamp_by_time(void) {
        return stamp(SO_TIMESTAMP);
}

static int stamp_by_newer(void) {
        return stamp(SO_TIMESTAMPNS_NEW);
}

static int stamp_by_all(void) {
        return set_number(SOCK_DGRAM, SOL_SOCKET, SO_TIMESTAMPING, 1 << 3); /* _RX_SOFTWARE */
}

/* Who asks for the last packet's time has it measured from then on; there was none yet. */
static int stamp_by_asking(void) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;
        struct timespec ts;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        r = attempt_result(ioctl(fd, SIOCGSTAMPNS_NEW, &ts));
        (void)close(fd);
        return r == -ENOENT ? 0 : r;
}

static int collect_datagrams(void) {
        return set_number(SOCK_DGRAM, IPPROTO_UDP, UDP_GRO_OPTION, 1);
}

static int collect_by_udp_lite(void) {
        return set_number(SOCK_DGRAM, IPPROTO_UDPLITE, UDP_GRO_OPTION, 1);
}

/* ---- counters and lists of the whole host ---- */

/* Masked, and refused by name (AppArmor). */
static int has_bytes(const char *path) {
        char bytes[8];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? -errno : read(fd, bytes, sizeof(bytes));

        if (fd >= 0)
                (void)close(fd);
        return n > 0 ? 0 : n == 0 || n == -EACCES ? ATTEMPT_ABSENT : (int)n;
}

/* A lock of an open file description shows in every pid namespace, and its range says a lot. */
static int read_locks(void) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 4711, .l_len = 1};
        int fd = memfd_create("lock", MFD_CLOEXEC);

        if (fd < 0 || fcntl(fd, F_OFD_SETLK, &lock) < 0)
                return ATTEMPT_BROKEN;
        return has_bytes("/proc/locks");
}

static int read_diskstats(void) {
        return has_bytes("/proc/diskstats");
}

/* ---- what a pidfd of dyno-init gives ---- */

static int namespace_of_init(void) {
        int fd = (int)syscall(SYS_pidfd_open, escape_victim, 0);

        if (fd < 0)
                return -errno;
        return attempt_result(ioctl(fd, PIDFD_NETWORK, 0));
}

#define ATTEMPT(n, what, layers, wanted, how, call)                                                \
        {                                                                                          \
                .name = "shared/" n, .tries = what, .stopped_by = layers, .error = wanted,         \
                .control = how, .run = call                                                        \
        }
#define NEWER (CONTROL_ROOT | CONTROL_NATIVE)

const Attempt attempts_shared[] = {
        ATTEMPT("cached-by-reading",
                "learn whether a neighbour read a file, without reading it",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                ask_by_reading),
        ATTEMPT("cached-by-counting",
                "count the pages of a file that neighbours read",
                "seccomp",
                ENOSYS,
                NEWER,
                ask_by_counting),
        ATTEMPT("page-out",
                "throw pages that a neighbour reads out of the page cache",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                page_out),
        ATTEMPT("cold",
                "have pages that a neighbour reads thrown out before others",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                make_cold),
        ATTEMPT("mapped-elsewhere",
                "learn from its own page table which pages others have mapped",
                "apparmor",
                EACCES,
                CONTROL_USER | ATTEMPT_VM,
                mapped_elsewhere),
        ATTEMPT("lists",
                "fill memory that no cgroup counts with access control lists",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                list_by_path),
        ATTEMPT("lists-by-link",
                "the same by lsetxattr",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                list_by_link),
        ATTEMPT("lists-by-descriptor",
                "the same by fsetxattr",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                list_by_descriptor),
        ATTEMPT("lease",
                "have whoever writes a file of the stack wait",
                "seccomp kernel",
                EINVAL,
                CONTROL_ROOT,
                hold_by_lease),
        ATTEMPT("lease-of-own",
                "fill memory that no cgroup counts with leases",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                lease_of_own),
        ATTEMPT("signals",
                "hold up every fork of the host by signals to a group",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                signal_by_flag),
        ATTEMPT("signals-by-ioctl",
                "the same by FIOASYNC",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                signal_by_ioctl),
        ATTEMPT("signals-of-folder",
                "the same about a folder",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                signal_of_folder),
        ATTEMPT("signals-to-owner",
                "have a group signalled by packets from outside",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                signal_owner),
        ATTEMPT("signals-to-owner-by-type",
                "the same by F_SETOWN_EX",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                signal_owner_extended),
        ATTEMPT("signals-to-owner-by-ioctl",
                "the same by FIOSETOWN",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                signal_owner_by_ioctl),
        ATTEMPT("signals-to-group-by-ioctl",
                "the same by SIOCSPGRP",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                signal_group_by_ioctl),
        ATTEMPT("merge-range",
                "find equal pages in the memory of others (KSM)",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                merge_range),
        ATTEMPT("merge-all", "the same for a whole process", "seccomp", EINVAL, NEWER, merge_all),
        ATTEMPT("collapse",
                "have every processor of the host interrupted for huge pages",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                collapse),
        ATTEMPT("futex-vector",
                "make the lists of waiters long that all of the host share",
                "seccomp",
                ENOSYS,
                CONTROL_USER,
                wait_often),
        ATTEMPT("poll",
                "fill memory that no cgroup counts with what a thread waits for",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                wait_by_poll),
        ATTEMPT("ppoll", "the same by ppoll", "seccomp", EINVAL, CONTROL_USER, wait_by_ppoll),
        ATTEMPT("select", "the same by a set", "seccomp", EINVAL, CONTROL_USER, wait_by_select),
        ATTEMPT("pselect",
                "the same by a set, and pselect6",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                wait_by_pselect),
        ATTEMPT("filter",
                "fill the host's room for compiled filters by processes",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                filter_by_seccomp),
        ATTEMPT("filter-by-prctl",
                "the same by the older call",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                filter_by_prctl),
        ATTEMPT("urgent-data",
                "send urgent data through a Unix socket (CVE-2025-38236)",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                urgent_by_sendto),
        ATTEMPT("urgent-data-by-message",
                "the same by sendmsg",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                urgent_by_sendmsg),
        ATTEMPT("urgent-data-by-messages",
                "the same by sendmmsg",
                "seccomp",
                EOPNOTSUPP,
                CONTROL_USER,
                urgent_by_sendmmsg),
        ATTEMPT("ipsec",
                "have its packets handed to IPsec",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER | CONTROL_VM,
                ipsec_in_udp),
        ATTEMPT("ipsec-by-udp-lite",
                "the same by the level of another protocol",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER | CONTROL_VM,
                ipsec_in_udp_lite),
        ATTEMPT("tcp-keys",
                "fill memory that no cgroup counts with keys of connections",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                keep_keys),
        ATTEMPT("tcp-keys-of-networks",
                "the same by the newer option",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                keep_keys_of_networks),
        ATTEMPT("packet-options",
                "the same by options of IPv6, eight times what is counted",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                keep_options),
        ATTEMPT("routing-header",
                "the same by a route in each packet",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                keep_route),
        ATTEMPT("timestamps",
                "have the kernel's text changed on all processors, again and again",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                stamp_by_time),
        ATTEMPT("timestamps-newer",
                "the same by the newest option",
                "seccomp",
                ATTEMPT_NOTHING,
                CONTROL_USER,
                stamp_by_newer),
        ATTEMPT("timestamps-of-all",
                "the same by the option for all kinds",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                stamp_by_all),
        ATTEMPT("timestamp-of-last",
                "the same by asking for one",
                "seccomp",
                ENOTTY,
                CONTROL_USER,
                stamp_by_asking),
        ATTEMPT("gro",
                "the same by datagrams that are collected",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                collect_datagrams),
        ATTEMPT("gro-by-udp-lite",
                "the same by the level of another protocol",
                "seccomp",
                ENOPROTOOPT,
                CONTROL_USER,
                collect_by_udp_lite),
        ATTEMPT("locks",
                "read locks of others, and write for them to read",
                "masks apparmor",
                ATTEMPT_ABSENT,
                CONTROL_USER,
                read_locks),
        ATTEMPT("disk-accesses",
                "count the disk accesses of others",
                "masks apparmor",
                ATTEMPT_ABSENT,
                CONTROL_USER,
                read_diskstats),
        ATTEMPT("namespace-by-pidfd",
                "get hold of dyno-init's network namespace by a pidfd",
                "dumpable",
                EACCES,
                CONTROL_USER | CONTROL_NATIVE | ATTEMPT_NATIVE,
                namespace_of_init),
        {.name = NULL},
};
