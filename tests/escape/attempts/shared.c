/* SPDX-License-Identifier: Apache-2.0 */

/* What all of a host have together without a name for it: page cache, equal pages, filters. */

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "escape.h"

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#endif
#define ACL_ENTRIES 1024   /* 8 kB that are memory of no cgroup; the call takes eight times that */
#define CALL_CACHESTAT 451 /* Linux 6.5, on every architecture */
#define UDP_ENCAP_OPTION 100
#define UDP_ENCAP_IPSEC 2
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

static int ipsec_in_udp(void) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), type = UDP_ENCAP_IPSEC;

        if (fd < 0)
                return ATTEMPT_BROKEN;
        return attempt_result(setsockopt(fd, IPPROTO_UDP, UDP_ENCAP_OPTION, &type, sizeof(type)));
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
                "kernel",
                EACCES,
                CONTROL_ROOT,
                hold_by_lease),
        ATTEMPT("merge-range",
                "find equal pages in the memory of others (KSM)",
                "seccomp",
                EINVAL,
                CONTROL_USER,
                merge_range),
        ATTEMPT("merge-all", "the same for a whole process", "seccomp", EINVAL, NEWER, merge_all),
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
