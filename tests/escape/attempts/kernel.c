/* SPDX-License-Identifier: Apache-2.0 */

/* The kernel itself: other code in it, and its larger parts with a history of holes. */

#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "escape.h"

/* ---- modules ---- */

/* Harmless, and in nobody's use: the guest's own uplink is of another kind. */
#define MODULE "nlmon"
#define MODULE_IN_GUEST "kernel/drivers/net/" MODULE ".ko"

static int open_module(void) {
        struct utsname uts;
        char path[256];

        if (uname(&uts) < 0)
                return -errno;
        (void)snprintf(path, sizeof(path), "/lib/modules/%s/" MODULE_IN_GUEST, uts.release);
        return open(path, O_RDONLY | O_CLOEXEC);
}

/* The guest's own module in a control; in a dyno the call alone, which looks at nothing. */
static int load_by_memory(void) {
        static char image[1 << 20];
        int fd = open_module();
        ssize_t n = fd < 0 ? 0 : read(fd, image, sizeof(image));

        (void)syscall(SYS_delete_module, MODULE, O_NONBLOCK);
        if (syscall(SYS_init_module, image, (unsigned long)n, "") < 0)
                return -errno;
        (void)syscall(SYS_delete_module, MODULE, O_NONBLOCK);
        return 0;
}

static int load_by_file(void) {
        int fd = open_module();

        (void)syscall(SYS_delete_module, MODULE, O_NONBLOCK);
        if (syscall(SYS_finit_module, fd, "", 0) < 0)
                return -errno;
        (void)syscall(SYS_delete_module, MODULE, O_NONBLOCK);
        return 0;
}

static int set_up_loaded_module(void) {
        int fd = open_module();

        (void)syscall(SYS_finit_module, fd, "", 0);
        return fd < 0 ? fd : 0;
}

static int unload(void) {
        return attempt_result(syscall(SYS_delete_module, MODULE, O_NONBLOCK));
}

/* The kernel loads what a socket of a new kind asks for: each module is more to attack. */
static int autoload_by_socket(void) {
        return attempt_result(socket(AF_RXRPC, SOCK_DGRAM | SOCK_CLOEXEC, PF_INET));
}

static int autoload_by_protocol(void) {
        return attempt_result(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_SCTP));
}

/* TLS and the like in the kernel, switched on for an own connection by name. */
static int autoload_by_ulp(void) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0)
                return 0;
        /* It is there, and asks for a connection first. */
        return errno == ENOTCONN ? 0 : -errno;
}

static int has_filesystem(const char *name) {
        char line[128];
        int found = 0;
        FILE *f = fopen("/proc/filesystems", "re");

        while (f && fgets(line, sizeof(line), f))
                found |= strstr(line, name) != NULL;
        if (f)
                (void)fclose(f);
        return found;
}

/* What counts is that it is there afterwards: the mount itself lacks a disk. */
static int autoload_by_filesystem(void) {
        int before = has_filesystem("squashfs"), r;

        r = attempt_result(mount("/dev/null", "/tmp", "squashfs", 0, NULL));
        return r < 0 && !before && has_filesystem("squashfs") ? 0 : r;
}

/* ---- other kernels ---- */

static int kexec_unload(void) {
        return attempt_result(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int kexec_file_unload(void) {
        return attempt_result(syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 1)); /* _UNLOAD */
}

/* ---- programs in the kernel ---- */

static int bpf_call(int cmd, union bpf_attr *attr) {
        return attempt_result(syscall(SYS_bpf, cmd, attr, sizeof(*attr)));
}

static int bpf_load(void) {
        static const struct bpf_insn program[] = {
                {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
                {.code = BPF_JMP | BPF_EXIT},
        };
        static const char license[] = "GPL";
        union bpf_attr attr = {
                .prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
                .insns = (uintptr_t)program,
                .insn_cnt = 2,
                .license = (uintptr_t)license,
        };

        return bpf_call(BPF_PROG_LOAD, &attr);
}

static int bpf_map(void) {
        union bpf_attr attr = {
                .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1};

        return bpf_call(BPF_MAP_CREATE, &attr);
}

static int bpf_foreign(void) {
        union bpf_attr attr = {.start_id = 0};

        return bpf_call(BPF_PROG_GET_NEXT_ID, &attr);
}

/*
 * A socket's filter is compiled to memory that no cgroup counts and that all of the host
 * share (bpf_jit_limit): when it is full nobody can load a seccomp filter any more.
 */
static int attach_filter(int option, int type) {
        struct sock_filter code[] = {{.code = BPF_RET | BPF_K, .k = 0xffff}};
        struct sock_fprog program = {.len = 1, .filter = code};
        int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
        int one = 1;

        if (fd < 0)
                return -errno;
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
        return attempt_result(setsockopt(fd, SOL_SOCKET, option, &program, sizeof(program)));
}

static int bpf_socket_filter(void) {
        return attach_filter(SO_ATTACH_FILTER, SOCK_DGRAM);
}

static int bpf_reuseport(void) {
        return attach_filter(SO_ATTACH_REUSEPORT_CBPF, SOCK_DGRAM);
}

/* A listener's descriptor keeps the filter, compiled, after its process ended. */
static int seccomp_listener(void) {
        struct sock_filter code[] = {{.code = BPF_RET | BPF_K, .k = SECCOMP_RET_ALLOW}};
        struct sock_fprog program = {.len = 1, .filter = code};

        return attempt_result(syscall(
                SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

static int perf(unsigned type, unsigned long config) {
        struct perf_event_attr attr = {.type = type, .size = sizeof(attr), .config = config};

        return attempt_result(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static int perf_self(void) {
        return perf(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK);
}

/* ---- large parts ---- */

static int userfault(void) {
        return attempt_result(syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY));
}

static int uring(void) {
        struct io_uring_params params = {.flags = 0};

        return attempt_result(syscall(SYS_io_uring_setup, 1, &params));
}

/* Requests are counted for the whole host (fs.aio-max-nr). */
static int aio_contexts(void) {
        unsigned long context = 0;

        if (syscall(SYS_io_setup, 128, &context) < 0)
                return -errno;
        (void)syscall(SYS_io_destroy, context);
        return 0;
}

static int secret_memory(void) {
        return attempt_result(syscall(SYS_memfd_secret, 0));
}

static int add_key(void) {
        return attempt_result(
                syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int request_key(void) {
        long r = syscall(SYS_request_key, "user", "escape", NULL, KEY_SPEC_PROCESS_KEYRING);

        return r < 0 && errno != ENOKEY ? -errno : 0; /* ENOKEY: it searched */
}

static int read_user_keyring(void) {
        return attempt_result(
                syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_USER_KEYRING, 1, 0, 0));
}

/* The one that root had when it made this process, unless it was replaced. */
static int search_session_keyring(void) {
        return attempt_result(
                syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", "escape", 0));
}

static int set_up_key(void) {
        if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL, 0, 0, 0) < 0 ||
            syscall(SYS_add_key, "user", "escape", "x", 1, KEY_SPEC_SESSION_KEYRING) < 0)
                return -errno;
        return 0;
}

static int fanotify_permission(void) {
        return attempt_result(
                syscall(SYS_fanotify_init, FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY));
}

static int fanotify_plain(void) {
        return attempt_result(
                syscall(SYS_fanotify_init, FAN_CLASS_NOTIF | FAN_REPORT_FID, O_RDONLY));
}

/* ---- huge pages: the host's pool, that an operator reserved for somebody ---- */

static int set_up_huge_pages(void) {
        return attempt_write("/proc/sys/vm/nr_hugepages", "4");
}

static void give_huge_pages_back(void) {
        if (escape_is_control)
                (void)attempt_write("/proc/sys/vm/nr_hugepages", "0");
}

static int huge_mapping(void) {
        void *p =
                mmap(NULL,
                     2 << 20,
                     PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB,
                     -1,
                     0);
        int r = p == MAP_FAILED ? -errno : 0;

        give_huge_pages_back();
        return r;
}

static int huge_memfd(void) {
        long fd = syscall(SYS_memfd_create, "escape", MFD_HUGETLB);
        void *p;
        int r;

        if (fd < 0)
                return -errno;
        p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
        r = p == MAP_FAILED ? -errno : 0;
        give_huge_pages_back();
        return r;
}

/* ---- files by handle: shocker.c, CVE-2014-3519 ---- */

/* Of any file; overlayfs gives none. */
static int handle_of_file(void) {
        struct {
                struct file_handle handle;
                unsigned char bytes[MAX_HANDLE_SZ];
        } h = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
        int mount_id;

        return attempt_result(name_to_handle_at(
                AT_FDCWD, escape_is_control ? "/etc" : "/tmp", &h.handle, &mount_id, 0));
}

static int open_by_handle(void) {
        union {
                struct file_handle handle;
                unsigned char bytes[sizeof(struct file_handle) + MAX_HANDLE_SZ];
        } h = {.handle = {.handle_bytes = MAX_HANDLE_SZ}};
        int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC), mount_id;

        if (fd < 0)
                return -errno;
        if (name_to_handle_at(fd, "", &h.handle, &mount_id, AT_EMPTY_PATH) < 0) {
                static const uint32_t root_inode[] = {2, 0}; /* of every ext4; generation */

                h.handle.handle_bytes = sizeof(root_inode);
                h.handle.handle_type = 1; /* FILEID_INO32_GEN */
                memcpy(h.handle.f_handle, root_inode, sizeof(root_inode));
        }
        return attempt_result(open_by_handle_at(fd, &h.handle, O_RDONLY | O_CLOEXEC));
}

#define BY_TWO "seccomp capabilities user apparmor"
#define ATTEMPT(n, what, layers, wanted, how, call, prepare)                                       \
        {                                                                                          \
                .name = "kernel/" n, .tries = what, .stopped_by = layers, .error = wanted,         \
                .control = how, .run = call, .set_up = prepare                                     \
        }
#define IN_GUEST (CONTROL_ROOT | CONTROL_VM)

const Attempt attempts_kernel[] = {
        ATTEMPT("init-module", "load a module", BY_TWO, EPERM, IN_GUEST, load_by_memory, NULL),
        ATTEMPT("finit-module",
                "load a module by file",
                BY_TWO,
                EPERM,
                IN_GUEST,
                load_by_file,
                NULL),
        ATTEMPT("delete-module",
                "unload a module",
                BY_TWO,
                EPERM,
                IN_GUEST,
                unload,
                set_up_loaded_module),
        ATTEMPT("autoload-socket",
                "have a module loaded by a socket's family",
                "seccomp apparmor",
                EAFNOSUPPORT,
                CONTROL_USER | CONTROL_VM,
                autoload_by_socket,
                NULL),
        ATTEMPT("autoload-protocol",
                "have a module loaded by a socket's protocol",
                "seccomp",
                EPROTONOSUPPORT,
                CONTROL_USER | CONTROL_VM,
                autoload_by_protocol,
                NULL),
        ATTEMPT("autoload-ulp",
                "switch on TLS of the kernel for a connection",
                "seccomp",
                ENOENT,
                IN_GUEST,
                autoload_by_ulp,
                NULL),
        ATTEMPT("autoload-filesystem",
                "have a module loaded by a mount",
                BY_TWO,
                EPERM,
                IN_GUEST,
                autoload_by_filesystem,
                NULL),
        ATTEMPT("kexec-load", "replace the kernel", BY_TWO, EPERM, IN_GUEST, kexec_unload, NULL),
        ATTEMPT("kexec-file-load",
                "replace the kernel by file",
                BY_TWO,
                EPERM,
                IN_GUEST,
                kexec_file_unload,
                NULL),
        ATTEMPT("bpf-prog-load",
                "load a BPF program",
                "seccomp capabilities user",
                EPERM,
                CONTROL_ROOT,
                bpf_load,
                NULL),
        ATTEMPT("bpf-map-create",
                "make a BPF map",
                "seccomp capabilities user",
                EPERM,
                CONTROL_ROOT,
                bpf_map,
                NULL),
        ATTEMPT("bpf-prog-get",
                "find the host's BPF programs",
                BY_TWO,
                EPERM,
                CONTROL_ROOT,
                bpf_foreign,
                NULL),
        ATTEMPT("bpf-socket-filter",
                "fill the host's memory for compiled filters by sockets",
                "seccomp",
                EPERM,
                CONTROL_USER,
                bpf_socket_filter,
                NULL),
        ATTEMPT("bpf-reuseport",
                "the same by filters of SO_REUSEPORT",
                "seccomp",
                EPERM,
                CONTROL_USER,
                bpf_reuseport,
                NULL),
        ATTEMPT("seccomp-listener",
                "keep compiled filters of ended processes",
                "seccomp",
                EINVAL,
                CONTROL_ROOT,
                seccomp_listener,
                NULL),
        ATTEMPT("perf",
                "count events of the processor",
                "seccomp capabilities user",
                EPERM,
                CONTROL_ROOT,
                perf_self,
                NULL),
        ATTEMPT("userfaultfd",
                "stop the kernel at a page of one's choice",
                "seccomp",
                EPERM,
                CONTROL_USER,
                userfault,
                NULL),
        ATTEMPT("io-uring",
                "make calls that no filter sees",
                "seccomp",
                EPERM,
                CONTROL_USER,
                uring,
                NULL),
        ATTEMPT("aio",
                "use up the host's asynchronous requests",
                "seccomp",
                ENOSYS,
                CONTROL_USER,
                aio_contexts,
                NULL),
        ATTEMPT("memfd-secret",
                "take memory out of the kernel's own map",
                "seccomp",
                EPERM,
                CONTROL_USER | CONTROL_NATIVE,
                secret_memory,
                NULL),
        ATTEMPT("add-key",
                "keep a key in the kernel",
                "seccomp",
                EPERM,
                CONTROL_USER,
                add_key,
                NULL),
        ATTEMPT("request-key",
                "have the kernel run request-key as root",
                "seccomp",
                EPERM,
                CONTROL_USER,
                request_key,
                NULL),
        ATTEMPT("user-keyring",
                "open the keyring of the user",
                "seccomp",
                EPERM,
                CONTROL_USER,
                read_user_keyring,
                NULL),
        ATTEMPT("session-keyring",
                "find a key in root's session keyring",
                "seccomp keyring",
                EPERM,
                CONTROL_ROOT,
                search_session_keyring,
                set_up_key),
        ATTEMPT("fanotify-content",
                "hold up who opens a file",
                BY_TWO,
                EPERM,
                CONTROL_ROOT,
                fanotify_permission,
                NULL),
        ATTEMPT("fanotify-notify",
                "watch who opens a file",
                "seccomp",
                EPERM,
                CONTROL_USER,
                fanotify_plain,
                NULL),
        ATTEMPT("huge-mapping",
                "take the huge pages reserved for somebody else",
                "seccomp",
                ENOMEM,
                CONTROL_ROOT | CONTROL_VM,
                huge_mapping,
                set_up_huge_pages),
        ATTEMPT("huge-memfd",
                "the same by a memfd",
                "seccomp apparmor",
                EINVAL,
                CONTROL_ROOT | CONTROL_VM,
                huge_memfd,
                set_up_huge_pages),
        ATTEMPT("name-to-handle",
                "get a file's handle",
                "seccomp",
                EPERM,
                CONTROL_USER,
                handle_of_file,
                NULL),
        ATTEMPT("open-by-handle",
                "open the host's root by its inode (shocker)",
                BY_TWO,
                EPERM,
                CONTROL_ROOT,
                open_by_handle,
                NULL),
        {.name = NULL},
};
